"""Training speed: our step against a plain loop of the same shape, and against the matmul peak.

    python tests/benchmarks/bench_train.py nano s --rounds 5 --profile

The plain loop is what one writes first: torch modules, fused attention, all logits at once, torch's
AdamW; ours has Muon with all options, which costs more a step. Both take turns in one process, with
the same threads, dtype, rows and micro-batches. FLOPs a
token are 6 x matrix parameters (head included) + 6 x L x H x D x T; the peak is the best of large
square-ish products in the same dtype. With one thread processor time counts, so that a busy machine
disturbs less; with more, the clock on the wall.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.device import choose_device
from training.cli import keep_freed_memory
from training.pretrain.schedule import Stage
from training.pretrain.trainer import Trainer
from training.recipe import FolderTable, NetworkTable, Recipe, TrainTable

BLOCK_SIZE = 512
MATMUL = ("mm", "addmm", "bmm", "mkldnn_linear", "linear")


class RandomRows:
    """Rows of random ids: what is learned does not matter here."""

    def __init__(self, vocab_size: int) -> None:
        draws = np.random.default_rng(0)
        self._rows = draws.integers(0, vocab_size, (256, BLOCK_SIZE + 1)).astype(np.uint16)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> NDArray[np.uint16]:
        row: NDArray[np.uint16] = self._rows[index]
        return row


class PlainBlock(nn.Module):
    """Attention and SwiGLU as one writes them first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, D = config.n_embd, config.head_dim
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, (config.n_head + 2 * config.n_kv_head) * D, bias=False)
        self.out = nn.Linear(config.n_head * D, width, bias=False)
        self.gate = nn.Linear(width, config.n_inner, bias=False)
        self.up = nn.Linear(width, config.n_inner, bias=False)
        self.down = nn.Linear(config.n_inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T, C)."""
        B, T, _ = x.size()
        config, D = self.config, self.config.head_dim
        sizes = [config.n_head * D, config.n_kv_head * D, config.n_kv_head * D]
        q, k, v = (
            part.view(B, T, -1, D).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(sizes, dim=-1)
        )
        group = config.n_head // config.n_kv_head
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, -1))
        h = self.norm2(x)
        out: Tensor = x + self.down(F.silu(self.gate(h)) * self.up(h))
        return out


class PlainLoop:
    """A nanoGPT-style loop: learned positions, all logits, torch's AdamW, autocast for bf16."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype, rows: RandomRows) -> None:
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions = nn.Embedding(BLOCK_SIZE, config.n_embd)
        self.blocks = nn.Sequential(*(PlainBlock(config) for _ in range(config.n_layer)))
        self.norm = nn.LayerNorm(config.n_embd)
        modules = nn.ModuleList([self.tokens, self.positions, self.blocks, self.norm])
        self.optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-3)
        self.dtype = dtype
        self.rows = rows

    def step(self, n_rows: int, micro_rows: int) -> None:
        """Take one optimizer step."""
        for first in range(0, n_rows, micro_rows):
            count = min(micro_rows, n_rows - first)
            ids = torch.from_numpy(
                np.stack([self.rows[first + i] for i in range(count)]).astype(np.int64)
            )
            with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
                x = self.tokens(ids[:, :-1]) + self.positions.weight
                logits = self.norm(self.blocks(x)) @ self.tokens.weight.T
            loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
            (loss * count / n_rows).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def recipe(preset: str, args: argparse.Namespace) -> Recipe:
    """Return a recipe that goes on for as long as one likes."""
    train = TrainTable(
        tokens=10**9,
        batch_tokens=args.rows * BLOCK_SIZE,
        micro_rows=args.micro_rows,
        compile=args.compile,
        normuon_beta2=0.95,
        orthogonaliser="polar-express",
    )
    return Recipe(
        network=NetworkTable(preset=preset, block_size=BLOCK_SIZE, vocab_size=args.vocab_size),
        train=train,
        folder=FolderTable(name="bench"),
    )


def seconds(run: Callable[[], object]) -> float:
    """Return how long a call takes: processor time with one thread, else wall clock."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def matmul_peak(dtype: torch.dtype) -> float:
    """Return the best FLOPS of some large products."""
    best = 0.0
    for n in (512, 1024, 2048):
        a, b = torch.randn(4096, n).to(dtype), torch.randn(n, n).to(dtype)
        for _ in range(4):
            best = max(best, 2 * 4096 * n * n / seconds(lambda a=a, b=b: a @ b))  # type: ignore[misc]
    return best


def profile(step: Callable[[], object]) -> dict[str, float]:
    """Return the share of a step's operator time by kind."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step()
    shares: dict[str, float] = {}
    for event in found.key_averages():
        name = event.key.removeprefix("aten::").strip("_")
        kind = "matmul" if name in MATMUL else "attention" if "attention" in name else "other"
        shares[kind] = shares.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(shares.values())
    return {kind: value / total for kind, value in sorted(shares.items())}


def compare(preset: str, args: argparse.Namespace) -> None:
    """Measure one preset and print what was found."""
    made = recipe(preset, args)
    config = made.network.config()
    device = choose_device("cpu", args.dtype)
    rows = RandomRows(config.vocab_size)

    def open_rows(stage: Stage) -> RandomRows:
        return rows

    ours = Trainer(made, open_rows)
    plain = PlainLoop(config, device.dtype, rows)
    steps = {"ours": ours.step, "plain": lambda: plain.step(args.rows, args.micro_rows)}
    for step in steps.values():  # the first compiles, the second fills what malloc keeps
        step()
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step))
    peak = matmul_peak(device.dtype)
    tokens, flops = args.rows * BLOCK_SIZE, config.flops_per_token(BLOCK_SIZE)
    print(
        f"{preset}: {config.n_params / 1e6:.1f}M parameters, T={BLOCK_SIZE}, {device.dtype}, ",
        end="",
    )
    print(f"{torch.get_num_threads()} threads, matmul peak {peak / 1e9:.1f} GFLOPS")
    for name, found in times.items():
        speed = tokens / min(found)
        print(f"  {name:<6}{speed:8.0f} tokens/s  {100 * speed * flops / peak:5.1f}% of peak")
    ratios = [b / a for a, b in zip(times["ours"], times["plain"], strict=True)]
    print(
        f"  ours is {statistics.median(ratios):.2f}x the plain loop (median of {len(ratios)} pairs)"
    )
    if args.profile:
        for name, step in steps.items():
            shares = ", ".join(f"{k} {100 * v:.0f}%" for k, v in profile(step).items())
            print(f"  operator time, {name}: {shares}")
    sys.stdout.flush()


def main() -> None:
    """Compare the presets named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("presets", nargs="*", default=["nano", "s"])
    parser.add_argument("--rows", type=int, default=8, help="rows of a step")
    parser.add_argument("--micro-rows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--vocab-size", type=int, default=0, help="0: the preset's")
    parser.add_argument("--compile", action="store_true", help="ours; the plain loop stays plain")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    for preset in args.presets:
        compare(preset, args)


if __name__ == "__main__":
    main()
