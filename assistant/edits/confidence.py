"""How likely a proposed edit is right: a logistic model a kind, fitted on real commits.

`training/calibration/next_edit.py` fits it and writes `confidence.json`, with the share that was
right on held-out commits from each threshold on.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from assistant.edits.proposals import Proposal

FILE = "confidence.json"
MAX_FEATURE = 5.0  # what a feature counts at most: a text of a thousand lines is like one of 150
BIAS = "bias"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confidence:
    """The fitted parameters."""

    weights: Mapping[str, Mapping[str, float]]  # by the proposal's kind, then by feature
    thresholds: Mapping[str, float]  # by the setting `show`

    def probability(self, proposal: Proposal) -> float:
        """Return how likely `proposal` is what the user does next at its place; 0 if unknown."""
        weights = self.weights.get(proposal.kind)
        if weights is None:
            return 0.0
        logit = weights[BIAS]
        for name, value in proposal.features.items():
            logit += weights.get(name, 0.0) * min(value, MAX_FEATURE)
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


@functools.cache
def load_confidence() -> Confidence:
    """Return the parameters that came with the package."""
    text = resources.files("assistant.edits").joinpath(FILE).read_text(encoding="utf-8")
    table = json.loads(text)
    return Confidence(weights=table["weights"], thresholds=table["thresholds"])
