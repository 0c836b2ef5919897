"""Why the last answer was what it was: a record that the engine keeps, for `foretype why`.

Filled in along the way, one per request; it may hold suggested texts, for it is shown to the user
who asked, and is never logged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, slots=True)
class Why:
    """What happened to one request."""

    outcome: str = ""  # "shown", or why nothing is
    source: str = ""
    prompt: dict[str, int] = field(default_factory=dict)  # part -> tokens
    network: dict[str, int] = field(default_factory=dict)  # tree nodes, tokens foreseen and run
    matches: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # (length, count)
    candidates: Callable[[], list[dict[str, Any]]] = list  # best first; made when asked for
    rules: list[dict[str, Any]] = field(default_factory=list)  # of the text that was chosen
    probability: float = 0.0
    threshold: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)
    total_ms: float = 0.0

    def table(self) -> dict[str, Any]:
        """Return everything as plain values, fit for JSON."""
        numbers = {name: round(ms, 2) for name, ms in self.stage_ms.items()}
        return {
            "outcome": self.outcome,
            "source": self.source,
            "probability": round(self.probability, 4),
            "threshold": round(self.threshold, 4),
            "prompt_tokens": self.prompt,
            "network": self.network,
            "matches": {
                name: [{"bytes": length, "places": count} for length, count in levels]
                for name, levels in self.matches.items()
            },
            "candidates": self.candidates(),
            "rules": self.rules,
            "stage_ms": numbers,
            "total_ms": round(self.total_ms, 2),
        }
