"""Several processes, one run: each takes a part of every batch, all make the same update.

Started by torchrun, which says in the environment who is who. Plainly, weights and optimizer are
whole in every process, and sums of gradients are exchanged, once a step; `sharding` spreads them.
Knows tensors and files' owners, nothing about the network.
"""

import dataclasses
import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

BUCKET_BYTES = 25 << 20  # as torch's own


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """This process and how many there are; alone, nothing is exchanged."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on its machine: the number of its GPU
    tensor_parallel: int = 1  # neighbours that take the same rows, each a slice of every product
    is_sharded: bool = False  # whether each keeps only a share of the weights

    @property
    def is_first(self) -> bool:
        """Say whether this process writes the run folder and speaks to the user."""
        return self.rank == 0

    @property
    def n_data(self) -> int:
        """How many parts a batch is cut into."""
        return self.size // self.tensor_parallel

    def share(self, count: int) -> range:
        """Return which of `count` rows this process takes."""
        part = self.rank // self.tensor_parallel
        return range(part * count // self.n_data, (part + 1) * count // self.n_data)

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

    def any(self, condition: bool, device: torch.device) -> bool:
        """Say in all processes whether it holds in one: signals and clocks differ between them."""
        return self.sum(float(condition), device) > 0

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.size > 1:
            dist.barrier()


class GradientSum:
    """Sums gradients over the processes in buckets, each on its way while the next is made."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._take)  # type: ignore[no-untyped-call]
        self.is_last = False  # whether a backward pass is the step's last
        self._ready: list[Tensor] = []
        self._sent: list[tuple[dist.Work, Tensor, list[Tensor]]] = []

    def _take(self, parameter: Tensor) -> None:
        if self.is_last and parameter.grad is not None:
            self._ready.append(parameter.grad)
            if sum(grad.nbytes for grad in self._ready) >= BUCKET_BYTES:
                self._send()

    def _send(self) -> None:
        flat = torch.cat([grad.flatten() for grad in self._ready])
        work = dist.all_reduce(flat, async_op=True)
        assert work is not None, "this process is in the group"
        self._sent.append((work, flat, self._ready))
        self._ready = []

    @torch.no_grad()
    def finish(self) -> None:
        """Wait until every gradient is its sum over the processes."""
        if self._ready:
            self._send()
        for work, flat, grads in self._sent:
            work.wait()
            sums = torch.split(flat, [grad.numel() for grad in grads])
            for grad, summed in zip(grads, sums, strict=True):
                grad.copy_(summed.view_as(grad))
        self._sent = []


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
    store, rank, size = next(rendezvous("env://"))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # One store serves all attempts of a torchrun: without a prefix, the addresses of processes
        # that are dead would be read for those of the living (pytorch/pytorch#135712).
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"attempt-{attempt}", store)  # type: ignore[attr-defined]
    backend = "nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    return Group(rank=rank, size=size, local_rank=local_rank)


def leave() -> None:
    """Take this process out of its group, if it is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()
