"""Weights round to bfloat16 as elsewhere, and other libraries read what is written."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from model.weights import (
    WeightsError,
    WeightsFile,
    from_bf16,
    tensor_shapes,
    to_bf16,
    write_weights,
)
from tests.doubles import random_tensors, tiny_config


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_rounding_agrees_with_another_implementation(patterns: list[int]) -> None:
    values = np.array(patterns, np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(from_bf16(to_bf16(values)), expected)


def test_every_bfloat16_survives_a_round_trip() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    numbers = from_bf16(every)
    kept = ~np.isnan(numbers)
    np.testing.assert_array_equal(to_bf16(numbers)[kept], every[kept])


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    config = tiny_config()
    tensors = random_tensors(config)
    write_weights(tmp_path / "model.safetensors", tensors)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            read = file.get_tensor(name)
            assert read.dtype == ml_dtypes.bfloat16
            np.testing.assert_array_equal(read.astype(np.float32), from_bf16(to_bf16(tensor)))


def test_reads_float32_files_of_other_writers(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    config = tiny_config()
    tensors = random_tensors(config)
    save_file(tensors, tmp_path / "model.safetensors")
    file = WeightsFile(tmp_path / "model.safetensors", config)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(file.tensor(name), tensor)


def test_parameter_count_agrees_with_the_config() -> None:
    for config in (
        tiny_config(),
        tiny_config(qk_norm=False, qkv_bias=True),
        tiny_config(qk_norm=False, tie_embeddings=False),
    ):
        n_params = sum(int(np.prod(shape)) for shape in tensor_shapes(config).values())
        assert n_params == config.n_params


def test_a_file_that_shrinks_after_opening_is_noticed(tmp_path: Path) -> None:
    config = tiny_config()
    path = tmp_path / "model.safetensors"
    write_weights(path, random_tensors(config))
    file = WeightsFile(path, config)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"model\.norm\.weight is cut off"):
        file.tensor("model.norm.weight")
