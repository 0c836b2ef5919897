"""What is proposed at a cursor: the rest of its line, or the lines of the block that it opens.

For the rest of a line the network reads the prompt, scores the index's best candidates in one pass,
and writes its own line, for which only what leaves the scored tree has to be run. Without a
network, or where its time is up, the index alone decides. A block is the network's alone: it ends
with the last line that is likely enough.
"""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from assistant.generate.backend import BRANCHES_PER_DRAFT, Draft, LocalBackend, PromptSession
from assistant.generate.cache import Suggestion
from assistant.generate.prompt import GenerationJob
from assistant.rank.candidates import Cursor, Proposal
from assistant.rank.ranker import RankerParameters
from assistant.rank.ranking import (
    MAX_NODES,
    MAX_SCORED,
    Ranking,
    rank_by_index,
    rank_with_network,
    shortlist,
)
from assistant.source.languages import Language
from assistant.source.stopping import stop

SURE = 0.9  # from this probability on, by the index alone, the network is not asked

LEAST_LOGPROB = -8.0  # of the network's own line: below it, another text is right nearly always


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedLines:
    """Ranked texts for the rest of the line, and what they cost."""

    ranking: Ranking
    reasons: Mapping[str, str] = field(default_factory=dict)  # the network's texts: why each ends
    drafts: Sequence[Draft] = ()  # of the network; the first one wrote the first of `reasons`
    n_nodes: int = 0  # of the trees that the network scored
    n_reused: int = 0  # tokens of its own line that were among them
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def greedy(self) -> str:
        """The network's own line; empty without one."""
        return next(iter(self.reasons), "")

    @property
    def costs(self) -> dict[str, int]:
        """What the network had to do, in words for `foretype why`."""
        return {
            "tree nodes": self.n_nodes,
            "own tokens": sum(draft.new_tokens for draft in self.drafts),
            "own tokens reused": self.n_reused,
            "prompt tokens reused": max((d.reused_tokens for d in self.drafts), default=0),
        }


def rank_lines(
    proposal: Proposal,
    language: Language | None,
    parameters: RankerParameters | None,
    backend: LocalBackend | None = None,
    job: GenerationJob | None = None,
    *,
    sure: float = SURE,
) -> RankedLines:
    """Rank what index and network propose.

    Without the network where there is no job for it, the index is `sure`, or time is up.
    """
    clock = _Clock()
    chosen = shortlist(proposal, parameters, language.name if language is not None else "")
    clock.lap("shortlist")
    if backend is None or job is None:
        return RankedLines(ranking=rank_by_index(chosen), stage_ms=clock.stage_ms)
    if job.n == 1 and parameters and chosen.candidates:
        ranking = rank_by_index(chosen)
        if ranking.surest() >= sure:
            return RankedLines(ranking=ranking, stage_ms=clock.stage_ms)
    with backend.turn(job) as turn:
        clock.lap("prompt")
        if turn is None or job.should_stop():
            return RankedLines(ranking=rank_by_index(chosen), stage_ms=clock.stage_ms)
        chosen = chosen.top(MAX_SCORED)
        known = turn.score(chosen.texts, max_nodes=MAX_NODES)
        clock.lap("tree")
        least = LEAST_LOGPROB if chosen.candidates and job.n == 1 else -math.inf
        reasons, drafts = _write_lines(turn, job, language, proposal.cursor, least)
        clock.lap("own line")
        if not job.should_stop() or not chosen.candidates:  # else: no time to judge it
            chosen = chosen.plus(list(reasons))
            if new := chosen.texts[len(known.scores) :]:
                more = turn.score(new, max_nodes=MAX_NODES, known=known)
                known = known._replace(scores=(*known.scores, *more.scores))
        clock.lap("second tree")
        n_nodes, n_reused = turn.n_nodes, turn.n_foreseen
    ranking = rank_with_network(chosen, known, next(iter(reasons), ""), parameters)
    clock.lap("ranking")
    return RankedLines(
        ranking=ranking,
        reasons=reasons,
        drafts=drafts,
        n_nodes=n_nodes,
        n_reused=n_reused,
        stage_ms=clock.stage_ms,
    )


def _write_lines(
    turn: PromptSession, job: GenerationJob, language: Language | None, cursor: Cursor, least: float
) -> tuple[dict[str, str], list[Draft]]:
    """Let the network write; return its distinct texts, each with why it ends, and its drafts.

    The likeliest text comes first; one less likely than `least` (the logarithm) is given up
    half-way.
    """
    is_whole_line = not cursor.rest.strip()
    reasons: dict[str, str] = {}
    written: list[Draft] = []
    with closing(turn.drafts()) as drafts:
        for draft in drafts:
            pieces = _likely(draft, least)
            stopped = stop(language, job.prompt.prefix, job.prompt.suffix, pieces, False)
            written.append(draft)
            text = stopped.text.rstrip() if is_whole_line else stopped.text
            if text and draft.logprob >= least:
                reasons.setdefault(text, stopped.finish_reason)
            if len(reasons) >= job.n or len(written) >= BRANCHES_PER_DRAFT * job.n:
                break
            if draft.logprob < least:
                break
    return reasons, written


def _likely(draft: Draft, least: float) -> Generator[str, None, str]:
    """Yield the draft's pieces as long as it is likely enough; return why it ended."""
    while draft.logprob >= least:
        try:
            piece = next(draft.pieces)
        except StopIteration as end:
            return str(end.value)
        yield piece
    draft.pieces.close()
    return "stop"


class _Clock:
    """Milliseconds from lap to lap, by name."""

    def __init__(self) -> None:
        self.stage_ms: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.stage_ms[name] = 1_000 * (now - self._last)
        self._last = now


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
