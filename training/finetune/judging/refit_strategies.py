"""Strategies to fit a ranker or a gate to a little data, all beginning with a fitted network.

A linear term beside it, or all of its weights; each with a new scale and offset, and regularised
more, the less data there is. How much, and which strategies at all, was measured: fitting anew is
worse than not fitting. A linear term is two hidden units, for silu(z) - silu(-z) = z, so serving
knows one form only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from assistant.rank.ranker import FittedRanker, SmallNetwork
from training.calibration.collect import RankingExample
from training.calibration.networks import RankedChoice, listwise_loss, pad_examples, standardise

KEEP, LINEAR, WARM = "as it is", "linear term", "warm start"
RANKER_STRATEGIES, GATE_STRATEGIES = (KEEP, LINEAR, WARM), (KEEP, LINEAR)
STEPS = 100
_RATE = {LINEAR: 2e-2, WARM: 3e-3}
_RANKER_HOLD = {LINEAR: 30.0, WARM: 100.0}  # what a squared change of one costs, in cursors
_GATE_HOLD = {LINEAR: 10.0}

Loss = Callable[[Tensor], Tensor]  # scores (N, ...) -> mean loss


class _Adjusted(nn.Module):
    """A fixed network with what is fitted beside it, or in it."""

    def __init__(self, net: SmallNetwork, strategy: str) -> None:
        super().__init__()
        parts = {
            name: torch.from_numpy(np.array(getattr(net, name), np.float32))
            for name in ("hidden", "hidden_bias", "out")
        }
        self.start = {name: part.clone() for name, part in parts.items()}
        self.weights = nn.ParameterDict(
            {
                name: nn.Parameter(part, requires_grad=strategy == WARM)
                for name, part in parts.items()
            }
        )
        self.out_bias = net.out_bias
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))
        self.slope = nn.Parameter(torch.zeros(len(net.mean)), requires_grad=strategy == LINEAR)

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
    def export(self, start: SmallNetwork) -> SmallNetwork:
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


def refit_ranker(
    strategy: str, start: FittedRanker, examples: Sequence[RankingExample]
) -> FittedRanker:
    """Fit the order of candidates on examples."""
    used = [each for each in examples if each.texts]
    if strategy == KEEP or not used:
        return start
    inputs, mask, labels = pad_examples(used, start.ranker.mean, start.ranker.scale)

    def loss(scores: Tensor) -> Tensor:
        return listwise_loss(scores, mask, labels)

    ranker = _fit(strategy, start.ranker, inputs, loss, _RANKER_HOLD[strategy] / len(used))
    return dataclasses.replace(start, ranker=ranker)


def refit_gate(strategy: str, start: FittedRanker, choices: Sequence[RankedChoice]) -> FittedRanker:
    """Fit the probability that the chosen text is right."""
    used = [each for each in choices if each.has_text]
    if strategy == KEEP or not used:
        return start
    inputs = standardise([each.row for each in used], start.gate.mean, start.gate.scale)
    labels = torch.tensor([float(each.is_right) for each in used])

    def loss(scores: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(scores, labels)

    gate = _fit(strategy, start.gate, inputs, loss, _GATE_HOLD[strategy] / len(used))
    return dataclasses.replace(start, gate=gate)


def _fit(
    strategy: str, start: SmallNetwork, inputs: Tensor, loss: Loss, hold: float
) -> SmallNetwork:
    network = _Adjusted(start, strategy)
    fitted = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(fitted, lr=_RATE[strategy])
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = _RATE[strategy] * (1 - step / STEPS)
        optimiser.zero_grad()
        total = loss(network(inputs)) + network.change() * hold
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.export(start)
