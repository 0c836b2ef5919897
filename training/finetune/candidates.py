"""How far to go from the base to the tuned weights: the line between them, at a few points.

Weights between two networks that share their beginning keep most of what each knows (Wortsman et
al. 2021, arXiv:2109.01903). The point that foresees the development commits' lines best is taken,
among those that keep general code. Knows weights, no repository.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import GPT
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.judging.progress import OnProgress, Phases

SHARES = (1.0, 0.85, 0.7, 0.5)  # of the way from the base to the tuned weights
MAX_GENERAL_LOSS = 0.02  # of the base's bits per byte of general code

Weights = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bits:
    """Bits per byte of one set of weights."""

    later: float  # of lines that the development commits added
    general: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WeightCandidate:
    """One point of the way; the base is at 0."""

    share: float
    bits: Bits


def between(start: Weights, tuned: Weights, share: float) -> dict[str, Tensor]:
    """Return start + share * (tuned - start), each tensor in float32."""
    return {
        name: torch.lerp(tensor.float(), tuned[name].float(), share)
        for name, tensor in start.items()
    }


def measure(
    start: Weights,
    tuned: Weights,
    score: Callable[[Weights], Bits],
    on_progress: OnProgress | None = None,
) -> tuple[WeightCandidate, ...]:
    """Score the base and each point."""
    progress, found = on_progress or Phases(), list[WeightCandidate]()
    for share in (0.0, *SHARES):
        found.append(WeightCandidate(share=share, bits=score(between(start, tuned, share))))
        progress("points of the way", len(found), 1 + len(SHARES))
    return tuple(found)


def choose(candidates: Sequence[WeightCandidate], general_limit: float) -> WeightCandidate:
    """Return the point with the fewest bits of later lines among those that keep general code.

    Without one, the point that keeps most of it: the judge will say no.
    """
    points = [candidate for candidate in candidates if candidate.share]
    kept = [point for point in points if point.bits.general <= general_limit]
    if not kept:
        return min(points, key=lambda point: point.bits.general)
    return min(kept, key=lambda point: point.bits.later)


def scorer(
    folder: ModelFolder, later: Sequence[Passage], general: Sequence[Passage]
) -> Callable[[Weights], Bits]:
    """Return a function that measures weights of the folder's shape."""
    device = choose_device()
    network = GPT(folder.config, dtype=device.dtype).to(device.device)
    tokenizer = folder.tokenizer()

    def score(weights: Weights) -> Bits:
        network.load_state_dict(dict(weights))
        measured = network_scorer(network, tokenizer, folder.info.block_size)
        return Bits(
            later=bits_per_byte(measure_cost(measured, passage) for passage in later),
            general=bits_per_byte(measure_cost(measured, passage) for passage in general),
        )

    return score
