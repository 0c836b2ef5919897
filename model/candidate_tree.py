"""Several continuations at once: their tokens as one tree, scored by one pass of the network.

Texts that begin alike share nodes. The same pass serves decoding: a `PrefixCache` remembers the
scores, so nothing has to be run as long as greedy decoding stays on a branch. Knows ids, bytes and
scores; where the texts come from is the caller's business.
Shapes: N nodes, V vocabulary.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from model.decode import log_sum
from model.healing import TokenTable
from model.prefix_cache import PrefixCache
from model.runtime import Logits
from model.tokenizer import Tokenizer

NEVER = -30.0  # the log-probability of what cannot be


@dataclass(kw_only=True, slots=True)
class CandidateTree:
    """A tree of tokens; a node's parent comes before it, -1 is the end of the cache."""

    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    paths: list[list[int] | None] = field(default_factory=list)  # of each text: its nodes
    children: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, ids: Sequence[int], max_nodes: int) -> None:
        """Add a branch and its path, which is None if it does not fit any more."""
        node, path = -1, []
        n_shared = 0
        for id_ in ids:
            child = self.children.get((node, id_))
            if child is None:
                break
            node, n_shared = child, n_shared + 1
            path.append(node)
        if len(self.ids) + len(ids) - n_shared > max_nodes:
            self.paths.append(None)
            return
        for id_ in ids[n_shared:]:
            self.ids.append(id_)
            self.parents.append(node)
            self.children[node, id_] = len(self.ids) - 1
            node = len(self.ids) - 1
            path.append(node)
        self.paths.append(path)


def build_tree(
    tokenizer: Tokenizer, tail: bytes, texts: Sequence[str], *, max_nodes: int
) -> CandidateTree:
    """Return the tree of the texts' tokens, each after the bytes `tail`, as many as fit."""
    branches = CandidateTree()
    for text in texts:
        branches.add(tokenizer.encode_bytes(tail + text.encode("utf-8", "replace")), max_nodes)
    return branches


class Score(NamedTuple):
    """What the network says about one text."""

    tokens: tuple[float, ...]  # log P of each token, given those before and the bytes to re-spell
    ending: float  # log P that the line ends behind it, given it
    ends: tuple[int, ...] = ()  # how many bytes of the text each token reaches

    @property
    def total(self) -> float:
        """The log-probability of the text and of the line's end behind it."""
        return sum(self.tokens) + self.ending


class Scored(NamedTuple):
    """What the network says of the texts of one tree."""

    scores: tuple[Score | None, ...]  # of each; None: it did not fit
    ending_now: float  # log P that the line ends at once
    tail_logprob: float = 0.0  # log P of the bytes to spell again, by the ways that were run


def score_tree(
    steps: PrefixCache,
    root: Logits,
    table: TokenTable,
    tail: bytes,
    branches: CandidateTree,
    tail_logprob: float = NEVER,
) -> Scored:
    """Run the tree through the network and score each text.

    `tail_logprob` is what another tree of the same cursor found for the tail, at least.
    """
    rows = [*steps.tree(branches.ids, branches.parents)] if branches.ids else []
    judge = _Scorer([*rows, root], table, tail, branches, tail_logprob)
    scores = tuple(None if path is None else judge.score(path) for path in branches.paths)
    return Scored(scores, judge.ending(-1), judge.tail_logprob)


class _Scorer:
    """Log-probabilities in a tree whose branches begin by spelling `tail` again.

    All are given the tail: of what the network says of tokens, the share of those that spell it,
    each by its own way, is what the others are divided by. Ways that are in no branch are not run
    and count for nothing.
    """

    def __init__(
        self,
        rows: Sequence[Logits],
        table: TokenTable,
        tail: bytes,
        branches: CandidateTree,
        tail_logprob: float,
    ) -> None:
        self._rows = rows  # after each node, and last, at -1, after the cache
        self._table, self._tail, self._branches = table, tail, branches
        self._sums: dict[int, float] = {}
        self._rest: list[bytes] = []
        reached = [0.0]  # log P of the tokens up to each node, the root first
        whole = [self._beginning_with(-1, tail)] if tail else [0.0]
        for node, parent in enumerate(branches.parents):
            before, id_ = tail if parent < 0 else self._rest[parent], branches.ids[node]
            self._rest.append(before[len(table.bytes_of[id_]) :])
            reached.append(reached[parent + 1] + self._token(parent, id_))
            if self._rest[node]:
                whole.append(reached[node + 1] + self._beginning_with(node, self._rest[node]))
        self.tail_logprob = max(log_sum(np.array(whole, np.float32)), tail_logprob)

    def score(self, path: Sequence[int]) -> Score:
        """Return the score of the text whose nodes are `path`."""
        if not path:
            return Score((), self.ending(-1))
        ids, parents = self._branches.ids, self._branches.parents
        tokens = [self._token(parents[node], ids[node]) for node in path]
        tokens[0] = min(tokens[0] - self.tail_logprob, 0.0)
        n_bytes = itertools.accumulate(len(self._table.bytes_of[ids[node]]) for node in path)
        ends = tuple(max(0, n - len(self._tail)) for n in n_bytes)
        return Score(tuple(tokens), self._line_end(path[-1]), ends)

    def _line_end(self, last: int) -> float:
        """Return log P(the line ends | the text): by tokens of their own, or within the last."""
        parent, id_ = self._branches.parents[last], self._branches.ids[last]
        merged = self._beginning_with(parent, self._table.bytes_of[id_] + b"\n")
        return max(float(np.logaddexp(self.ending(last), merged - self._token(parent, id_))), NEVER)

    def ending(self, node: int) -> float:
        """Return log P that a line break or the end comes next."""
        rest = self._rest[node] if node >= 0 else self._tail
        if rest:
            return max(self._beginning_with(node, rest + b"\n") - self.tail_logprob, NEVER)
        return float(
            np.logaddexp(self._token(node, self._table.end_id), self._beginning_with(node, b"\n"))
        )

    def _token(self, node: int, id_: int) -> float:
        """Return log P of a token behind `node`."""
        return max(float(self._rows[node][id_]) - self._sum(node), NEVER)

    def _beginning_with(self, node: int, head: bytes) -> float:
        """Return log P of a token that begins with `head`."""
        found = self._table.beginning_with(head)
        if not found.size:
            return NEVER
        return max(log_sum(self._rows[node][found]) - self._sum(node), NEVER)

    def _sum(self, node: int) -> float:
        """Return the logarithm of the weights after `node` of all that may be generated."""
        if node not in self._sums:
            row = self._rows[node][: self._table.n_scored]
            if self._table.forbidden.size:
                row = np.delete(row, self._table.forbidden)
            self._sums[node] = log_sum(row)
        return self._sums[node]
