"""Candidates as numbers: what the ranker and the gate look at.

One row for each candidate, columns named in `INDEX_FEATURES` and `NETWORK_FEATURES`. All are cheap
and bounded: logarithms of lengths and counts, shares, and yes or no. A change here changes what
fitted parameters mean: they name the columns they were fitted on, and others are refused.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assistant.rank.candidates import MAX_CONTEXT_BYTES, Candidate, Evidence, Proposal
from assistant.source.blocks import n_common
from model.candidate_tree import Score, Scored

Rows = NDArray[np.float32]

INDEX_FEATURES = (
    "own_longest", "own_gap", "own_first", "own_top", "own_deep", "own_count",
    "repo_longest", "repo_gap", "repo_first", "repo_top", "repo_deep", "repo_count",
    "longest", "longest_gap", "lines", "covers_line", "neighbour", "in_own", "in_repo",
    "n_distinct", "place",
    "head_share", "below", "near", "stands_already", "is_next_line",
    "length", "n_words", "known_words", "near_words", "new_word", "line_words",
    "mid_token", "line_start", "after_space", "line_length", "in_comment",
    "opens", "balance", "extra_closer", "ends_colon", "ends_comma", "ends_opener", "ends_closer",
    "deeper_below", "shallower_below", "colon_fits", "opener_fits", "ending",
)  # fmt: skip

_WORD = re.compile(r"[^\W\d]\w*")
_HEAD = re.compile(r"\s*(?:\w+|\W)")
_NEAR_CHARS = 1_500
_MAX_LINES = 5  # more lines that agree say no more
_WORD_CHARS = 64  # before the cursor: a word may go on across it
_OPENERS, _CLOSERS = "([{", ")]}"


class CandidateFeatures:
    """A cursor and all that the index proposes there: what a candidate's numbers depend on."""

    def __init__(self, proposal: Proposal) -> None:
        cursor = proposal.cursor
        self.proposal = proposal
        self.line = cursor.line
        self.line_end = self.line[-_WORD_CHARS:]
        self.rest = cursor.rest
        self.before = cursor.before
        self.near_words = set(_WORD.findall(cursor.before[-_NEAR_CHARS:]))
        self.known_words = self.near_words | set(_WORD.findall(cursor.below[:_NEAR_CHARS]))
        self.line_words = set(_WORD.findall(self.line))
        self.next_line = cursor.next_line
        indent = len(self.line) - len(self.line.lstrip())
        below = len(self.next_line) - len(self.next_line.lstrip())
        self.is_deeper_below = below > indent
        self.is_shallower_below = bool(self.next_line) and below < indent
        self.balance = _n_open(self.line + self.rest)
        self.own_longest = proposal.document[0].length if proposal.document else 0
        self.repo_longest = proposal.repository[0].length if proposal.repository else 0
        self.line_bytes = len(self.line.lstrip().encode("utf-8", "replace"))
        self.line_ends = _line_ends(cursor.before)
        self.n_candidates = len(proposal.candidates)
        self.total = 0.0
        self.head_weight: dict[str, float] = {}
        for candidate in proposal.candidates:
            own, repo = candidate.document, candidate.repository
            weight = own.longest * (0.2 + own.share_first) + repo.longest * (0.2 + repo.share_first)
            head = head_of(candidate.text)
            self.head_weight[head] = self.head_weight.get(head, 0.0) + weight
            self.total += weight

    def rows(self, candidates: Sequence[Candidate], *, first_place: int = 0) -> Rows:
        """Return a row of `INDEX_FEATURES` for each candidate; places count from `first_place`."""
        rows = [self._row(place, each) for place, each in enumerate(candidates, first_place)]
        return np.array(rows, np.float32).reshape(len(rows), len(INDEX_FEATURES))

    def _row(self, place: int, candidate: Candidate) -> list[float]:
        text, own, repo = candidate.text, candidate.document, candidate.repository
        longest = max(own.longest, repo.longest)
        overall = max(self.own_longest, self.repo_longest)
        return [
            *_evidence(own, self.own_longest),
            *_evidence(repo, self.repo_longest),
            math.log1p(longest),
            math.log1p(overall) - math.log1p(longest),
            float(sum(end < longest for end in self.line_ends)),
            float(0 < self.line_bytes <= longest),
            math.log1p(candidate.neighbour),
            float(own.longest > 0),
            float(repo.longest > 0),
            math.log1p(self.n_candidates),
            math.log1p(place),
            self.head_weight.get(head_of(text), 0.0) / (self.total or 1.0),
            min(candidate.below, 40) / 20,
            *self._places(text),
            *self._words(text),
            *self._cursor(),
            *self._shape(text),
            self.proposal.ending,
        ]

    def _places(self, text: str) -> list[float]:
        """How near the same line stands, whether it is there, and whether it is the next one."""
        whole = (self.line + text).strip()
        at = self.before.rfind(text)
        distance = self.before.count("\n", at) if at >= 0 else 400
        stands = len(whole) > 3 and f"{whole}\n" in self.before
        return [
            math.log1p(min(distance, 400)) / 3,
            float(stands),
            float(self.next_line.strip() == whole),
        ]

    def _words(self, text: str) -> list[float]:
        n_words = len(_WORD.findall(text))
        first = _WORD.match(text)
        words = _WORD.findall(self.line_end + text)[-n_words:] if n_words else []
        n_near = sum(word in self.near_words for word in words)
        n_known = sum(word in self.known_words for word in words)
        is_new = bool(words) and first is not None and words[0] not in self.known_words
        return [
            math.log1p(len(text)),
            math.log1p(n_words),
            n_known / n_words if words else 1.0,
            n_near / n_words if words else 1.0,
            float(is_new),
            sum(word in self.line_words for word in words) / max(1, n_words),
        ]

    def _cursor(self) -> list[float]:
        last = self.line[-1:]
        return [
            float(last.isalnum() or last == "_"),
            float(not self.line.strip()),
            float(last.isspace()),
            math.log1p(len(self.line)),
            float(self.line.lstrip().startswith(("#", "//", "*")) or '"""' in self.line),
        ]

    def _shape(self, text: str) -> list[float]:
        opens = _n_open(text)
        balance = self.balance + opens
        end = text[-1:]
        is_opener = end in _OPENERS and bool(end)
        return [
            _clipped(opens),
            _clipped(balance),
            float(balance < 0),
            float(end == ":"),
            float(end == ","),
            float(is_opener),
            float(end in _CLOSERS and bool(end)),
            float(self.is_deeper_below),
            float(self.is_shallower_below),
            float((end == ":" or is_opener) == self.is_deeper_below),
            float(is_opener and self.next_line.strip()[:1] in _CLOSERS),
        ]


def _line_ends(before: str) -> list[int]:
    """Return how many bytes stand between the cursor and each of the nearest line ends above."""
    lines = before[-MAX_CONTEXT_BYTES:].split("\n")
    ends, n_bytes = [], 0
    for line in reversed(lines[1:]):
        n_bytes += len(line.encode("utf-8", "replace"))
        ends.append(n_bytes)
        n_bytes += 1
    return ends[:_MAX_LINES]


def _evidence(evidence: Evidence, longest: int) -> list[float]:
    return [
        math.log1p(evidence.longest),
        math.log1p(longest) - math.log1p(evidence.longest),
        evidence.share_first,
        evidence.share_top,
        evidence.share_deep,
        math.log1p(evidence.n_deep),
    ]


def head_of(text: str) -> str:
    """Return the first word of `text`, or its first character: where candidates part first.

    >>> head_of("lf.name")
    'lf'
    """
    match = _HEAD.match(text)
    return match.group() if match else ""


def _n_open(text: str) -> int:
    return sum(map(text.count, _OPENERS)) - sum(map(text.count, _CLOSERS))


def _clipped(value: int) -> float:
    return float(max(-3, min(3, value)))


NETWORK_FEATURES = (
    "memory_share", "memory_logit", "scored", "total", "mean", "least", "first", "ending",
    "total_gap", "mean_gap", "n_tokens", "is_greedy", "greedy_share", "greedy_mean",
    "ending_now", "place_by_network",
)  # fmt: skip
_EDGE = 1e-4  # a share is kept so far from 0 and 1
LOW = -20.0  # log-probabilities are cut there


def network_rows(
    scored: Scored, texts: Sequence[str], shares: Sequence[float], greedy: str
) -> Rows:
    """Return a row of `NETWORK_FEATURES` for each text, as the network scored them.

    `shares` is the belief in each without the network; `greedy` the network's own line, empty
    without one.
    """
    totals = [max(score.total, LOW) if score else LOW for score in scored.scores]
    means = [mean_logprob(score) for score in scored.scores]
    best_total, best_mean = max(totals, default=LOW), max(means, default=LOW)
    order = {place: rank for rank, place in enumerate(np.argsort(totals, kind="stable")[::-1])}
    own = [mean for text, mean in zip(texts, means, strict=True) if text == greedy]
    shared = [0.0, own[0] if own else LOW / 2, max(scored.ending_now, LOW)]
    rows = []
    for place, (text, score) in enumerate(zip(texts, scored.scores, strict=True)):
        tokens = score.tokens if score else ()
        shared[0] = n_common(text, greedy) / max(1, len(text))
        share = min(max(float(shares[place]), _EDGE), 1 - _EDGE)
        rows.append(
            [
                share,
                math.log(share / (1 - share)),
                float(score is not None),
                totals[place],
                means[place],
                max(min(tokens, default=0.0), LOW) if score else LOW,
                max(tokens[0], LOW) if tokens else LOW,
                max(score.ending, LOW) if score else LOW,
                totals[place] - best_total,
                means[place] - best_mean,
                math.log1p(len(tokens)),
                float(text == greedy),
                *shared,
                math.log1p(order[place]),
            ]
        )
    return np.array(rows, np.float32).reshape(len(rows), len(NETWORK_FEATURES))


def mean_logprob(score: Score | None) -> float:
    """Return the log-probability of a token of the text, its end counted as one."""
    return max(score.total / (len(score.tokens) + 1), LOW) if score else LOW
