"""Ways to fit a ranker or a gate to a little data, all beginning with a network that is there.

A linear term beside it, or all of its weights; each with a new scale and offset, and held back the
more, the less data there is. How much, and which ways at all, was measured: fitting anew is worse
than not fitting. A linear term is two hidden units, for silu(z) - silu(-z) = z, so serving knows
one form only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assistant.rank.ranker import SmallNetwork
from training.calibration.collect import RankingExample
from training.calibration.networks import RankedChoice

KEEP, LINEAR, WARM = "as it is", "linear term", "warm start"
RANKER_WAYS, GATE_WAYS = (KEEP, LINEAR, WARM), (KEEP, LINEAR)
STEPS = 100
_RATE = {LINEAR: 2e-2, WARM: 3e-3}
_RANKER_HOLD = {LINEAR: 30.0, WARM: 100.0}  # what a squared change of one costs, in cursors
_GATE_HOLD = {LINEAR: 10.0}
_LIMIT = 5.0  # of a standardised column, as in serving

Loss = Callable[[Tensor], Tensor]  # scores (N, ...) -> mean loss


class _Beside(nn.Module):
    """A fixed network with what is fitted beside it, or in it."""

    def __init__(self, net: SmallNetwork, way: str) -> None:
        super().__init__()
        parts = {
            name: torch.from_numpy(np.array(getattr(net, name), np.float32))
            for name in ("hidden", "hidden_bias", "out")
        }
        self.start = {name: part.clone() for name, part in parts.items()}
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(part, requires_grad=way == WARM) for name, part in parts.items()}
        )
        self.out_bias = net.out_bias
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))
        self.slope = nn.Parameter(torch.zeros(len(net.mean)), requires_grad=way == LINEAR)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores (...) of standardised columns (..., F)."""
        weights = self.weights
        inner = nn.functional.silu(inputs @ weights["hidden"].T + weights["hidden_bias"])
        scores = inner @ weights["out"] + self.out_bias
        scaled: Tensor = scores * self.log_scale.exp() + self.shift + inputs @ self.slope
        return scaled

    def change(self) -> Tensor:
        """Return how far it is from where it began, squared."""
        moved = sum(((part - self.start[name]) ** 2).sum() for name, part in self.weights.items())
        rest = self.log_scale**2 + self.shift**2 + (self.slope**2).sum()
        return torch.as_tensor(moved + rest)

    @torch.no_grad()
    def net(self, start: SmallNetwork) -> SmallNetwork:
        """Return it as serving evaluates it."""
        scale, slope = self.log_scale.exp(), self.slope
        weights = {name: part.detach() for name, part in self.weights.items()}
        hidden, bias, out = (weights[name] for name in ("hidden", "hidden_bias", "out"))
        out = out * scale
        if bool(slope.any()):
            hidden = torch.cat([hidden, slope[None], -slope[None]])
            bias = torch.cat([bias, bias.new_zeros(2)])
            out = torch.cat([out, torch.tensor([1.0, -1.0])])
        return dataclasses.replace(
            start,
            hidden=hidden.numpy(),
            hidden_bias=bias.numpy(),
            out=out.numpy(),
            out_bias=float(self.out_bias * scale + self.shift),
        )


def ranker_by(way: str, start: SmallNetwork, sheets: Sequence[RankingExample]) -> SmallNetwork:
    """Fit the order of candidates on sheets."""
    used = [each for each in sheets if each.texts]
    if way == KEEP or not used:
        return start
    n_most = max(len(each.texts) for each in used)
    inputs = torch.zeros(len(used), n_most, len(start.mean))
    mask = torch.zeros(len(used), n_most + 1, dtype=torch.bool)
    mask[:, n_most] = True  # none of them
    for place, each in enumerate(used):
        inputs[place, : len(each.texts)] = _standard(start, each.rows)
        mask[place, : len(each.texts)] = True
    wanted = torch.tensor([each.label if each.label >= 0 else n_most for each in used])

    def loss(scores: Tensor) -> Tensor:
        scores = torch.cat([scores, scores.new_zeros(len(used), 1)], dim=1)
        return nn.functional.cross_entropy(scores.masked_fill(~mask, -1e9), wanted)

    return _descended(way, start, inputs, loss, _RANKER_HOLD[way] / len(used))


def gate_by(way: str, start: SmallNetwork, choices: Sequence[RankedChoice]) -> SmallNetwork:
    """Fit the probability that the chosen text is right."""
    used = [each for each in choices if each.has_text]
    if way == KEEP or not used:
        return start
    inputs = _standard(start, [each.row for each in used])
    labels = torch.tensor([float(each.is_right) for each in used])

    def loss(scores: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(scores, labels)

    return _descended(way, start, inputs, loss, _GATE_HOLD[way] / len(used))


def _standard(net: SmallNetwork, rows: Any) -> Tensor:
    values = (np.array(rows, np.float32) - net.mean) / net.scale
    return torch.from_numpy(np.clip(values, -_LIMIT, _LIMIT).astype(np.float32))


def _descended(
    way: str, start: SmallNetwork, inputs: Tensor, loss: Loss, hold: float
) -> SmallNetwork:
    beside = _Beside(start, way)
    fitted = [each for each in beside.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(fitted, lr=_RATE[way])
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = _RATE[way] * (1 - step / STEPS)
        optimiser.zero_grad()
        total = loss(beside(inputs)) + beside.change() * hold
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return beside.net(start)
