"""Rounded matrices stand for nearly the same numbers, in the layout that the runtime reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.quantize import Quantized, block_size_for, quantize


def dequantize(quantized: Quantized) -> NDArray[np.float32]:
    """Return the float32 matrix (N, K) that the blocks stand for."""
    levels = quantized.data
    if quantized.bits == 4:
        pairs = np.stack((levels & 15, levels >> 4), axis=-1)
        levels = pairs.reshape(*levels.shape[:-1], -1)
    middle = np.float32(1 << (quantized.bits - 1))
    weight = (levels.astype(np.float32) - middle) * quantized.scales[..., None]
    return weight.reshape(len(weight), -1)[:, : quantized.n_columns]


def random_matrix(n_rows: int, n_columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns), dtype=np.float32)


@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.008), (4, 0.12)])
def test_error_is_small_beside_the_weights(bits: int, tolerance: float) -> None:
    weight = random_matrix(64, 384)
    error = dequantize(quantize(weight, bits)) - weight
    assert 0 < np.sqrt((error**2).mean()) < tolerance


def test_eight_bits_are_never_off_by_more_than_half_a_step() -> None:
    weight = random_matrix(16, 256)
    quantized = quantize(weight, 8)
    error = np.abs(dequantize(quantized) - weight).reshape(16, -1, quantized.block_size)
    assert (error <= quantized.scales[..., None] * 0.5001).all()


def test_four_bits_beat_a_plain_covering_scale() -> None:
    weight = random_matrix(64, 384)
    blocks = weight.reshape(64, 3, 128)
    scales = np.abs(blocks).max(-1, keepdims=True) / 7
    plain = ((np.clip(np.rint(blocks / scales), -8, 7) * scales - blocks) ** 2).mean()
    assert ((dequantize(quantize(weight, 4)) - weight) ** 2).mean() < 0.9 * plain


@pytest.mark.parametrize(
    ("n_columns", "size"), [(384, 128), (1024, 128), (192, 64), (160, 32), (48, 16), (50, 16)]
)
def test_block_is_the_largest_that_divides_a_row(n_columns: int, size: int) -> None:
    assert block_size_for(n_columns) == size


@pytest.mark.parametrize(("bits", "per_block"), [(8, 16), (4, 8)])
def test_rows_are_padded_to_whole_blocks(bits: int, per_block: int) -> None:
    weight = random_matrix(3, 50)
    quantized = quantize(weight, bits)
    assert quantized.data.shape == (3, 4, per_block)
    assert quantized.scales.shape == (3, 4)
    assert dequantize(quantized).shape == (3, 50)


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zero(bits: int) -> None:
    weight = random_matrix(4, 128)
    weight[1] = 0
    weight[2, 5] = 0
    rounded = dequantize(quantize(weight, bits))
    assert not rounded[1].any()
    assert rounded[2, 5] == 0


def test_nibbles_hold_the_even_column_low() -> None:
    weight = np.zeros((1, 16), np.float32)
    weight[0, 0], weight[0, 1] = -8.0, 7.0
    quantized = quantize(weight, 4)
    assert quantized.scales[0, 0] == 1.0
    assert quantized.data[0, 0, 0] == 0 | 15 << 4


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="4 or 8 bits, not 5"):
        quantize(random_matrix(2, 16), 5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 70),
    st.sampled_from([4, 8]),
    st.floats(1e-15, 1e15),
    st.data(),
)
def test_error_is_bounded_at_any_shape_and_size(
    n_rows: int, n_columns: int, bits: int, size: float, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 1000))
    weight = random_matrix(n_rows, n_columns, seed) * np.float32(size)
    error = np.abs(dequantize(quantize(weight, bits)) - weight)
    assert error.max() <= np.abs(weight).max() * (0.01 if bits == 8 else 0.26)
