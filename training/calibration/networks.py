"""Small networks fitted with torch, and turned into the plain numbers that serving evaluates.

The ranker is fitted listwise: a softmax over a cursor's candidates and one more outcome, "none of
them". The gate is fitted to say how likely the chosen text is right, on rankings of sheets that the
ranker had not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from assistant.rank.confidence import GATE_FEATURES, gate_row
from assistant.rank.features import Rows
from assistant.rank.ranker import FittedRanker, Floats, SmallNetwork
from training.calibration.collect import RankingExample

DIGITS = 5  # of a parameter, significant
MIN_SHOWN_CHARS = 2

Loss = Callable[[nn.Module, torch.Tensor], torch.Tensor]  # (network, places of a batch)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Size and course of a fit."""

    hidden: int = 24
    epochs: int = 20
    batch: int = 128
    rate: float = 3e-3
    decay: float = 1e-2
    members: int = 1
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RankedChoice:
    """The text that a ranking puts first, as the gate sees it."""

    row: list[float]
    probability: float
    is_right: bool
    is_exact: bool
    has_text: bool  # there was something to choose from
    sheet: RankingExample


def _standard(rows: Rows) -> tuple[Floats, Floats]:
    return rows.mean(0), rows.std(0) + np.float32(1e-3)


def _network(n_columns: int, shape: Shape) -> nn.Sequential:
    torch.manual_seed(shape.seed)
    return nn.Sequential(nn.Linear(n_columns, shape.hidden), nn.SiLU(), nn.Linear(shape.hidden, 1))


def _joined(networks: Sequence[nn.Sequential], mean: Floats, scale: Floats) -> SmallNetwork:
    """Return the mean of several networks, which is one wider network."""
    parts = [[each.detach().numpy() for each in network.parameters()] for network in networks]
    return SmallNetwork(
        mean=mean,
        scale=scale,
        hidden=np.concatenate([weight for weight, _, _, _ in parts]),
        hidden_bias=np.concatenate([bias for _, bias, _, _ in parts]),
        out=np.concatenate([out[0] / np.float32(len(parts)) for _, _, out, _ in parts]),
        out_bias=float(np.mean([bias[0] for _, _, _, bias in parts])),
    )


def fit_ranker(sheets: Sequence[RankingExample], shape: Shape) -> SmallNetwork:
    """Fit the order of candidates on sheets of one kind of columns."""
    used = [each for each in sheets if each.texts]
    mean, scale = _standard(np.concatenate([each.rows for each in used]))
    n_most = max(len(each.texts) for each in used)
    inputs = np.zeros((len(used), n_most, len(mean)), np.float32)
    mask = np.zeros((len(used), n_most + 1), bool)
    mask[:, n_most] = True  # none of them
    labels = np.full(len(used), n_most)
    for place, each in enumerate(used):
        inputs[place, : len(each.texts)] = np.clip((each.rows - mean) / scale, -5, 5)
        mask[place, : len(each.texts)] = True
        labels[place] = each.label if each.label >= 0 else n_most
    tensors = torch.from_numpy(inputs), torch.from_numpy(mask), torch.from_numpy(labels)

    def loss(network: nn.Module, at: torch.Tensor) -> torch.Tensor:
        rows, allowed, wanted = (each[at] for each in tensors)
        scores = network(rows)[..., 0]
        scores = torch.cat([scores, scores.new_zeros(len(at), 1)], dim=1)
        return nn.functional.cross_entropy(scores.masked_fill(~allowed, -1e9), wanted)

    return _joined(_descended(len(mean), len(used), loss, shape), mean, scale)


def fit_gate(choices: Sequence[RankedChoice], shape: Shape) -> SmallNetwork:
    """Fit the probability that the chosen text is right."""
    used = [each for each in choices if each.has_text]
    rows = np.array([each.row for each in used], np.float32)
    mean, scale = _standard(rows)
    inputs = torch.from_numpy(np.clip((rows - mean) / scale, -5, 5))
    labels = torch.tensor([float(each.is_right) for each in used])

    def loss(network: nn.Module, at: torch.Tensor) -> torch.Tensor:
        scores = network(inputs[at])[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(scores, labels[at])

    return _joined(_descended(len(mean), len(used), loss, shape), mean, scale)


def _descended(n_columns: int, n: int, loss: Loss, shape: Shape) -> list[nn.Sequential]:
    """Return `shape.members` networks, each fitted from its own beginning."""
    networks = []
    for member in range(shape.members):
        its = dataclasses.replace(shape, seed=shape.seed + member)
        network = _network(n_columns, its)
        optimiser = torch.optim.AdamW(network.parameters(), lr=its.rate, weight_decay=its.decay)
        draws = torch.Generator().manual_seed(its.seed)
        for epoch in range(its.epochs):
            for group in optimiser.param_groups:
                group["lr"] = its.rate * (1 - epoch / its.epochs) + 1e-5
            order = torch.randperm(n, generator=draws)
            for start in range(0, n, its.batch):
                optimiser.zero_grad()
                loss(network, order[start : start + its.batch]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        networks.append(network)
    return networks


def choose(each: RankingExample, fitted: FittedRanker) -> RankedChoice:
    """Return what the fitted ranking puts first."""
    if not each.texts:
        return RankedChoice(
            row=[], probability=0.0, is_right=False, is_exact=False, has_text=False, sheet=each
        )
    shares = fitted.probabilities(each.rows)
    place = int(shares.argmax())
    named = dict(zip(each.names, map(float, each.rows[place]), strict=True))
    text = each.texts[place]
    row = gate_row(each.texts, shares, place, named)
    return RankedChoice(
        row=row,
        probability=fitted.probability(row),
        is_right=is_right(text, each.truth),
        is_exact=text == each.truth,
        has_text=True,
        sheet=each,
    )


def is_right(text: str, truth: str) -> bool:
    """Say whether a shown text is a right beginning of the truth, two characters or more."""
    wanted = max(1, min(MIN_SHOWN_CHARS, len(truth)))
    return len(text) >= wanted and truth.startswith(text)


def out_of_fold(sheets: Sequence[RankingExample], ranker: Shape, gate: Shape) -> list[RankedChoice]:
    """Return each sheet's choice by models fitted on the other repositories."""
    repositories = sorted({each.repository for each in sheets})
    folds: Mapping[str, int] = {name: i for i, name in enumerate(repositories)}
    n_folds = len(repositories)
    if n_folds < 2:  # one repository: its files stand in for repositories
        groups = sorted({each.group for each in sheets})
        n_folds = 3
        folds = {name: i % n_folds for i, name in enumerate(groups)}
    of = [folds.get(each.repository, folds.get(each.group, 0)) for each in sheets]
    rankers = []
    for fold in range(n_folds):
        rest = [each for each, its in zip(sheets, of, strict=True) if its != fold]
        rankers.append(fit_ranker(rest, ranker))
    plain = [
        choose(each, dataclasses.replace(BLANK, ranker=rankers[its]))
        for each, its in zip(sheets, of, strict=True)
    ]
    chosen: list[RankedChoice] = []
    gates = [
        fit_gate([c for c, its in zip(plain, of, strict=True) if its != fold], gate)
        for fold in range(n_folds)
    ]
    for each, its in zip(plain, of, strict=True):
        fitted = dataclasses.replace(BLANK, gate=gates[its])
        probability = fitted.probability(each.row) if each.has_text else 0.0
        chosen.append(dataclasses.replace(each, probability=probability))
    return chosen


def _blank_net() -> SmallNetwork:
    n = len(GATE_FEATURES)
    zeros = np.zeros(n, np.float32)
    return SmallNetwork(
        mean=zeros,
        scale=zeros + 1,
        hidden=np.zeros((1, n), np.float32),
        hidden_bias=np.zeros(1, np.float32),
        out=np.zeros(1, np.float32),
        out_bias=0.0,
    )


BLANK = FittedRanker(ranker=_blank_net(), gate=_blank_net(), points={})


def table_of(net: SmallNetwork) -> dict[str, Any]:
    """Return a network as plain JSON values."""
    return {
        name: _rounded(getattr(net, name))
        for name in ("mean", "scale", "hidden", "hidden_bias", "out", "out_bias")
    }


def _rounded(value: NDArray[np.float32] | float) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if value.ndim == 2:
        return [_rounded(row) for row in value]
    return [float(f"{float(each):.{DIGITS}g}") for each in value]
