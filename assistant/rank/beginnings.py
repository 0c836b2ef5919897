"""Beginnings of the ranked texts: how much each is believed, and which is worth most to show.

A line is often sure up to a name or an argument and open behind it. So what is judged is not a
whole text but every beginning that ends between two words: what supports it are all texts that
begin so, and the network's word on its tokens.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.rank.features import LOW, Rows
from assistant.source.blocks import n_common
from model.candidate_tree import Score

_COUNTED = (
    "agreeing", "agreeing_logit", "none", "rival", "share", "n_agreeing", "ends_here", "is_whole",
    "length", "n_words", "left", "ends_word", "opens", "greedy_agrees", "network", "network_least",
    "network_knows", "prose", "in_quote", "is_first_word",
)  # fmt: skip
_OF_TEXT = (
    "longest", "own_longest", "lines", "own_first", "repo_first", "own_count", "repo_count",
    "known_words", "near_words", "new_word", "stands_already", "below", "near", "head_share",
    "ending", "n_distinct", "mid_token", "line_start", "after_space", "in_comment", "line_length",
    "mean", "ending_now",
)  # fmt: skip
GATE_FEATURES = (*_COUNTED, *_OF_TEXT)

MAX_TEXTS = 6  # whose beginnings are judged
MAX_PIECES = 40  # of a text; behind them only its end
LEAST_CHARS = 2  # of what is shown
LEAST_WORTH = 1.0  # belief x characters: less is not worth a look
_EDGE = 1e-4  # a share is kept so far from 0 and 1

_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])")
_WORD = re.compile(r"[^\W\d]\w*")
_PROSE = re.compile(r"(?:^|[a-z,.]) [A-Za-z]")


class Beginnings(NamedTuple):
    """Beginnings of ranked texts, each once, the surest text's first."""

    texts: tuple[str, ...]
    places: tuple[int, ...]  # of the surest ranked text that begins so
    is_whole: NDArray[np.bool_]  # whether it is all of that text
    rows: Rows  # of GATE_FEATURES


def find_beginnings(  # noqa: PLR0913  (what a ranking knows)
    texts: Sequence[str],
    shares: NDArray[np.float32],
    columns: Rows,
    names: Sequence[str],
    scores: Sequence[Score | None],
    line: str,
    n_texts: int = MAX_TEXTS,
) -> Beginnings:
    """Return the beginnings of the first `n_texts` of texts ranked by `shares`, best first.

    `columns` (one row a text, called `names`) are what the ranker looked at, `scores` what the
    network said; `line` is the cursor's line left of it.
    """
    in_quote = float(any(line.count(mark) % 2 for mark in "\"'`"))
    number = {name: place for place, name in enumerate(names)}
    kept = [number.get(name, -1) for name in _OF_TEXT]
    padded = np.concatenate([columns, np.zeros((len(texts), 1), np.float32)], axis=1)
    is_greedy = padded[:, number.get("is_greedy", -1)]
    greedy = next((text for text, mark in zip(texts, is_greedy, strict=True) if mark), "")
    judge = _Judge(texts, shares, scores, greedy)
    seen: set[str] = set()
    found: list[tuple[str, int, bool]] = []
    rows: list[NDArray[np.float32]] = []
    for place, text in enumerate(texts[:n_texts]):
        pieces = _pieces(text)
        counted = judge.rows(place, pieces, in_quote)
        for piece, row in zip(pieces, counted, strict=True):
            is_whole = piece.end == len(text.rstrip())
            head = text if is_whole else text[: piece.end]
            if head not in seen:
                seen.add(head)
                found.append((head, place, is_whole))
                rows.append(np.concatenate([row, padded[place, kept]]))
    return Beginnings(
        texts=tuple(head for head, _, _ in found),
        places=tuple(place for _, place, _ in found),
        is_whole=np.array([whole for _, _, whole in found], bool),
        rows=np.array(rows, np.float32).reshape(len(rows), len(GATE_FEATURES)),
    )


def worth(beliefs: NDArray[np.float32], beginnings: Beginnings) -> NDArray[np.float64]:
    """Return what it is worth to show each beginning; 0 for what is not worth a look.

    The longer the better, but less than in proportion, and being right counts for more: what is
    wrong is a nuisance at any length. A whole line is done with at once, so it counts double.
    """
    n_chars = np.array([len(text.strip()) for text in beginnings.texts], float)
    value = beliefs**1.5 * np.sqrt(n_chars) * (1 + beginnings.is_whole)
    is_worth = (n_chars >= LEAST_CHARS) & (beliefs * n_chars >= LEAST_WORTH)
    return np.where(is_worth, value, 0.0)


class _Piece(NamedTuple):
    """What a beginning is up to one of its borders."""

    end: int  # characters
    n_bytes: int
    n_words: int
    n_opened: int  # brackets opened less those closed
    n_prose: int  # words that follow a word, as in a sentence
    is_word: bool  # it ends in a word
    is_first_word: bool


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    n_words = n_opened = 0
    for match in _PIECE.finditer(text):
        piece, end = match.group(), match.end()
        last = piece[-1]
        n_words += len(_WORD.findall(piece))
        n_opened += (last in "([{") - (last in ")]}")
        head = text[:end]
        pieces.append(
            _Piece(
                end,
                len(head.encode("utf-8", "replace")),
                n_words,
                n_opened,
                len(_PROSE.findall(head)),
                last.isalnum() or last == "_",
                len(pieces) == 0 and n_words > 0,
            )
        )
    return [*pieces[:MAX_PIECES], *pieces[MAX_PIECES:][-1:]]


class _Judge:
    """What all texts together say of one text's beginnings."""

    def __init__(
        self,
        texts: Sequence[str],
        shares: NDArray[np.float32],
        scores: Sequence[Score | None],
        greedy: str,
    ) -> None:
        self._texts, self._shares, self._greedy = texts, shares, greedy
        self._lengths = np.array([len(text.rstrip()) for text in texts])
        self._none = max(0.0, 1 - float(shares.sum()))
        self._told = {  # what the network said of a text: where each token ends, and so far
            place: (
                np.array(score.ends),
                np.cumsum(score.tokens),
                np.minimum.accumulate(np.array(score.tokens)),
            )
            for place, score in enumerate(scores)
            if score and score.tokens
        }

    def rows(self, place: int, pieces: Sequence[_Piece], in_quote: float) -> Rows:
        """Return the counted columns of the beginnings of text `place`."""
        text, share = self._texts[place].rstrip(), float(self._shares[place])
        common = np.array([n_common(text, other) for other in self._texts])
        ends = np.array([piece.end for piece in pieces])
        agrees = common[None, :] >= ends[:, None]
        agreeing = np.clip(agrees @ self._shares, _EDGE, 1 - _EDGE)
        rival = np.where(agrees, 0, self._shares[None, :]).max(axis=1, initial=0.0)
        ends_here = (agrees & (self._lengths[None, :] == ends[:, None])) @ self._shares
        total, least, knows = self._network(agrees, [piece.n_bytes for piece in pieces])
        greedy = n_common(text, self._greedy)
        rows = [
            (
                agreeing[i], math.log(agreeing[i] / (1 - agreeing[i])), self._none, rival[i], share,
                math.log1p(agrees[i].sum()), ends_here[i], float(piece.end == len(text)),
                math.log1p(piece.end), math.log1p(piece.n_words), math.log1p(len(text) - piece.end),
                float(piece.is_word), float(max(-3, min(3, piece.n_opened))),
                float(greedy >= piece.end), total[i], least[i], knows[i],
                piece.n_prose / (1 + piece.n_words), in_quote, float(piece.is_first_word),
            )
            for i, piece in enumerate(pieces)
        ]  # fmt: skip
        return np.array(rows, np.float32).reshape(len(pieces), len(_COUNTED))

    def _network(
        self, agrees: NDArray[np.bool_], n_bytes: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return log P by the network of each beginning, its least token, and whether it is known.

        Of the ways to spell it that were scored, the likeliest.
        """
        total, least = (np.full(len(n_bytes), LOW) for _ in range(2))
        knows = np.zeros(len(n_bytes))
        for place, (ends, totals, leasts) in self._told.items():
            at = np.minimum(np.searchsorted(ends, n_bytes), len(ends) - 1)
            is_better = agrees[:, place] & (totals[at] > total)
            total = np.where(is_better, totals[at], total)
            least = np.where(is_better, leasts[at], least)
            knows = np.where(agrees[:, place], 1.0, knows)
        return total, np.maximum(least, LOW), knows
