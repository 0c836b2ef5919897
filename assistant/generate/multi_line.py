"""Several lines at once, where the cursor opens an empty block: the network's own drafts.

Shown are the lines that are sure: a draft is given up as soon as all of it so far is too unlikely
to be shown, and ends with the last line before that. The index proposes nothing here.
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
            lines = _SureLines(draft, least)
            stopped = stop(language, job.prompt.prefix, job.prompt.suffix, lines.pieces, True)
            text, probability = lines.cut(stopped.text)
            if text != stopped.text and job.prompt.suffix.partition("\n")[0].strip():
                probability = 0.0  # what stands behind the cursor would follow a part of the block
            suggestion = Suggestion(
                text=text,
                source="network",
                finish_reason=stopped.finish_reason,
                logprob=draft.logprob,
                multi_line=True,
                probability=probability,
                is_shown=probability >= least,
            )
            distinct.setdefault(text, (draft.mean_logprob, suggestion))
            if len(distinct) == job.n:
                break
    ranked = sorted(distinct.values(), key=lambda pair: -pair[0])
    return [suggestion for _, suggestion in ranked], written


class _SureLines:
    """Pulls a draft as long as all of it is likely enough; knows how far its sure lines go."""

    def __init__(self, draft: Draft, least: float) -> None:
        self._draft, self._least = draft, least
        self._n_sure = 0  # characters up to the end of the last line that was likely enough
        self._logprob = 0.0  # of so much; of all that was pulled, while there is no such line
        self.pieces = self._pull()

    def cut(self, text: str) -> tuple[str, float]:
        """Return what is sure of `text`, which begins as the draft does, and its probability.

        All of it where not even one line is; 0 if it says nothing.
        """
        sure = text[: self._n_sure or None]
        return sure, math.exp(max(self._logprob, -30.0)) if sure.strip() else 0.0

    def _pull(self) -> Generator[str, None, str]:
        """Yield the pieces; return why they ended."""
        text = ""
        floor = math.log(self._least) if self._least > 0 else -math.inf
        while True:
            try:
                piece = next(self._draft.pieces)
            except StopIteration as end:
                self._n_sure, self._logprob = len(text), self._draft.logprob
                return str(end.value)
            text, logprob = text + piece, self._draft.logprob
            line_end = max(text.rfind("\n"), 0)
            if logprob >= floor and text[self._n_sure : line_end].strip():
                self._n_sure, self._logprob = line_end, logprob
            elif not self._n_sure:
                self._logprob = logprob
            if logprob < floor:
                self._draft.pieces.close()
                return "stop"
            yield piece
