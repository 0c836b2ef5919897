"""Cross-entropy of a tied head over a large vocabulary, without keeping the logits.

The (N, V) logits of a step would be the largest tensor of all; taken in chunks they stay in the
CPU's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

IGNORE = -1  # target of a position that carries no loss
CPU_CHUNK_NUMBERS = 1 << 22  # logits at a time: 16 MB in fp32; twice and half as many are slower
GPU_CHUNK = 8_192  # rows


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Mean loss whose gradients are made in the forward pass, so nothing is computed twice."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int) -> Tensor:
        """hidden (N, C), weight (V, C), targets (N,) -> mean loss of targets but IGNORE."""
        kept = targets != IGNORE
        share = (kept / kept.sum().clamp(min=1))[:, None]  # of each target in the mean (N, 1)
        wanted = targets.clamp(min=0)[:, None]
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.size(0), chunk):
            part = slice(start, start + chunk)
            loss, grad = _softmax_loss(hidden[part] @ weight.mT, wanted[part], share[part])
            total += loss
            grad = grad.to(hidden.dtype)  # (chunk, V)
            grad_hidden[part] = grad @ weight
            grad_weight.addmm_(grad.mT, hidden[part])
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients made in forward."""
        grad_hidden, grad_weight = ctx.saved_tensors
        (grad,) = grads
        return (
            grad_hidden * grad.to(grad_hidden.dtype),
            grad_weight * grad.to(grad_weight.dtype),
            None,
            None,
        )


def _softmax_loss(logits: Tensor, wanted: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss and its gradient by the logits (n, V); reuses the logits' memory.

    Each pass over the logits costs as much as a tenth of their product, so there are few.
    """
    logits = logits.float()  # log-sum-exp in fp32 whatever the matmul's dtype
    largest = logits.amax(-1, keepdim=True)  # (n, 1)
    right = logits.gather(1, wanted)
    exponentials = logits.sub_(largest).exp_()
    total = exponentials.sum(-1, keepdim=True)
    loss = ((total.log() + largest - right) * share).sum()
    return loss, exponentials.mul_(share / total).scatter_add_(1, wanted, -share)


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, *, chunk: int = 0) -> Tensor:
    """Return the mean cross-entropy in nats of `hidden` (..., C) against ids `targets` (...).

    `chunk` rows of logits are made at a time; 0: as many as suit the device.
    """
    flat = hidden.reshape(-1, hidden.size(-1))
    fitting = GPU_CHUNK if flat.is_cuda else max(64, CPU_CHUNK_NUMBERS // weight.size(0))
    apply: Callable[..., Tensor] = _ChunkedCrossEntropy.apply
    return apply(flat, weight.to(flat.dtype), targets.reshape(-1), chunk or fitting)
