"""Several processes, one run: each takes a part of every batch, all make the same update.

Started by torchrun, which says in the environment who is who. Plainly, weights and optimizer are
whole in every process, and sums of gradients are exchanged, once a step. Or they are spread, with
torch's own parts (FSDP2, tensor parallelism, their mesh): each process keeps a share of every
weight, and a layer is whole, or a slice of each of its products, only while it computes. Weights
are DTensors then; what works on them element by element takes `local`, Muon its whole matrices by
`to_owners`. Those modules are imported where they are used: that takes as long as torch itself.
Knows tensors and files' owners, nothing about the network.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.utils.checkpoint import checkpoint

from model.config import ConfigError
from model.gpt import GPT
from training.recipe import Recipe

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor.parallel import ParallelStyle


BUCKET_BYTES = 25 << 20  # as torch's own


def take_place(group: Group, recipe: Recipe, rows: Sequence[int]) -> Group:
    """Return the group with the recipe's mesh; alone, a process shards nothing.

    Raises ConfigError when processes, the network or a stage's `rows` a step cannot be spread so.
    """
    if group.size == 1:
        return group
    train, network = recipe.train, recipe.network
    n_tensor = train.tensor_parallel
    sharded = train.shard or n_tensor > 1
    sizes = {"the number of processes": group.size}
    sizes |= {name: getattr(network.config(), name) for name in ("n_head", "n_kv_head", "n_inner")}
    for name, size in sizes.items():
        if size % n_tensor:
            raise ConfigError(f"train.tensor_parallel {n_tensor} must divide {name} ({size})")
    if n_tensor > 1 and network.block == "gpt2":
        raise ConfigError('network.block = "gpt2" knows no train.tensor_parallel')
    group = group._replace(tensor_parallel=n_tensor, is_sharded=sharded)
    for count in rows:
        # Sharded, each must go through the layers as often as the others.
        if count < group.n_data or (sharded and count % group.n_data):
            raise ConfigError(
                f"a batch of {count} rows cannot be spread {'evenly ' * sharded}over "
                f"{group.n_data} processes; change train.batch_tokens"
            )
    return group


def spread(
    network: GPT, group: Group, device: torch.device, dtype: torch.dtype
) -> GradientSum | None:
    """Have a group compute the network that all its processes have made.

    Sharded, each then keeps its share of the weights; else what is returned sums their gradients.
    """
    if not group.is_sharded:
        return GradientSum(network.parameters()) if group.size > 1 else None
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )
    from torch.distributed.tensor.parallel import parallelize_module

    mesh = init_device_mesh(
        device.type, (group.n_data, group.tensor_parallel), mesh_dim_names=("data", "tensor")
    )
    # Gathered as they are computed with, so that no other copy outlives the forward pass.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in network.model.layers:
        if group.tensor_parallel > 1:
            parallelize_module(layer, mesh["tensor"], _layer_plan())
        fully_shard(layer, mesh=mesh["data"], mp_policy=policy)
        _sum_gradients(layer, 1)
    # Embedding and final norm go by all processes: those of one tensor group would else keep equal
    # copies, and their gradients, made in another order by each, would drive them apart.
    fully_shard(network, mesh=init_device_mesh(device.type, (group.size,)))
    _sum_gradients(network, group.tensor_parallel)
    register_fsdp_forward_method(network, "hidden")
    return None


def _layer_plan() -> dict[str, ParallelStyle]:
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        RowwiseParallel,
        SequenceParallel,
    )

    whole, heads = Replicate(), SequenceParallel(sequence_dim=2, use_local_output=True)
    attention = (whole, None, None, None)
    return {
        "self_attn": PrepareModuleInput(input_layouts=attention, desired_input_layouts=attention),
        "self_attn.q_proj": ColwiseParallel(),
        "self_attn.k_proj": ColwiseParallel(),
        "self_attn.v_proj": ColwiseParallel(),
        "self_attn.q_norm": heads,  # one gain for all heads, whose gradients are summed
        "self_attn.k_norm": heads,
        "self_attn.o_proj": RowwiseParallel(),
        "mlp": PrepareModuleInput(input_layouts=(whole,), desired_input_layouts=(whole,)),
        "mlp.gate_proj": ColwiseParallel(),
        "mlp.up_proj": ColwiseParallel(),
        "mlp.down_proj": RowwiseParallel(),
    }


def _sum_gradients(module: torch.nn.Module, divisor: int) -> None:
    """Sum over the processes, not average: each loss is a share of the batch's already."""
    sharded = cast("FSDPModule", module)
    sharded.set_gradient_divide_factor(float(divisor))
    sharded.set_force_sum_reduction_for_comms(enable=True)  # gloo knows no other


def recompute_layers(network: GPT) -> None:
    """Keep each layer's input only, and compute the layer again when its gradient is wanted."""
    for layer in network.model.layers:
        again = functools.partial(checkpoint, layer.forward, use_reentrant=False)
        layer.forward = functools.partial(again, preserve_rng_state=False)


def gather_again(network: GPT) -> None:
    """Forget gathered weights: those of before an update from outside, or a forward pass alone."""
    if hasattr(network, "reshard"):
        cast("FSDPModule", network).reshard()


def load_whole(network: GPT, weights: Mapping[str, Tensor]) -> None:
    """Take whole weights, of which each process keeps its share."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    gather_again(network)
    set_model_state_dict(network, dict(weights), options=StateDictOptions(full_state_dict=True))


def local(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, sharing its memory; gradients do not pass."""
    return tensor.to_local() if _is_sharded(tensor) else tensor


def _is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    return hasattr(tensor, "to_local")


def find_owned(stack: Tensor) -> list[int]:
    """Return which matrices of a stack `to_owners` gives to this process."""
    rows = torch.arange(len(stack))
    if _is_sharded(stack):
        from torch.distributed.tensor import Shard, distribute_tensor

        mesh = stack.device_mesh
        by_owner = [Shard(0)] * mesh.ndim
        rows = distribute_tensor(rows, mesh, by_owner, src_data_rank=None).to_local()
    owned: list[int] = rows.tolist()
    return owned


def to_owners(stack: Tensor) -> Tensor:
    """Return of sharded matrices (N, rows, cols) those that are this process's to work on, whole.

    All of them when they are not sharded.
    """
    if not _is_sharded(stack):
        return stack
    from torch.distributed.tensor import Shard

    owned: Tensor = stack.redistribute(placements=[Shard(0)] * stack.device_mesh.ndim).to_local()
    return owned


def to_shards(owned: Tensor, like: Tensor) -> Tensor:
    """Return this process's shards of all matrices, sharded `like` a stack, from their owners'."""
    if not _is_sharded(like):
        return owned
    from torch.distributed.tensor import DTensor, Shard

    mesh = like.device_mesh
    placements = [Shard(0)] * mesh.ndim
    shape, stride = like.size(), like.stride()
    whole = DTensor.from_local(owned, mesh, placements, shape=shape, stride=stride)
    return local(whole.redistribute(placements=like.placements))


def squared_norm(grads: Sequence[Tensor], n_process: int) -> Tensor:
    """Return this process's part of the squared norm of sharded gradients: () to be summed."""
    total = torch.zeros((), device=grads[0].device)
    for grad in grads:
        assert _is_sharded(grad)
        by = (d for d, p in enumerate(grad.placements) if not p.is_replicate())
        n_part = math.prod(grad.device_mesh.size(d) for d in by)
        total += local(grad).square().sum() * (n_part / n_process)  # others hold the same part
    return total


class Group(NamedTuple):
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

    def any(self, condition: bool, device: torch.device) -> bool:
        """Say in all processes whether it holds in one: signals and clocks differ between them."""
        if self.size == 1:
            return condition
        return self.add(torch.tensor(float(condition), device=device)).item() > 0

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
