"""What is shown: the operating points that the setting `show` picks from.

A suggestion is right if it is a right beginning of the rest of the line, two characters or more.
The probability of that comes from a small fitted model (see `ranker` and `beginnings`), and means
the same in every language, so one threshold serves them all. Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: operating points, from the strictest to the most generous
LEVELS = ("quiet", "balanced", "eager")


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """An operating point: what is shown from `threshold` on, and what that gave when fitted."""

    threshold: float
    precision: float  # share of what was shown that was right
    coverage: float  # share of cursors at which something was shown
    hidden: float  # share of the right texts that were not shown


def threshold(show: str, points: Mapping[str, OperatingPoint] | None, *, n: int = 1) -> float:
    """Return the probability from which a suggestion is shown; above 1 for never.

    Who asks for several (`n`) has asked by hand, and is shown what there is; so is everybody where
    nothing was fitted (`points` is None).
    """
    if show == "off":
        return 2.0
    if points is None or n > 1:
        return 0.0
    return points[show].threshold
