"""What a judgement says: the margins that were asked for, the decision, its reasons, the figures.

Plain data; knows neither models nor repositories.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much better a tuned model must be, and how much worse it may be elsewhere."""

    min_gain_bits: float = 0.01  # of the base's bits/byte on the lines added later
    max_exact_loss: float = 0.02  # of exact lines, memory on: the interval's lower end
    max_general_loss: float = 0.02  # of the base's bits/byte on general code

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and 0 <= value < 1):
                raise ValueError(f"{field.name} must be a share in 0..1, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether a tuned model takes its base's place in its repository, and why."""

    promoted: bool
    reasons: tuple[str, ...]  # plain sentences; of a refusal, every one that was missed
    scores: dict[str, float]  # exact_base_off, ..., bits_base, bits_tuned, general_base, ...
    report: dict[str, Any]  # JSON: every figure with its interval, and no line of code
