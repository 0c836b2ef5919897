"""What is shown: the columns that a calibrated probability is computed from, and the thresholds.

A suggestion is right if it is a right beginning of the rest of the line, two characters or more.
The probability of that comes from a small fitted model (see `ranker`); a setting picks one of a few
operating points, each measured when it was fitted. Knows numbers and the texts of candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: operating points, from the strictest to the most generous; "strict" is quiet for languages that
#: the network has not been trained on, whose "balanced" is "quiet"
LEVELS = ("strict", "quiet", "balanced", "eager")

GATE_FEATURES = (
    "share", "share_logit", "second", "none", "agreeing", "head_agreeing", "length", "n_words",
    "longest", "own_longest", "is_greedy", "mean", "ending", "ending_now", "mid_token",
    "line_start", "in_comment", "known_words", "is_cut",
)  # fmt: skip
_EDGE = 1e-4  # a share is kept so far from 0 and 1


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """An operating point: what is shown from `threshold` on, and what that gave when fitted."""

    threshold: float
    precision: float  # share of what was shown that was right
    coverage: float  # share of cursors at which something was shown
    hidden: float  # share of the right texts that were not shown


def gate_row(
    texts: Sequence[str],
    shares: NDArray[np.float32],
    chosen: int,
    named: dict[str, float],
    *,
    n_chars: int | None = None,
) -> list[float]:
    """Return `GATE_FEATURES` for the candidate `chosen`, or for its first `n_chars` characters.

    `named` are the candidate's own columns by name; those of the network are 0 without one.
    """
    whole = texts[chosen]
    text = whole if n_chars is None else whole[:n_chars]
    share = min(max(float(shares[chosen]), _EDGE), 1 - _EDGE)
    others = [float(s) for i, s in enumerate(shares) if i != chosen]
    agreeing = sum(
        float(s) for other, s in zip(texts, shares, strict=True) if other.startswith(text)
    )
    head = text[:4]
    near = sum(float(s) for other, s in zip(texts, shares, strict=True) if other[:4] == head)
    return [
        share,
        math.log(share / (1 - share)),
        max(others, default=0.0),
        max(0.0, 1 - float(shares.sum())),
        agreeing,
        near,
        math.log1p(len(text)),
        *(named.get(name, 0.0) for name in GATE_FEATURES[7:18]),
        float(len(text) < len(whole)),
    ]


def threshold(
    show: str, points: Mapping[str, OperatingPoint] | None, *, is_familiar: bool, n: int = 1
) -> float:
    """Return the probability from which a suggestion is shown; above 1 for never.

    Who asks for several (`n`) has asked by hand, and is shown what there is; so is everybody where
    nothing was fitted (`points` is None).
    """
    if show == "off":
        return 2.0
    if points is None or n > 1:
        return 0.0
    level = show
    if not is_familiar and show != "eager":
        level = LEVELS[LEVELS.index(show) - 1]
    return points[level].threshold
