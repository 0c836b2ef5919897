"""Examples whose truth is the candidate of the longest match, if that is long at all."""

from __future__ import annotations

import dataclasses

import numpy as np

from assistant.rank.beginnings import GATE_FEATURES
from assistant.rank.ranker import FittedRanker, SmallNetwork
from tests.fitted import parameters
from training.calibration.collect import RankingExample

NAMES = ("longest", "other")


def made_examples(
    n: int, *, seed: int = 0, n_commits: int = 8, least: float = 0.8
) -> list[RankingExample]:
    """Return `n` examples of two columns; the first one tells."""
    dice = np.random.default_rng(seed)
    made = []
    for number in range(n):
        rows = dice.standard_normal((4, len(NAMES))).astype(np.float32)
        best = int(rows[:, 0].argmax())
        texts = tuple(f"text{place}" for place in range(4))
        made.append(
            RankingExample(
                repository="r",
                group=f"commit{number % n_commits}",
                kind="history",
                truth=texts[best] if rows[best, 0] > least else "none of them",
                texts=texts,
                rows=rows,
                names=NAMES,
            )
        )
    return made


def made_fitted(weight: float, bias: float = 0.0) -> FittedRanker:
    """Return a ranker whose score is `weight` times the first column, plus `bias`."""
    gate = parameters().index
    hidden = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)  # silu(z) - silu(-z) = z
    ranker = SmallNetwork(
        mean=np.zeros(2, np.float32),
        scale=np.ones(2, np.float32),
        hidden=hidden,
        hidden_bias=np.zeros(2, np.float32),
        out=np.array([weight, -weight], np.float32),
        out_bias=bias,
    )
    assert len(gate.gate.mean) == len(GATE_FEATURES)
    return dataclasses.replace(gate, ranker=ranker)
