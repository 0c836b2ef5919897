"""Optimizers: Muon for matrices, AdamW for everything else, and a running average of weights.

Pure functions of (parameters, gradients, state, step); no randomness, so a resumed run repeats to
the last bit. Rates and momentum are given for this step; `training.pretrain.schedule` derives them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

AVERAGE = "average."  # begins the names of averaged weights in a checkpoint
NS_STEPS = 5
# Quintic Newton-Schulz coefficients of Jordan et al., "Muon" (2024): they drive singular values to
# roughly 0.7..1.2 in five steps, which is all that the update needs.
# Amsel et al., "The Polar Express" (2025): another polynomial each step, each the best for where
# the step before left the singular values; five steps bring all above 0.01 within 0.2 of one.
COEFFICIENTS = {
    "newton-schulz": ((3.4445, -4.7750, 2.0315),) * NS_STEPS,
    "polar-express": (
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.042929935166739, -2.808917465908714, 0.5000178451051316),
        (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
        (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
        (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
    ),
}
# Its first polynomial leaves the range that the others are made for if a singular value is above 1.
POLAR_MARGIN = 1.02


def orthogonalise(update: Tensor, kind: str = "newton-schulz") -> Tensor:
    """Return (N, rows, cols), each matrix's singular values pushed towards one."""
    margin = POLAR_MARGIN if kind == "polar-express" else 1.0
    x: Tensor = update / (update.norm(dim=(-2, -1), keepdim=True) * margin + 1e-7)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x  # the Gram matrix should be the small one
    for a, b, c in COEFFICIENTS[kind]:
        gram = x @ x.mT  # (N, r, r)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalised (Jordan et al. 2024), with cautious decoupled weight decay.

    With `beta2`, each neuron's update is divided by a running root mean square of its own and the
    whole brought back to its size, after NorMuon (Li et al. 2025). Matrices of one shape are
    stacked, so that Newton-Schulz runs as few large multiplications.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        orthogonaliser: str = "newton-schulz",
        beta2: float = 0.0,
    ) -> None:
        self.groups: dict[tuple[int, int], list[str]] = {}
        self.parameters = dict(parameters)
        self.orthogonaliser = orthogonaliser
        self.beta2 = beta2
        for name, parameter in self.parameters.items():
            self.groups.setdefault((parameter.size(0), parameter.size(1)), []).append(name)
        self.momentum = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.square = {
            name: torch.zeros_like(p).square().mean(_short_side(p), keepdim=True)
            for name, p in (self.parameters.items() if beta2 else ())
        }  # (rows, 1) or (1, cols)

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """Update every matrix from its `.grad`."""
        for (rows, cols), names in self.groups.items():
            grads = torch.stack([_grad(self.parameters[name]) for name in names])  # (N, rows, cols)
            buffers = torch.stack([self.momentum[name] for name in names]).lerp_(
                grads, 1 - momentum
            )
            update = orthogonalise(grads.lerp(buffers, momentum), self.orthogonaliser)  # Nesterov
            # an orthogonal (rows, cols) matrix changes outputs by sqrt(rows / cols) less when wide
            scale = lr * math.sqrt(max(1.0, rows / cols))
            for i, name in enumerate(names):
                parameter = self.parameters[name]
                self.momentum[name].copy_(buffers[i])
                change = self._normalised(name, update[i]) if self.beta2 else update[i]
                if weight_decay:  # cautious: decay only where it agrees with the update
                    agree = (change * parameter) > 0
                    parameter.sub_(parameter * agree, alpha=lr * weight_decay)
                parameter.sub_(change, alpha=scale)

    def _normalised(self, name: str, update: Tensor) -> Tensor:
        """Give every neuron (along the longer side) the same share of the update, over time."""
        # of a short side all are of length one already: there is nothing to normalise
        mean = update.square().mean(_short_side(update), keepdim=True)
        square = self.square[name].lerp_(mean, 1 - self.beta2)
        change: Tensor = update / square.sqrt().clamp(min=1e-10)
        return change.mul_(update.norm() / change.norm().clamp(min=1e-10))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors a checkpoint must hold."""
        momentum = {f"muon.{name}": tensor for name, tensor in self.momentum.items()}
        return momentum | {f"muon_square.{name}": tensor for name, tensor in self.square.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore from `state()`."""
        for name, tensor in self.momentum.items():
            tensor.copy_(state[f"muon.{name}"])
        for name, tensor in self.square.items():
            tensor.copy_(state[f"muon_square.{name}"])


def _short_side(matrix: Tensor) -> int:
    return 1 if matrix.size(0) >= matrix.size(1) else 0


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


class Average:
    """A running average of all weights: smoother than the weights while rates are high."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.mean = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def step(self, decay: float) -> None:
        """Move the averages towards the weights."""
        for name, parameter in self.parameters.items():
            self.mean[name].lerp_(parameter, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors a checkpoint must hold."""
        return {f"{AVERAGE}{name}": tensor for name, tensor in self.mean.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore from `state()`."""
        for name, tensor in self.mean.items():
            tensor.copy_(state[f"{AVERAGE}{name}"])


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
