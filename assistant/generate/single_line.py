"""The rest of the cursor's line: what memory and network propose, in the ranker's order.

The network reads the prompt, scores the memory's best candidates in one pass, and writes its own
line, for which only what leaves the scored tree has to be run. Without a network, or where its time
is up, the memory's word alone decides. Knows no settings and no text rules.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from assistant.generate.backend import (
    BRANCHES_PER_DRAFT,
    Draft,
    GenerationJob,
    LocalBackend,
    PromptSession,
)
from assistant.rank import ranking as judge
from assistant.rank.candidates import Proposal
from assistant.rank.ranker import RankerParameters
from assistant.rank.ranking import Ranking
from assistant.source.stopping import Stopped
from model.candidate_tree import Scored

SURE = 0.9  # from this probability on, by the memory's word, the network is not asked

LEAST_LOGPROB = -8.0  # of the network's own line: below it, another text is right nearly always

Stop = Callable[[Iterator[str]], Stopped]


@dataclass(kw_only=True, slots=True)
class NetworkLines:
    """What the network wrote itself."""

    reasons: dict[str, str] = field(default_factory=dict)  # text -> why it ends; likeliest first
    drafts: list[Draft] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class RankedLines:
    """Ranked texts, and what they cost."""

    ranking: Ranking
    own: NetworkLines = field(default_factory=NetworkLines)
    n_nodes: int = 0  # of the trees that the network scored
    n_foreseen: int = 0  # tokens of its own line that were among them
    stage_ms: dict[str, float] = field(default_factory=dict)

    @property
    def greedy(self) -> str:
        """The network's own line; empty without one."""
        return next(iter(self.own.reasons), "")


def by_memory(proposal: Proposal, parameters: RankerParameters | None) -> RankedLines:
    """Rank without a network."""
    return RankedLines(ranking=judge.by_memory(judge.shortlist(proposal, parameters)))


def judged(
    backend: LocalBackend,
    parameters: RankerParameters | None,
    proposal: Proposal,
    job: GenerationJob,
    stop: Stop,
    *,
    sure: float = SURE,
) -> RankedLines:
    """Rank what both propose; by the memory alone if it is `sure`, or the network has no time."""
    clock = _Clock()
    chosen = judge.shortlist(proposal, parameters)
    clock.lap("shortlist")
    if job.n == 1 and parameters and chosen.candidates:
        ranking = judge.by_memory(chosen)
        if ranking.probability(0) >= sure:
            return RankedLines(ranking=ranking, stage_ms=clock.stage_ms)
    with backend.turn(job) as turn:
        clock.lap("prompt")
        if turn is None or job.should_stop():
            return RankedLines(ranking=judge.by_memory(chosen), stage_ms=clock.stage_ms)
        chosen = chosen.top(judge.MAX_SCORED)
        known = turn.score(chosen.texts, max_nodes=judge.MAX_NODES)
        clock.lap("tree")
        own = _own_lines(
            turn,
            job,
            stop,
            is_whole_line=not proposal.cursor.rest.strip(),
            least=LEAST_LOGPROB if chosen.candidates and job.n == 1 else -math.inf,
        )
        clock.lap("own line")
        if not job.should_stop() or not chosen.candidates:  # else: no time to judge it
            chosen = chosen.plus(list(own.reasons))
            known = _scored_too(turn, known, chosen.texts)
        clock.lap("second tree")
        n_nodes, n_foreseen = turn.n_nodes, turn.n_foreseen
    greedy = next(iter(own.reasons), "")
    ranking = judge.by_both(chosen, known, greedy, parameters)
    clock.lap("ranking")
    return RankedLines(
        ranking=ranking,
        own=own,
        n_nodes=n_nodes,
        n_foreseen=n_foreseen,
        stage_ms=clock.stage_ms,
    )


def _own_lines(
    turn: PromptSession,
    job: GenerationJob,
    stop: Stop,
    *,
    is_whole_line: bool,
    least: float = -math.inf,
) -> NetworkLines:
    """Let the network write; gather its distinct texts, the likeliest first.

    A text less likely than `least` (the logarithm) is given up half-way.
    """
    own = NetworkLines()
    with closing(turn.drafts()) as drafts:
        for draft in drafts:
            stopped = stop(_likely(draft, least))
            own.drafts.append(draft)
            text = stopped.text.rstrip() if is_whole_line else stopped.text
            if text and draft.logprob >= least:
                own.reasons.setdefault(text, stopped.finish_reason)
            if len(own.reasons) >= job.n or len(own.drafts) >= BRANCHES_PER_DRAFT * job.n:
                break
            if draft.logprob < least:
                break
    return own


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
    more = turn.score(new, max_nodes=judge.MAX_NODES)
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
