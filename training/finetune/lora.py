"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): learn W + s B A, with W as it was.

On all linear layers and the embedding. A regularised fine-tune for bases that are too large to be
moved whole; the merged weights are a plain network again. Torch's parametrisations do the work, so
the network's own code knows nothing of it.

Shapes: W (out, in), A (r, in), B (out, r).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from model.gpt import GPT

ALPHA = 2.0  # s = alpha / r with alpha = 2 r
_INSIDE = ".parametrizations.weight."


class LowRank(nn.Module):
    """The change of one matrix; nothing at first, since B is zero."""

    def __init__(self, out: int, inside: int, rank: int) -> None:
        super().__init__()
        bound = math.sqrt(3.0 / inside)
        self.a = nn.Parameter(torch.empty(rank, inside).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed matrix."""
        return weight + ALPHA * (self.b @ self.a)


def adapt(network: GPT, rank: int) -> None:
    """Put adapters into a network and let nothing else learn."""
    for parameter in network.parameters():
        parameter.requires_grad = False
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            out, inside = module.weight.shape
            change = LowRank(out, inside, min(rank, out, inside))
            parametrize.register_parametrization(module, "weight", change)


def adapted_weights(network: GPT, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return plain weights under the names that an adapted network has, adapters as they are."""
    return {
        name: weights.get(name.replace(f"{_INSIDE}original", ".weight"), own)
        for name, own in network.state_dict().items()
    }


def plain_weights(network: GPT) -> dict[str, Tensor]:
    """Return the weights of a network under its plain names, adapters merged in."""
    found = {}
    for name, tensor in network.state_dict().items():
        module, inside, _ = name.partition(_INSIDE)
        plain = f"{module}.weight" if inside else name
        if plain not in found:
            with torch.no_grad():
                merged = network.get_submodule(module).weight if inside else tensor
            assert isinstance(merged, Tensor), plain
            found[plain] = merged.detach().clone()
    return found
