"""The weights of a tuning: low-rank adapters that learn, and points between base and tuned.

Adapters (Hu et al. 2021, arXiv:2106.09685) learn W + s B A, with W as it was, on the linear layers
of all blocks: for bases that are too large to be moved whole, those of others among them. The
merged weights are a plain network again. Shapes: W (out, in), A (r, in), B (out, r).

Weights between two networks that share their beginning keep most of what each knows (Wortsman et
al. 2021, arXiv:2109.01903). Of the points that keep general code, the one with the fewest bits per
byte of the development commits' lines is taken. Knows no repository.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import GPT
from training.data.progress import count_shown
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.judge import MAX_GENERAL_LOSS

ALPHA = 2.0  # s = alpha / r with alpha = 2 r
SHARES = (1.0, 0.85, 0.7, 0.5)  # of the way from the base to the tuned weights
_INSIDE = ".plain."  # in the names of adapted layers


class LowRank(nn.Module):
    """A linear layer that stays as it is and the change of it; none at first, since B is zero."""

    def __init__(self, plain: nn.Linear, rank: int) -> None:
        super().__init__()
        out, inside = plain.weight.shape
        rank = min(rank, out, inside)
        bound = math.sqrt(3.0 / inside)
        self.plain = plain
        self.a = nn.Parameter(torch.empty(rank, inside).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(out, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + s (x A^T) B^T: no matrix of W's size is made, nor its gradient."""
        change = x @ self.a.to(x.dtype).T @ (ALPHA * self.b).to(x.dtype).T
        out: Tensor = self.plain(x) + change
        return out

    def merge(self) -> Tensor:
        """Return W + s B A."""
        return self.plain.weight.float() + ALPHA * (self.b @ self.a)


def adapt(network: GPT, rank: int, dtype: torch.dtype = torch.float32) -> None:
    """Put adapters beside the linear layers of all blocks and let nothing else learn.

    What does not learn is held in `dtype`, that of the activations.
    """
    network.to(dtype).requires_grad_(False)
    for module in list(network.model.layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LowRank(child, rank))


def adapted_weights(network: GPT, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return plain weights under the names that an adapted network has, adapters as they are."""
    return {
        name: weights.get(name.replace(_INSIDE, "."), own)
        for name, own in network.state_dict().items()
    }


def plain_weights(network: GPT) -> dict[str, Tensor]:
    """Return the weights of a network under its plain names, adapters merged in."""
    merged = {
        f"{name}.weight": module.merge()
        for name, module in network.named_modules()
        if isinstance(module, LowRank)
    }
    adapters = {f"{name.removesuffix('.weight')}.{part}" for name in merged for part in "ab"}
    plain = {
        name.replace(_INSIDE, "."): tensor
        for name, tensor in network.state_dict().items()
        if name not in adapters
    }
    return {
        name: tensor.detach().to(torch.float32, copy=True)
        for name, tensor in (plain | merged).items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InterpolationPoint:
    """One point of the way and its bits per byte; the base is at 0."""

    share: float
    later: float  # of lines that the development commits added
    general: float


def interpolate(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return base + share * (tuned - base), each tensor in float32."""
    return {
        name: torch.lerp(tensor.float(), tuned[name].float(), share)
        for name, tensor in base.items()
    }


def measure_points(
    base: ModelFolder,
    tuned: Mapping[str, Tensor],
    later: Sequence[Passage],
    general: Sequence[Passage],
) -> list[InterpolationPoint]:
    """Measure the base and each point; the base is first."""
    device = choose_device()
    network = GPT(base.config, dtype=device.dtype).to(device.device)
    scorer = network_scorer(network, base.tokenizer(), base.info.block_size)
    weights = base_weights(base)
    points = []
    for share in count_shown("points of the way", (0.0, *SHARES), 1 + len(SHARES)):
        network.load_state_dict(interpolate(weights, tuned, share))
        bits = [
            bits_per_byte(measure_cost(scorer, passage) for passage in passages)
            for passages in (later, general)
        ]
        points.append(InterpolationPoint(share=share, later=bits[0], general=bits[1]))
    return points


def choose_point(points: Sequence[InterpolationPoint]) -> InterpolationPoint:
    """Return the point with the fewest bits of later lines among those that keep general code.

    Without one, the point that keeps most of it: the judge will say no. The base is the first
    point and is never chosen.
    """
    base, *others = points
    limit = base.general * (1 + MAX_GENERAL_LOSS)
    if keeping := [point for point in others if point.general <= limit]:
        return min(keeping, key=lambda point: point.later)
    return min(others, key=lambda point: point.general)


def base_weights(folder: ModelFolder) -> dict[str, Tensor]:
    """Return a folder's weights as tensors, by their Hugging Face names."""
    return {name: torch.from_numpy(array) for name, array in folder.tensors().items()}
