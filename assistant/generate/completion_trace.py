"""Trace the last answer was what it was: a record that the engine keeps, for `foretype why`.

Filled in along the way, one per request; it may hold suggested texts, for it is shown to the user
who asked, and is never logged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, slots=True)
class Trace:
    """What happened to one request."""

    outcome: str = ""  # "shown", or why nothing is
    source: str = ""
    model: str = ""  # which network was there to be asked; "": none yet
    prompt: dict[str, int] = field(default_factory=dict)  # part -> tokens
    network: dict[str, int] = field(default_factory=dict)  # tree nodes, tokens foreseen and run
    matches: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # (length, count)
    candidates: Callable[[], list[dict[str, Any]]] = list  # best first; made when asked for
    rules: list[dict[str, Any]] = field(default_factory=list)  # of the text that was chosen
    probability: float = 0.0
    threshold: float = 0.0
    remote: dict[str, float] = field(default_factory=dict)  # of a server's text, if one came
    stage_ms: dict[str, float] = field(default_factory=dict)
    total_ms: float = 0.0

    def table(self) -> dict[str, Any]:
        """Return everything as plain values, fit for JSON."""
        numbers = {name: round(ms, 2) for name, ms in self.stage_ms.items()}
        return {
            "outcome": self.outcome,
            "source": self.source,
            "model": self.model,
            "probability": round(self.probability, 4),
            "threshold": round(self.threshold, 4),
            "remote": {name: round(value, 4) for name, value in self.remote.items()},
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


def format_trace(table: dict[str, Any]) -> str:
    """Return what `Trace.table` says as text for a terminal."""
    head = (
        f"{table['outcome']} (source {table['source'] or 'none'}, "
        f"model {table['model'] or 'none'}, "
        f"probability {table['probability']:.2f}, shown from {table['threshold']:.2f}, "
        f"{table['total_ms']:.0f} ms)"
    )
    lines = [head]
    for name in ("prompt_tokens", "network", "remote", "stage_ms"):
        said = ", ".join(f"{key} {value:g}" for key, value in table[name].items())
        lines.append(f"{name.replace('_', ' ')}: {said or 'none'}")
    for name, levels in table["matches"].items():
        said = ", ".join(f"{each['bytes']} bytes at {each['places']}" for each in levels)
        lines.append(f"matches in the {name}: {said or 'none'}")
    lines += [
        f"candidate {each['share']:.3f} {each['source']:<7}{each['text']!r}"
        for each in table["candidates"]
    ]
    lines += [
        f"rule {each['rule']}: {each['action']} {each['n_chars']} characters"
        for each in table["rules"]
        if each["action"] != "kept"
    ]
    return "\n".join(lines)
