"""Optimizers: Muon for matrices, AdamW for everything else, and a running average of weights.

Each has a `state`: the tensors, by name, that a checkpoint must hold (this process's share, if they
are sharded); all are changed in place.

Pure functions of (parameters, gradients, state, step); no randomness, so a resumed run repeats to
the last bit. Rates and momentum are given for this step; `training.pretrain.schedule` derives them.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from training.pretrain.distributed import find_owned, local, to_owners, to_shards

#: rows and columns of a matrix, and how it is sharded (None: not at all)
_Kind = tuple[int, int, object]

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


def orthogonalise(
    update: Tensor, kind: str = "newton-schulz", dtype: torch.dtype | None = None
) -> Tensor:
    """Return (N, rows, cols), each matrix's singular values pushed towards one.

    Multiplies in `dtype` (None: the update's own); bf16 is enough, as only directions count.
    """
    margin = POLAR_MARGIN if kind == "polar-express" else 1.0
    x: Tensor = update / (update.norm(dim=(-2, -1), keepdim=True) * margin + 1e-7)
    tall = x.size(-2) > x.size(-1)
    x = (x.mT if tall else x).to(dtype or update.dtype)  # the Gram matrix should be the small one
    for a, b, c in COEFFICIENTS[kind]:
        gram = x @ x.mT  # (N, r, r)
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return (x.mT if tall else x).to(update.dtype)


class Muon:
    """Momentum, orthogonalised (Jordan et al. 2024), with cautious decoupled weight decay.

    With `beta2`, each neuron's update is divided by a running root mean square of its own and the
    whole brought back to its size, after NorMuon (Li et al. 2025). Matrices of one shape are
    stacked, so that all of the step runs as few large operations. Each of a sharded network's has
    an owner, who keeps its state, gets its gradient and sends the update back.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        orthogonaliser: str = "newton-schulz",
        beta2: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Begin with no momentum; `dtype` is that of the orthogonaliser's products."""
        self.groups: dict[_Kind, list[str]] = {}
        self.parameters = dict(parameters)
        self.orthogonaliser = orthogonaliser
        self.beta2 = beta2
        self.dtype = dtype
        for name, parameter in self.parameters.items():
            kind = (parameter.size(0), parameter.size(1), getattr(parameter, "placements", None))
            self.groups.setdefault(kind, []).append(name)
        self._momentum: dict[_Kind, Tensor] = {}  # (N owned, rows, cols)
        self._square: dict[_Kind, Tensor] = {}  # (N owned, rows, 1) or (N owned, 1, cols)
        self.state: dict[str, Tensor] = {}
        for kind, names in self.groups.items():
            stack = torch.stack([self.parameters[name].detach() for name in names])
            owned = [names[i] for i in find_owned(stack)]
            momentum = self._momentum[kind] = torch.zeros_like(to_owners(stack))
            self.state |= {f"muon.{name}": momentum[i] for i, name in enumerate(owned)}
            if beta2:
                mean = momentum.mean(_short_side(kind), keepdim=True)
                square = self._square[kind] = torch.zeros_like(mean)
                self.state |= {f"muon_square.{name}": square[i] for i, name in enumerate(owned)}

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float, weight_decay: float) -> None:
        """Update every matrix from its `.grad`."""
        for kind, names in self.groups.items():
            grads = torch.stack([_grad(self.parameters[name]) for name in names])  # (N, rows, cols)
            owned = to_owners(grads)
            buffer = self._momentum[kind].lerp_(owned, 1 - momentum)
            owned = owned.lerp_(buffer, momentum)  # Nesterov
            owned = orthogonalise(owned, self.orthogonaliser, self.dtype)
            owned = self._normalise(kind, owned) if self.beta2 else owned
            update = to_shards(owned, grads)
            parameters = [local(self.parameters[name]) for name in names]
            weights = torch.stack(parameters)
            # cautious: only where it agrees with the update
            decay = weights * (update * weights > 0) * (lr * weight_decay)
            # an orthogonal (rows, cols) matrix changes outputs by sqrt(rows / cols) less when wide
            weights -= update.mul_(lr * math.sqrt(max(1.0, kind[0] / kind[1]))) + decay
            torch._foreach_copy_(parameters, weights.unbind())

    def _normalise(self, kind: _Kind, update: Tensor) -> Tensor:
        """Give every neuron (along the longer side) the same share of the update, over time."""
        # of a short side all are of length one already: there is nothing to normalise
        mean = update.square().mean(_short_side(kind), keepdim=True)
        square = self._square[kind].lerp_(mean, 1 - self.beta2)
        change: Tensor = update / square.sqrt().clamp(min=1e-10)
        size, before = change.norm(dim=(1, 2), keepdim=True), update.norm(dim=(1, 2), keepdim=True)
        return change.mul_(before / size.clamp(min=1e-10))


def _short_side(kind: _Kind) -> int:
    return 2 if kind[0] >= kind[1] else 1  # of a stack (N, rows, cols)


class AdamW:
    """Adam (Kingma & Ba 2015) with a rate a parameter; weights decay only where that is asked."""

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], *, betas: tuple[float, float], eps: float
    ) -> None:
        self.parameters = dict(parameters)
        self.betas = betas
        self.eps = eps
        self.mean = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.square = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.state = {f"adam_mean.{name}": tensor for name, tensor in self.mean.items()}
        self.state |= {f"adam_square.{name}": tensor for name, tensor in self.square.items()}

    @torch.no_grad()
    def step(self, *, step: int, lr: Mapping[str, float], weight_decay: float = 0.0) -> None:
        """Update every parameter; `step` counts from 1, `lr` maps names to rates.

        Matrices, not gains and biases, shrink by `weight_decay` (Loshchilov & Hutter 2019).
        """
        beta1, beta2 = self.betas
        if not self.parameters:
            return
        # all parameters at once: few launches on a GPU
        means, squares = _locals(self.mean), _locals(self.square)
        parameters = _locals(self.parameters)
        grads = [local(_grad(parameter)) for parameter in self.parameters.values()]
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_lerp_(squares, torch._foreach_mul(grads, grads), 1 - beta2)
        denominators = torch._foreach_div(squares, 1 - beta2**step)
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, self.eps)
        for name, parameter in zip(self.parameters, parameters, strict=True):
            if weight_decay and parameter.dim() == 2:
                parameter.mul_(1 - lr[name] * weight_decay)
        rates = [-lr[name] / (1 - beta1**step) for name in self.parameters]
        torch._foreach_addcdiv_(parameters, means, denominators, rates)


class Average:
    """A running average of all weights: smoother than the weights while rates are high."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.mean = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.state = {f"{AVERAGE}{name}": tensor for name, tensor in self.mean.items()}

    @torch.no_grad()
    def step(self, decay: float) -> None:
        """Move the averages towards the weights."""
        torch._foreach_lerp_(_locals(self.mean), _locals(self.parameters), 1 - decay)


def _locals(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    return [local(tensor) for tensor in tensors.values()]


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
