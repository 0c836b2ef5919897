"""How far to go from the base to the tuned weights: the line between them, at a few points.

Weights between two networks that share their beginning keep most of what each knows (Wortsman et
al. 2021, arXiv:2109.01903). Of the points that keep general code, the one with the fewest bits per
byte of the development commits' lines is taken. Knows weights, no repository.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import GPT
from training.data.progress import Progress
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer

SHARES = (1.0, 0.85, 0.7, 0.5)  # of the way from the base to the tuned weights
MAX_GENERAL_LOSS = 0.02  # of the base's bits per byte of general code


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
    progress, points = Progress("points of the way", 1 + len(SHARES)), list[InterpolationPoint]()
    for share in (0.0, *SHARES):
        network.load_state_dict(interpolate(weights, tuned, share))
        points.append(
            InterpolationPoint(
                share=share,
                later=bits_per_byte(measure_cost(scorer, passage) for passage in later),
                general=bits_per_byte(measure_cost(scorer, passage) for passage in general),
            )
        )
        progress.show(len(points), last=len(points) > len(SHARES))
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
