"""Which of the proposed texts is best, and how likely it is right: index and network together.

The index proposes, the network scores all proposals in one pass and adds its own line, and a fitted
ranker orders them. Without fitted parameters a simple order takes its place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.rank.beginnings import MAX_TEXTS, Beginnings, find_beginnings, worth
from assistant.rank.candidates import Candidate, Proposal
from assistant.rank.features import (
    INDEX_FEATURES,
    NETWORK_FEATURES,
    CandidateFeatures,
    Rows,
    mean_logprob,
    network_rows,
)
from assistant.rank.ranker import FittedRanker, Floats, RankerParameters
from model.candidate_tree import Score, Scored

MAX_SCORED = 5  # candidates of the index that the network looks at
MAX_NODES = 20  # of the tree of their tokens
_SURE = 0.9  # the most that is believed without a fitted ranker
LONG_MATCH = 16  # bytes: without a ranker, what agrees so far goes before the network's own line


@dataclass(frozen=True, kw_only=True)  # no slots: what is asked for is computed once
class Ranking:
    """Texts for the rest of the line, best first."""

    texts: tuple[str, ...]
    shares: Floats  # belief that each is the whole line
    rows: Rows
    names: tuple[str, ...]  # of the columns of `rows`
    from_index: frozenset[str]  # the texts that the index proposed
    fitted: FittedRanker | None
    scores: tuple[Score | None, ...]  # what the network said of each
    line: str  # the cursor's line left of it
    language: str
    n_judged: int = MAX_TEXTS  # of the first texts

    @functools.cached_property
    def beginnings(self) -> Beginnings:
        """Beginnings of the first texts, the whole texts among them."""
        return find_beginnings(
            self.texts, self.shares, self.rows, self.names, self.scores, self.line, self.n_judged
        )

    @functools.cached_property
    def _believed(self) -> Floats:
        if self.fitted is None:
            return self.beginnings.rows[:, 0]  # the share of the texts that begin so
        return self.fitted.believe(self.beginnings.rows)

    @functools.cached_property
    def _probabilities(self) -> NDArray[np.floating[Any]]:
        if self.fitted is None:
            return self._believed
        return self.fitted.correct(self._believed, self.language)

    def probability(self, text: str) -> float:
        """Return how likely `text` is right: one of the beginnings; 0 for any other."""
        if text not in self.beginnings.texts:
            return 0.0
        return float(self._probabilities[self.beginnings.texts.index(text)])

    def surest(self) -> float:
        """Return how likely the first text is right, without judging the others."""
        return dataclasses.replace(self, n_judged=1).probability(self.texts[0])

    def by_worth(self, least: float) -> list[tuple[str, int]]:
        """Return the beginnings worth showing, each with the place of its text.

        First what is at least so likely to be right, of that what is worth most: where a whole
        line is not sure enough, a part of it may be.
        """
        found = self.beginnings
        values = worth(self._believed, found)
        order = np.lexsort((-values, self._probabilities < least))
        return [(found.texts[i], found.places[i]) for i in order if values[i] > 0]

    def beliefs(self, n: int) -> tuple[tuple[str, float], ...]:
        """Return the first `n` texts, each with the belief in it."""
        return tuple(zip(self.texts[:n], map(float, self.shares[:n]), strict=True))

    def named(self, place: int) -> dict[str, float]:
        """Return the columns of text `place` by name."""
        return dict(zip(self.names, map(float, self.rows[place]), strict=True))

    def source(self, place: int) -> str:
        """Say who proposed text `place`: "index", or the "network" alone."""
        return "index" if self.texts[place] in self.from_index else "network"

    def summarize(self, n: int = 8) -> list[dict[str, Any]]:
        """Return the best texts with the numbers behind them, for `foretype why`."""
        return [
            {
                "text": text,
                "share": round(float(self.shares[place]), 4),
                "probability": round(self.probability(text), 4),
                "source": self.source(place),
                "columns": {name: round(v, 3) for name, v in self.named(place).items()},
            }
            for place, text in enumerate(self.texts[:n])
        ]


class Shortlist(NamedTuple):
    """The index's candidates in the order of its own ranking, each with its columns."""

    view: CandidateFeatures
    candidates: tuple[Candidate, ...]
    rows: Rows
    shares: Floats
    fitted: FittedRanker | None
    language: str  # its name; "" for one that is not known

    def top(self, n: int) -> Shortlist:
        """Return the first `n`."""
        return self._replace(
            candidates=self.candidates[:n], rows=self.rows[:n], shares=self.shares[:n]
        )

    def plus(self, texts: Sequence[str]) -> Shortlist:
        """Return these and the texts that are not among them, which nothing speaks for yet."""
        known = {candidate.text for candidate in self.candidates}
        new = [Candidate(text) for text in dict.fromkeys(texts) if text and text not in known]
        rows = self.view.rows(new, first_place=len(self.view.proposal.candidates))
        return self._replace(
            candidates=(*self.candidates, *new),
            rows=np.concatenate([self.rows, rows]),
            shares=np.concatenate([self.shares, np.zeros(len(new), np.float32)]),
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The candidates' texts."""
        return tuple(candidate.text for candidate in self.candidates)


def shortlist(
    proposal: Proposal, parameters: RankerParameters | None, language: str = ""
) -> Shortlist:
    """Order what the index proposes by the ranker for the index alone."""
    view = CandidateFeatures(proposal)
    rows = view.rows(proposal.candidates)
    fitted = parameters.index if parameters else None
    shares = fitted.probabilities(rows) if fitted else _plain_shares(proposal.candidates)
    order = np.argsort(-shares, kind="stable")
    return Shortlist(
        view=view,
        candidates=tuple(proposal.candidates[place] for place in order),
        rows=rows[order],
        shares=shares[order],
        fitted=fitted,
        language=language,
    )


def rank_by_index(chosen: Shortlist) -> Ranking:
    """Rank without the network."""
    unknown = (None,) * len(chosen.candidates)
    return _build_ranking(
        chosen, chosen.shares, chosen.rows, INDEX_FEATURES, chosen.fitted, unknown
    )


def rank_with_network(
    chosen: Shortlist, known: Scored, greedy: str, parameters: RankerParameters | None
) -> Ranking:
    """Rank candidates that the network has scored; `greedy` is its own line."""
    columns = network_rows(known, chosen.texts, [float(share) for share in chosen.shares], greedy)
    rows = np.concatenate([chosen.rows, columns], axis=1)
    fitted = parameters.both if parameters else None
    if fitted:
        shares = fitted.probabilities(rows)
    else:
        shares = _plain_shares(chosen.candidates)
        for place, text in enumerate(chosen.texts):
            if text == greedy:
                own = _SURE * math.exp(mean_logprob(known.scores[place]))
                shares[place] = max(float(shares[place]), own)
    names = INDEX_FEATURES + NETWORK_FEATURES
    return _build_ranking(chosen, shares, rows, names, fitted, known.scores)


def _plain_shares(candidates: Sequence[Candidate]) -> Floats:
    """Return a belief in each candidate from the length of its match and its share there."""
    shares = np.zeros(len(candidates), np.float32)
    for place, candidate in enumerate(candidates):
        own, repository = candidate.document, candidate.repository
        best = own if own.longest >= repository.longest else repository
        belief = min(best.longest, 80) / 80 * (0.5 + 0.5 * best.share_first)
        shares[place] = _SURE * (belief + (best.longest >= LONG_MATCH)) / 2
    return shares


def _build_ranking(
    chosen: Shortlist,
    shares: Floats,
    rows: Rows,
    names: Sequence[str],
    fitted: FittedRanker | None,
    scores: Sequence[Score | None],
) -> Ranking:
    order = np.argsort(-shares, kind="stable")
    texts = chosen.texts
    proposed = (c.text for c in chosen.candidates if c.document.longest or c.repository.longest)
    return Ranking(
        texts=tuple(texts[place] for place in order),
        shares=shares[order],
        rows=rows[order],
        names=tuple(names),
        from_index=frozenset(proposed),
        fitted=fitted,
        scores=tuple(scores[place] for place in order),
        line=chosen.view.line,
        language=chosen.language,
    )
