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


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Mean loss whose gradients are made in the forward pass, so nothing is computed twice."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int) -> Tensor:
        """hidden (N, C), weight (V, C), targets (N,) -> mean loss of targets but IGNORE."""
        kept = targets != IGNORE
        n_kept = kept.sum().clamp(min=1)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.size(0), chunk):
            part = slice(start, start + chunk)
            loss, grad = _softmax_loss(hidden[part] @ weight.mT, targets[part], kept[part])
            total += loss
            grad = grad.div_(n_kept).to(hidden.dtype)  # (chunk, V)
            grad_hidden[part] = grad @ weight
            grad_weight.addmm_(grad.mT, hidden[part])
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total / n_kept

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


def _softmax_loss(logits: Tensor, targets: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss and its gradient by the logits (n, V); reuses the logits' memory."""
    logits = logits.float()  # log-sum-exp in fp32 whatever the matmul's dtype
    wanted = targets.clamp(min=0)[:, None]  # (n, 1)
    log_sum = logits.logsumexp(-1, keepdim=True)  # (n, 1)
    loss = ((log_sum - logits.gather(1, wanted))[:, 0] * kept).sum()
    grad = logits.sub_(log_sum).exp_()
    grad.scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=grad.dtype))
    return loss, grad.mul_(kept[:, None])


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, *, chunk: int = 2048) -> Tensor:
    """Return the mean cross-entropy in nats of `hidden` (..., C) against ids `targets` (...)."""
    flat = hidden.reshape(-1, hidden.size(-1))
    apply: Callable[..., Tensor] = _ChunkedCrossEntropy.apply
    return apply(flat, weight.to(flat.dtype), targets.reshape(-1), chunk)
