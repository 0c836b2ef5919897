"""Rounded matrices stand for nearly the same numbers, in the layout that the runtime reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.onnx_graph import quantize


def dequantize(levels: NDArray[np.uint8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the float32 matrix (N, padded K) that the blocks stand for."""
    weight = (levels.astype(np.float32) - 128) * scales[..., None]
    return weight.reshape(len(weight), -1)


def random_matrix(n_rows: int, n_columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns), dtype=np.float32)


def test_weights_are_never_off_by_more_than_half_a_step() -> None:
    weight = random_matrix(16, 256)
    levels, scales = quantize(weight)
    error = np.abs(dequantize(levels, scales) - weight).reshape(levels.shape)
    assert error.any()
    assert (error <= scales[..., None] * 0.5001).all()


@pytest.mark.parametrize(
    ("n_columns", "n_blocks", "size"),
    [(384, 3, 128), (192, 3, 64), (160, 5, 32), (48, 3, 16), (50, 4, 16)],
)
def test_block_is_the_largest_that_divides_a_row(n_columns: int, n_blocks: int, size: int) -> None:
    levels, scales = quantize(random_matrix(3, n_columns))
    assert levels.shape == (3, n_blocks, size)
    assert scales.shape == (3, n_blocks)


def test_zeros_stay_zero() -> None:
    weight = random_matrix(4, 128)
    weight[1] = 0
    weight[2, 5] = 0
    rounded = dequantize(*quantize(weight))
    assert not rounded[1].any()
    assert rounded[2, 5] == 0


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 70), st.floats(1e-15, 1e15), st.data())
def test_error_is_bounded_at_any_shape_and_size(
    n_rows: int, n_columns: int, size: float, data: st.DataObject
) -> None:
    weight = random_matrix(n_rows, n_columns, data.draw(st.integers(0, 1000))) * np.float32(size)
    error = np.abs(dequantize(*quantize(weight))[:, :n_columns] - weight)
    assert error.max() <= np.abs(weight).max() * 0.01
