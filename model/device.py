"""Where tensors live and in which precision: the one function that knows about accelerators."""

from __future__ import annotations

import dataclasses

import torch

from model.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device, the dtype that its matmuls run in, and whether graphs should be compiled for it."""

    device: torch.device
    dtype: torch.dtype  # activations and matmuls; master weights are always fp32
    compile: bool


def cpu_has_bf16() -> bool:
    """Say whether this CPU multiplies bf16 natively; emulated bf16 is slower than fp32."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    if "AVX512" not in capabilities and "SVE" not in capabilities and "AMX" not in capabilities:
        return False
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(supported is not None and supported() and native())


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
        dtype = "bfloat16" if name == "cuda" or (name == "cpu" and cpu_has_bf16()) else "float32"
    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype must be auto, float32 or bfloat16, got {dtype!r}")
    device = torch.device(name, index) if name == "cuda" else torch.device(name)
    return Device(device=device, dtype=getattr(torch, dtype), compile=name == "cuda")
