"""Hand-made parameters of ranker and gate: scores that can be read off one or two columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assistant.rank.beginnings import GATE_FEATURES
from assistant.rank.features import INDEX_FEATURES, NETWORK_FEATURES, Rows
from assistant.rank.ranker import FORMAT_VERSION, LEVELS, OTHERS, RankerParameters, columns, parse
from assistant.rank.ranking import Ranking

LARGE = 100.0  # x + LARGE passes the hidden unit unchanged: it is linear that far out


def net(names: Sequence[str], weights: Mapping[str, float], bias: float = 0.0) -> dict[str, Any]:
    """Return a network whose score is the weighted sum of columns (each kept within 5)."""
    return {
        "mean": [0.0] * len(names),
        "scale": [1.0] * len(names),
        "hidden": [[weights.get(name, 0.0) for name in names]],
        "hidden_bias": [LARGE],
        "out": [1.0],
        "out_bias": bias - LARGE,
    }


def table(
    *,
    ranker: Mapping[str, float] | None = None,
    gate: Mapping[str, float] | None = None,
    gate_bias: float = 0.0,
    thresholds: Mapping[str, float] | None = None,
    languages: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Return the table of a `ranker.json`; by default what agrees longest is believed most."""
    thresholds = {"quiet": 0.75, "balanced": 0.5, "eager": 0.0} | dict(thresholds or {})
    fitted = {
        "gate": net(GATE_FEATURES, {"agreeing_logit": 1.0} if gate is None else gate, gate_bias),
        "points": {
            name: {"threshold": thresholds[name], "precision": 0.6, "coverage": 0.5, "hidden": 0.2}
            for name in LEVELS
        },
        "languages": {OTHERS: [1.0, 0.0]} | dict(languages or {}),
    }
    weights = ranker or {"longest": 1.0}
    return {
        "format_version": FORMAT_VERSION,
        "columns": columns(),
        "memory": {"ranker": net(INDEX_FEATURES, weights), **fitted},
        "both": {"ranker": net(INDEX_FEATURES + NETWORK_FEATURES, weights), **fitted},
    }


def parameters(**changes: Any) -> RankerParameters:
    """Return `table(...)`, parsed."""
    return parse(table(**changes))


def ranking_of(texts: Sequence[str], rows: Rows, names: Sequence[str]) -> Ranking:
    """Return these texts with their columns, all believed alike."""
    return Ranking(
        texts=tuple(texts),
        shares=np.full(len(texts), 0.2, np.float32),
        rows=rows,
        names=tuple(names),
        from_index=frozenset(texts),
        fitted=None,
        scores=(None,) * len(texts),
        line="",
        language="",
    )
