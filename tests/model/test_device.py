"""The one function that knows about accelerators."""

import pytest
import torch

from model.config import ConfigError
from model.device import choose_device, cpu_prefers_bf16


def test_cpu_takes_bf16_only_where_it_is_faster() -> None:
    chosen = choose_device("cpu")
    assert chosen.dtype == (torch.bfloat16 if cpu_prefers_bf16() else torch.float32)
    assert not chosen.compile


def test_asked_for_precision_wins() -> None:
    assert choose_device("cpu", "bfloat16").dtype == torch.bfloat16
    assert choose_device("cpu", "float32").dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert choose_device().device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_auto_with_a_gpu_is_compiled_bf16() -> None:
    chosen = choose_device()
    assert (chosen.device.type, chosen.dtype, chosen.compile) == ("cuda", torch.bfloat16, True)


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("tpu", "auto", "device must be auto, cpu, cuda or mps, got 'tpu'"),
        ("cpu", "float16", "dtype must be auto, float32 or bfloat16, got 'float16'"),
    ],
)
def test_unknown_names_are_refused(name: str, dtype: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_device(name, dtype)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_missing_accelerator_says_so(name: str) -> None:
    missing = not (
        torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    )
    if not missing:
        pytest.skip(f"this machine has {name}")
    with pytest.raises(ConfigError, match="use cpu"):
        choose_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpus_are_numbered() -> None:
    assert choose_device("cuda", index=0).device == torch.device("cuda:0")
