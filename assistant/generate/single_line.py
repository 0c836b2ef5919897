"""The rest of the cursor's line: what index and network propose, in the ranker's order.

The network reads the prompt, scores the index's best candidates in one pass, and writes its own
line, for which only what leaves the scored tree has to be run. Without a network, or where its time
is up, the index alone decides. Knows no settings and no text rules.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from assistant.generate.backend import BRANCHES_PER_DRAFT, Draft, LocalBackend, PromptSession
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
from model.candidate_tree import Scored

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


def rank_without_network(
    proposal: Proposal, parameters: RankerParameters | None, language: Language | None
) -> RankedLines:
    """Rank what the document and the index propose."""
    name = language.name if language is not None else ""
    return RankedLines(ranking=rank_by_index(shortlist(proposal, parameters, name)))


def rank_lines(
    backend: LocalBackend,
    proposal: Proposal,
    job: GenerationJob,
    language: Language | None,
    *,
    parameters: RankerParameters | None,
    sure: float = SURE,
) -> RankedLines:
    """Rank what both propose; without the network where the index is `sure` or time is up."""
    clock = _Clock()
    chosen = shortlist(proposal, parameters, language.name if language is not None else "")
    clock.lap("shortlist")
    if job.n == 1 and parameters and chosen.candidates:
        ranking = rank_by_index(chosen)
        if ranking.probability(ranking.texts[0]) >= sure:
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
            known = _scored_too(turn, known, chosen.texts)
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


def _scored_too(turn: PromptSession, known: Scored, texts: Sequence[str]) -> Scored:
    """Add the scores of the texts that were not in the tree."""
    new = texts[len(known.scores) :]
    if not new:
        return known
    more = turn.score(new, max_nodes=MAX_NODES)
    return dataclasses.replace(known, scores=(*known.scores, *more.scores))


class _Clock:
    """Milliseconds from lap to lap, by name."""

    def __init__(self) -> None:
        self.stage_ms: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.stage_ms[name] = 1_000 * (now - self._last)
        self._last = now
