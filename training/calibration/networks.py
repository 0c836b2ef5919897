"""Small networks fitted with torch, and turned into the plain numbers that serving evaluates.

The ranker is fitted listwise: a softmax over a cursor's candidates and one more outcome, "none of
them". The gate is fitted to say how likely the chosen text is right, on rankings of examples that
the ranker had not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from assistant.rank.confidence import GATE_FEATURES, gate_row
from assistant.rank.features import Rows
from assistant.rank.ranker import FittedRanker, Floats, SmallNetwork
from training.calibration.collect import RankingExample

DIGITS = 5  # of a parameter, significant
_LIMIT = 5.0  # of a standardised column, as in serving
MIN_SHOWN_CHARS = 2
T = TypeVar("T")

Loss = Callable[[nn.Module, torch.Tensor], torch.Tensor]  # (network, positions of a batch)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FitSettings:
    """Size of a network and course of its fit."""

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
    belief: float  # of the ranker in what was right, which may be none of the texts
    example: RankingExample


def pad_examples(
    examples: Sequence[RankingExample], mean: Floats, scale: Floats
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return examples that have texts as tensors, padded to the most candidates M.

    Standardised inputs (N, M, F); a mask (N, M + 1) of what may be chosen, with "none of them" as
    one more outcome; labels (N,).
    """
    n_most = max(len(each.texts) for each in examples)
    inputs = torch.zeros(len(examples), n_most, len(mean))
    mask = torch.zeros(len(examples), n_most + 1, dtype=torch.bool)
    mask[:, n_most] = True
    for number, each in enumerate(examples):
        inputs[number, : len(each.texts)] = standardise(each.rows, mean, scale)
        mask[number, : len(each.texts)] = True
    labels = torch.tensor([each.label if each.label >= 0 else n_most for each in examples])
    return inputs, mask, labels


def listwise_loss(scores: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of scores (N, M); "none of them" scores zero."""
    scores = torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)
    return nn.functional.cross_entropy(scores.masked_fill(~mask, -1e9), labels)


def standardise(rows: ArrayLike, mean: Floats, scale: Floats) -> torch.Tensor:
    """Return columns (..., F) as serving sees them."""
    values = (np.asarray(rows, np.float32) - mean) / scale
    return torch.from_numpy(np.clip(values, -_LIMIT, _LIMIT).astype(np.float32))


def _scale_of(rows: Rows) -> tuple[Floats, Floats]:
    return rows.mean(0), rows.std(0) + np.float32(1e-3)


def _average(networks: Sequence[nn.Sequential], mean: Floats, scale: Floats) -> SmallNetwork:
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


def fit_ranker(examples: Sequence[RankingExample], settings: FitSettings) -> SmallNetwork:
    """Fit the order of candidates on examples of one kind of columns."""
    used = [each for each in examples if each.texts]
    mean, scale = _scale_of(np.concatenate([each.rows for each in used]))
    inputs, mask, labels = pad_examples(used, mean, scale)

    def loss(network: nn.Module, at: torch.Tensor) -> torch.Tensor:
        return listwise_loss(network(inputs[at])[..., 0], mask[at], labels[at])

    return _average(_train(len(mean), len(used), loss, settings), mean, scale)


def fit_gate(choices: Sequence[RankedChoice], settings: FitSettings) -> SmallNetwork:
    """Fit the probability that the chosen text is right."""
    used = [each for each in choices if each.has_text]
    rows = np.array([each.row for each in used], np.float32)
    mean, scale = _scale_of(rows)
    inputs = standardise(rows, mean, scale)
    labels = torch.tensor([float(each.is_right) for each in used])

    def loss(network: nn.Module, at: torch.Tensor) -> torch.Tensor:
        scores = network(inputs[at])[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(scores, labels[at])

    return _average(_train(len(mean), len(used), loss, settings), mean, scale)


def _train(n_columns: int, n: int, loss: Loss, settings: FitSettings) -> list[nn.Sequential]:
    """Return `settings.members` networks, each fitted from its own beginning."""
    networks = []
    for member in range(settings.members):
        torch.manual_seed(settings.seed + member)
        network = nn.Sequential(
            nn.Linear(n_columns, settings.hidden), nn.SiLU(), nn.Linear(settings.hidden, 1)
        )
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.rate, weight_decay=settings.decay
        )
        draws = torch.Generator().manual_seed(settings.seed + member)
        for epoch in range(settings.epochs):
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * (1 - epoch / settings.epochs) + 1e-5
            for batch in torch.split(torch.randperm(n, generator=draws), settings.batch):
                optimiser.zero_grad()
                loss(network, batch).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        networks.append(network)
    return networks


def choose(each: RankingExample, fitted: FittedRanker) -> RankedChoice:
    """Return what the fitted ranking puts first."""
    shares = fitted.probabilities(each.rows)
    belief = float(shares[each.label]) if each.label >= 0 else 1 - float(shares.sum())
    if not each.texts:
        return RankedChoice(
            row=[], probability=0.0, is_right=False, is_exact=False, has_text=False,
            belief=belief, example=each,
        )  # fmt: skip
    best = int(shares.argmax())
    named = dict(zip(each.names, map(float, each.rows[best]), strict=True))
    text = each.texts[best]
    row = gate_row(each.texts, shares, best, named)
    return RankedChoice(
        row=row,
        probability=fitted.probability(row),
        is_right=is_right(text, each.truth),
        is_exact=text == each.truth,
        has_text=True,
        belief=belief,
        example=each,
    )


def is_right(text: str, truth: str) -> bool:
    """Say whether a shown text is a right beginning of the truth, two characters or more."""
    wanted = max(1, min(MIN_SHOWN_CHARS, len(truth)))
    return len(text) >= wanted and truth.startswith(text)


def choose_out_of_fold(
    examples: Sequence[RankingExample], ranker: FitSettings, gate: FitSettings
) -> list[RankedChoice]:
    """Return each example's choice by networks fitted on the other repositories.

    Of one repository, its files or commits stand in for repositories.
    """
    names = [each.repository for each in examples]
    n_folds = len(set(names))
    if n_folds < 2:
        names, n_folds = [each.group for each in examples], 3
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    folds = [number[name] % n_folds for name in names]

    def with_ranker(some: Sequence[RankingExample]) -> FittedRanker:
        return dataclasses.replace(BLANK, ranker=fit_ranker(some, ranker))

    def with_gate(some: Sequence[RankedChoice]) -> FittedRanker:
        return dataclasses.replace(BLANK, gate=fit_gate(some, gate))

    plain = apply_out_of_fold(examples, folds, with_ranker, choose)
    return apply_out_of_fold(plain, folds, with_gate, apply_gate)


def apply_out_of_fold(
    items: Sequence[T],
    folds: Sequence[int],
    fit: Callable[[Sequence[T]], FittedRanker],
    apply: Callable[[T, FittedRanker], RankedChoice],
) -> list[RankedChoice]:
    """Return the choice for each item by what was fitted on the items of all other folds."""
    pairs = list(zip(items, folds, strict=True))
    fitted = {
        fold: fit([item for item, its in pairs if its != fold]) for fold in sorted(set(folds))
    }
    return [apply(item, fitted[fold]) for item, fold in pairs]


def apply_gate(choice: RankedChoice, fitted: FittedRanker) -> RankedChoice:
    """Return the choice with the probability that another gate gives it."""
    if not choice.has_text:
        return choice
    return dataclasses.replace(choice, probability=fitted.probability(choice.row))


_ZEROS = np.zeros(len(GATE_FEATURES), np.float32)
_BLANK_NETWORK = SmallNetwork(
    mean=_ZEROS,
    scale=_ZEROS + 1,
    hidden=_ZEROS[None],
    hidden_bias=np.zeros(1, np.float32),
    out=np.zeros(1, np.float32),
    out_bias=0.0,
)
BLANK = FittedRanker(ranker=_BLANK_NETWORK, gate=_BLANK_NETWORK, points={})


def fitted_table(fitted: FittedRanker) -> dict[str, Any]:
    """Return a ranker with its gate and points as in `ranker.json`."""
    return {
        "ranker": network_table(fitted.ranker),
        "gate": network_table(fitted.gate),
        "points": {name: dataclasses.asdict(each) for name, each in fitted.points.items()},
    }


def network_table(net: SmallNetwork) -> dict[str, Any]:
    """Return a network as plain JSON values."""
    rounded = np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])
    return {name: rounded(value).tolist() for name, value in dataclasses.asdict(net).items()}
