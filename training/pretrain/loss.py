"""Cross-entropy of a tied head over a large vocabulary, without keeping the logits.

The (N, V) logits of a step would be the largest tensor of all; taken in chunks they stay in the
CPU's cache. A larger network may teach: what it would answer is learnt beside the text itself. It
reads the same rows as the pupil, in the same step; nothing of it is stored.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.config import ConfigError
from model.folder import ModelFolder, load_folder
from model.gpt import load_network
from training.recipe import Recipe

IGNORE = -1  # target of a position that carries no loss
CPU_CHUNK_NUMBERS = 1 << 22  # logits at a time: 16 MB in fp32; twice and half as many are slower
GPU_CHUNK = 8_192  # rows


class Teaching(NamedTuple):
    """What another network of the same vocabulary would answer."""

    hidden: Tensor  # (..., C of that network)
    weight: Tensor  # (V, C of that network)
    share: float  # of its answers in what is learnt, the ids themselves being the rest


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Mean loss whose gradients are made in the forward pass, so nothing is computed twice."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        chunk: int,
        teaching: Teaching | None = None,
    ) -> Tensor:
        """hidden (N, C), weight (V, C), targets (N,) -> mean loss of targets but IGNORE."""
        weight = weight.to(hidden.dtype)  # in here, so that its gradient is never rounded to it
        kept = targets != IGNORE
        share = (kept / kept.sum().clamp(min=1))[:, None]  # of each target in the mean (N, 1)
        wanted = targets.clamp(min=0)[:, None]
        weighted = hidden * share.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        # Summed over the chunks in fp32: in bf16 it would lose 0.4%.
        learns = ctx.needs_input_grad[1]  # a head beside adapters does not
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if learns else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.size(0), chunk):
            part = slice(start, start + chunk)
            loss, grad = _softmax_loss(hidden[part] @ weight.mT, wanted[part])
            total += (loss * share[part]).sum()
            if teaching is not None:
                # p - ((1 - s) right + s taught) = (p - right) - s (taught - right)
                taught = teaching.hidden[part] @ teaching.weight.mT
                grad.sub_(_softmax_loss(taught, wanted[part])[1], alpha=teaching.share)
            grad_hidden[part] = (grad @ weight).mul_(share[part])
            if grad_weight is None:
                continue
            if grad.dtype == torch.float32:
                grad_weight.addmm_(grad.mT, weighted[part])
            else:
                grad_weight += grad.mT @ weighted[part]
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients made in forward."""
        grad_hidden, grad_weight = ctx.saved_tensors
        (grad,) = grads
        return (
            grad_hidden * grad.to(grad_hidden.dtype),
            None if grad_weight is None else grad_weight * grad,
            None,
            None,
            None,
        )


def _softmax_loss(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's loss (n, 1) in fp32 and its gradient by the logits (n, V), in their dtype.

    Each pass over the logits costs as much as a tenth of their product, so there are few: softmax
    works in fp32 inside. What the wrong ids are given is summed, not 1 - p of the right one: in
    bf16 that would be zero for all p above 0.998.
    """
    grad = logits.softmax(-1)
    right = grad.gather(1, wanted).float()
    wrong = grad.scatter_(1, wanted, 0.0).sum(-1, keepdim=True, dtype=torch.float32)
    grad.scatter_(1, wanted, -wrong.to(grad.dtype))
    smallest = torch.finfo(torch.float32).tiny
    loss = torch.where(right > 0.5, -torch.log1p(-wrong), -right.clamp(min=smallest).log())
    return loss, grad


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    chunk: int = 0,
    teaching: Teaching | None = None,
) -> Tensor:
    """Return the mean cross-entropy in nats of `hidden` (..., C) against ids `targets` (...).

    `chunk` rows of logits are made at a time; 0: as many as suit the device. With `teaching` the
    gradient is that of the cross-entropy against ids and another network's answers, mixed (Hinton
    et al. 2015); the loss that is returned stays that of the ids, so that runs can be compared.
    """
    flat = hidden.reshape(-1, hidden.size(-1))
    fitting = GPU_CHUNK if flat.is_cuda else max(64, CPU_CHUNK_NUMBERS // weight.size(0))
    apply: Callable[..., Tensor] = _ChunkedCrossEntropy.apply
    if teaching is not None:
        states = teaching.hidden.reshape(-1, teaching.hidden.size(-1))
        teaching = teaching._replace(hidden=states)
    return apply(flat, weight, targets.reshape(-1), chunk or fitting, teaching)


class Teacher:
    """The network of a model folder with the pupil's tokenizer; `name` is its content hash."""

    def __init__(self, folder: ModelFolder, *, share: float, device: torch.device) -> None:
        """Load it onto a device; `share` is what counts of its answers."""
        self._network = load_network(folder).to(device).requires_grad_(requires_grad=False)
        self._share = share
        self.name = folder.content_hash

    def compute_as(self, dtype: torch.dtype, *, compiled: bool) -> None:
        """Take the pupil's precision, and compile or not."""
        self._network.dtype = dtype
        hidden = self._network.hidden
        self._forward = torch.compile(hidden, dynamic=False) if compiled else hidden

    @torch.no_grad()
    def answer(self, idx: Tensor) -> Teaching:
        """Return what it says to ids (B, T)."""
        states = self._forward(idx)  # (B, T, C)
        return Teaching(states, self._network.head_weight.to(states.dtype), self._share)


def load_teacher(recipe: Recipe, device: torch.device) -> Teacher | None:
    """Return a recipe's teacher, if it names one; ConfigError when that cannot teach it."""
    path, pupil = recipe.train.teacher, recipe.network.config()
    if not path:
        return None
    folder = load_folder(Path(path))
    config = folder.config
    if config.vocab_size != pupil.vocab_size or config.block_size < pupil.block_size:
        raise ConfigError(
            f"{path} cannot teach this network: it has {config.vocab_size} ids and "
            f"{config.block_size} tokens of context; {pupil.vocab_size} and at least "
            f"{pupil.block_size} are wanted"
        )
    return Teacher(folder, share=recipe.train.teacher_share, device=device)
