"""Several lines at once, where the cursor opens an empty block: the network's own drafts.

What is judged there is the first line: if that is wrong, nobody reads the rest, so a draft is given
up as soon as its first line is too unlikely to be shown. The index proposes nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing

from assistant.generate.backend import Draft, LocalBackend
from assistant.generate.cache import Suggestion
from assistant.generate.prompt import GenerationJob
from assistant.source.languages import Language
from assistant.source.stopping import stop


def write_blocks(
    backend: LocalBackend, job: GenerationJob, language: Language | None, least: float
) -> tuple[list[Suggestion], list[Draft]]:
    """Return the network's distinct blocks, the likeliest a token first, and all its drafts.

    `least` is the probability from which a block is shown.
    """
    written: list[Draft] = []
    distinct: dict[str, tuple[float, Suggestion]] = {}
    with closing(backend.drafts(job)) as drafts:
        for draft in drafts:
            written.append(draft)
            first = _FirstLine(draft, least)
            stopped = stop(language, job.prompt.prefix, job.prompt.suffix, first.pieces, True)
            probability = first.probability(stopped.text)
            suggestion = Suggestion(
                text=stopped.text,
                source="network",
                finish_reason=stopped.finish_reason,
                logprob=draft.logprob,
                multi_line=True,
                probability=probability,
                is_shown=probability >= least,
            )
            distinct.setdefault(stopped.text, (draft.mean_logprob, suggestion))
            if len(distinct) == job.n:
                break
    ranked = sorted(distinct.values(), key=lambda pair: -pair[0])
    return [suggestion for _, suggestion in ranked], written


class _FirstLine:
    """Pulls a draft as long as its first line that says something is likely enough."""

    def __init__(self, draft: Draft, least: float) -> None:
        self._draft, self._least = draft, least
        self._logprob = 0.0  # of the line, its end included; grows until that
        self.pieces = self._pull()

    def probability(self, text: str) -> float:
        """Return how likely the line is, by the network's own word; 0 if `text` says nothing."""
        return math.exp(max(self._logprob, -30.0)) if text.strip() else 0.0

    def _pull(self) -> Generator[str, None, str]:
        """Yield the pieces; return why they ended."""
        line, is_over = "", False
        floor = math.log(self._least) if self._least > 0 else -math.inf
        while True:
            try:
                piece = next(self._draft.pieces)
            except StopIteration as end:
                return str(end.value)
            if not is_over:
                self._logprob = self._draft.logprob
                line = (line + piece).lstrip()
                is_over = "\n" in line
                if self._logprob < floor:
                    self._draft.pieces.close()
                    return "stop"
            yield piece
