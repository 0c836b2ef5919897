"""How a response came about: one record per request, for `foretype why` and the log.

It may hold suggested texts, for it is shown to the user who asked, and is never logged whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.filter.postprocess import RuleVerdict
from assistant.generate.backend import Draft

# Outcomes that say too little to who has not read the code.
_PLAIN = {
    "disabled": "suggestions are switched off in the settings",
    "excluded file": "this file is excluded: it may hold secrets, or `exclude` names it",
    "unknown language": "nothing is suggested in this language",
    "no proposal": "nothing like the text before the cursor is known",
    "out of time": "the network had not answered when its time was up",
    "nothing that the rules let pass": (
        "what came to mind would break the text: it stands there already, or does not parse"
    ),
    "not worth a look": "what came to mind is too short, or too unlikely, to be worth a look",
    "model not loaded": "the model is not loaded, and the index is off",
    "cancelled": "newer typing took the place of this request",
}
N_CONSIDERED = 3  # texts that are named without numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What happened to one request."""

    outcome: str = ""  # "shown", or why nothing is
    source: str = ""  # of the best text: "network", "index", "cache" or "remote"
    model: str = ""  # which network was there to be asked; "": none yet
    prompt: Mapping[str, int] = field(default_factory=dict)  # part -> tokens
    network: Mapping[str, int] = field(default_factory=dict)  # tree nodes, tokens run and reused
    matches: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)  # length, count
    candidates: Callable[[], list[dict[str, Any]]] = list  # best first; made when asked for
    rules: Sequence[RuleVerdict] = ()  # of the text that was chosen
    probability: float = 0.0
    threshold: float = 0.0
    step: float = 0.0  # of it, by the user's own statistics
    remote: Mapping[str, float] = field(default_factory=dict)  # of a server's text, if one came
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0  # what the network read and wrote, its reused tokens included
    new_tokens: int = 0
    reused_tokens: int = 0
    first_token_ms: float = 0.0  # from the request; 0 without a token
    total_ms: float = 0.0

    def words(self) -> str:
        """Return the outcome as a person would say it."""
        if self.threshold > 1 and self.outcome != "shown":
            return "the setting `show` is off"
        limits = f"{self.probability:.0%}"
        if self.threshold:
            limits += f", shown from {self.threshold:.0%}"
            if points := round(100 * self.step):
                how = "more" if points > 0 else "less"
                limits += f", {abs(points)} {how} than usual by `foretype stats`"
        if self.outcome == "shown":
            return f"a suggestion is shown ({limits})"
        if self.outcome == "not sure enough":
            return f"not sure enough ({limits})"
        return _PLAIN.get(self.outcome, self.outcome)

    def table(self) -> dict[str, Any]:
        """Return everything as plain values, fit for JSON."""
        return {
            "outcome": self.outcome,
            "words": self.words(),
            "source": self.source,
            "model": self.model,
            "probability": round(self.probability, 4),
            "threshold": round(self.threshold, 4),
            "step": round(self.step, 4),
            "remote": {name: round(value, 4) for name, value in self.remote.items()},
            "prompt_tokens": dict(self.prompt),
            "network": dict(self.network),
            "matches": {
                name: [{"bytes": length, "places": count} for length, count in levels]
                for name, levels in self.matches.items()
            },
            "candidates": self.candidates(),
            "rules": [item._asdict() for item in self.rules],
            "stage_ms": {name: round(ms, 2) for name, ms in self.stage_ms.items()},
            "total_ms": round(self.total_ms, 2),
        }


def count_drafts(drafts: Sequence[Draft], started: float) -> dict[str, Any]:
    """Return what the network's drafts cost, by field of `Trace`.

    `started` is the request's arrival in time.monotonic() seconds.
    """
    if not drafts:
        return {}
    first_token_at = next((d.first_token_at for d in drafts if d.first_token_at), started)
    return {
        "prompt_tokens": drafts[-1].prompt_tokens,
        "new_tokens": sum(draft.new_tokens for draft in drafts),
        "reused_tokens": drafts[-1].reused_tokens,
        "first_token_ms": 1_000 * (first_token_at - started),
    }


def format_trace(table: dict[str, Any], *, verbose: bool = False) -> str:
    """Return what `Trace.table` says as text for a terminal; `verbose`: with all numbers."""
    texts = [each["text"] for each in table["candidates"][:N_CONSIDERED]]
    lines = [table["words"]]
    if texts:
        lines.append(f"considered, best first: {', '.join(map(repr, texts))}")
    if table["model"]:
        lines.append(f"model: {table['model']}")
    if not verbose:
        return "\n".join([*lines, "-v shows the numbers"])
    lines.append(
        f"source {table['source'] or 'none'}, "
        f"probability {table['probability']:.2f}, shown from {table['threshold']:.2f}, "
        f"{table['total_ms']:.0f} ms"
    )
    for name in ("prompt_tokens", "network", "remote", "stage_ms"):
        values = ", ".join(f"{key} {value:g}" for key, value in table[name].items())
        lines.append(f"{name.replace('_', ' ')}: {values or 'none'}")
    for name, levels in table["matches"].items():
        values = ", ".join(f"{each['bytes']} bytes at {each['places']}" for each in levels)
        lines.append(f"matches in the {name}: {values or 'none'}")
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
