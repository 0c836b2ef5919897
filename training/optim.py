"""Optimizers and schedules: Muon for matrices, AdamW for everything else.

Pure functions of (parameters, gradients, state, step); no randomness, so a resumed run repeats to
the last bit. Learning rates are given for this batch; `training.config` derives them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# Quintic Newton-Schulz coefficients of Jordan et al., "Muon" (2024): they drive singular values to
# roughly 0.7..1.2 in five steps, which is all that the update needs.
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NS_STEPS = 5


def orthogonalise(update: Tensor) -> Tensor:
    """Return (N, rows, cols), each matrix's singular values pushed towards one."""
    a, b, c = NS_COEFFICIENTS
    x: Tensor = update / (update.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x  # the Gram matrix should be the small one
    for _ in range(NS_STEPS):
        gram = x @ x.mT  # (N, r, r)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalised (Jordan et al. 2024), with cautious decoupled weight decay.

    Matrices of one shape are stacked, so that Newton-Schulz runs as few large multiplications.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.groups: dict[tuple[int, int], list[str]] = {}
        self.parameters = dict(parameters)
        for name, parameter in self.parameters.items():
            self.groups.setdefault((parameter.size(0), parameter.size(1)), []).append(name)
        self.momentum = {name: torch.zeros_like(p) for name, p in self.parameters.items()}

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """Update every matrix from its `.grad`."""
        for (rows, cols), names in self.groups.items():
            grads = torch.stack([_grad(self.parameters[name]) for name in names])  # (N, rows, cols)
            buffers = torch.stack([self.momentum[name] for name in names]).lerp_(
                grads, 1 - momentum
            )
            update = orthogonalise(grads.lerp(buffers, momentum))  # Nesterov
            # an orthogonal (rows, cols) matrix changes outputs by sqrt(rows / cols) less when wide
            scale = lr * math.sqrt(max(1.0, rows / cols))
            for i, name in enumerate(names):
                parameter = self.parameters[name]
                self.momentum[name].copy_(buffers[i])
                if weight_decay:  # cautious: decay only where it agrees with the update
                    agree = (update[i] * parameter) > 0
                    parameter.sub_(parameter * agree, alpha=lr * weight_decay)
                parameter.sub_(update[i], alpha=scale)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors a checkpoint must hold."""
        return {f"muon.{name}": tensor for name, tensor in self.momentum.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore from `state()`."""
        for name, tensor in self.momentum.items():
            tensor.copy_(state[f"muon.{name}"])


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); a rate a parameter."""

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], *, betas: tuple[float, float], eps: float
    ) -> None:
        self.parameters = dict(parameters)
        self.betas = betas
        self.eps = eps
        self.mean = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.square = {name: torch.zeros_like(p) for name, p in self.parameters.items()}

    @torch.no_grad()
    def step(self, *, step: int, lr: Mapping[str, float], weight_decay: float = 0.0) -> None:
        """Update every parameter; `step` counts from 1, `lr` maps names to rates."""
        beta1, beta2 = self.betas
        for name, parameter in self.parameters.items():
            grad = _grad(parameter)
            mean = self.mean[name].lerp_(grad, 1 - beta1)
            square = self.square[name].lerp_(grad.square(), 1 - beta2)
            denominator = (square / (1 - beta2**step)).sqrt_().add_(self.eps)
            parameter.mul_(1 - lr[name] * weight_decay)
            parameter.addcdiv_(mean, denominator, value=-lr[name] / (1 - beta1**step))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors a checkpoint must hold."""
        means = {f"adam_mean.{name}": tensor for name, tensor in self.mean.items()}
        return means | {f"adam_square.{name}": tensor for name, tensor in self.square.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore from `state()`."""
        for name in self.parameters:
            self.mean[name].copy_(state[f"adam_mean.{name}"])
            self.square[name].copy_(state[f"adam_square.{name}"])


def _grad(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None, "step() before backward()"
    return parameter.grad


def split_parameters(
    named: Iterable[tuple[str, nn.Parameter]],
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Return (matrices for Muon, the rest for AdamW: embedding, head, gains, biases)."""
    matrices: dict[str, nn.Parameter] = {}
    rest: dict[str, nn.Parameter] = {}
    for name, parameter in named:
        inside_block = ".layers." in name and parameter.dim() == 2
        (matrices if inside_block else rest)[name] = parameter
    return matrices, rest


def schedule(
    step: int, *, n_step: int, n_warmup: int, warmdown_share: float, floor: float
) -> float:
    """Return the factor on every learning rate at `step` (from 0): warm up, stay, go down linearly.

    This is WSD (Hu et al. 2024) with a long decay; `floor` is the factor at the end.
    """
    if step < n_warmup:
        return (step + 1) / n_warmup
    down_from = warmdown_start(n_step, warmdown_share)
    if step <= down_from:
        return 1.0
    return floor + (1.0 - floor) * (n_step - step) / (n_step - down_from)


def warmdown_start(n_step: int, warmdown_share: float) -> int:
    """Return the last step at the full rate; up to there the plan of a run may still change."""
    return n_step - max(1, round(n_step * warmdown_share))


def muon_momentum(step: int, *, n_ramp: int, low: float = 0.85, high: float = 0.95) -> float:
    """Return Muon's momentum: a short memory while the first gradients still turn quickly."""
    return low + (high - low) * min(1.0, step / max(1, n_ramp))
