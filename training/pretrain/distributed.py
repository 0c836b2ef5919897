"""Several processes, one run: each takes a part of every batch, all make the same update.

Started by torchrun, which says in the environment who is who. Weights and optimizer are whole in
every process (data parallel): what is exchanged is the sum of the gradients, once a step. Knows
tensors and files' owners, nothing about the network.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """This process and how many there are; alone, nothing is exchanged."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on its machine: the number of its GPU

    @property
    def is_first(self) -> bool:
        """Say whether this process writes the run folder and speaks to the user."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Return which of `count` rows this process takes."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one exchange."""
        if self.size == 1:
            return
        grads = [_gradient(parameter) for parameter in parameters]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        for grad, summed in zip(
            grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True
        ):
            grad.copy_(summed.view_as(grad))

    def add(self, value: Tensor) -> Tensor:
        """Return the sum of a number over the processes, where it is."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def sum(self, value: float, device: torch.device) -> float:
        """Return the sum of a number over the processes."""
        if self.size == 1:
            return value
        return self.add(torch.tensor(value, dtype=torch.float64, device=device)).item()

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.size > 1:
            dist.barrier()


def join(device: str = "auto") -> Group:
    """Return the group that torchrun started this process in, or a group of one.

    `device` is the recipe's: on CUDA GPUs each process takes its own, and they talk over NCCL.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Group()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return Group(rank=dist.get_rank(), size=size, local_rank=local_rank)


def leave() -> None:
    """Take this process out of its group, if it is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:  # no row was ours
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
