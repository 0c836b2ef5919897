"""Where tensors live and in which precision: the one function that knows about accelerators."""

import functools
import math
import time
from typing import NamedTuple

import torch

from model.config import ConfigError


class Device(NamedTuple):
    """A device, the dtype that its matmuls run in, and whether graphs should be compiled for it."""

    device: torch.device
    dtype: torch.dtype  # activations and matmuls; master weights are always fp32
    compile: bool


@functools.cache
def cpu_prefers_bf16() -> bool:
    """Time a product in bf16 and in fp32, some tens of milliseconds; emulated bf16 is slower."""
    best = {torch.bfloat16: math.inf, torch.float32: math.inf}
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other on a busy machine
    for _ in range(20):  # in turns, and the best of each: whatever else runs disturbs both
        for dtype in best:
            a, b = torch.ones(512, 256, dtype=dtype), torch.ones(256, 256, dtype=dtype)
            start = time.perf_counter()
            a @ b
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    torch.set_num_threads(n_threads)
    return best[torch.bfloat16] < best[torch.float32]


def choose_device(name: str = "auto", dtype: str = "auto", *, index: int = 0) -> Device:
    """Pick a device and precision; `name` auto|cpu|cuda|mps, `dtype` auto|float32|bfloat16.

    `index` is the GPU's number where a machine has several.

    Raises ConfigError when the machine lacks what was asked for.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda was asked for, but torch sees no CUDA GPU; use cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device mps was asked for, but torch sees no Apple GPU; use cpu")
    if name not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"device must be auto, cpu, cuda or mps, got {name!r}")
    if dtype == "auto":
        dtype = (
            "bfloat16" if name == "cuda" or (name == "cpu" and cpu_prefers_bf16()) else "float32"
        )
    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype must be auto, float32 or bfloat16, got {dtype!r}")
    device = torch.device(name, index) if name == "cuda" else torch.device(name)
    return Device(device=device, dtype=getattr(torch, dtype), compile=name == "cuda")
