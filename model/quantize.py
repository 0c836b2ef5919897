"""Weights in 8 or 4 bits, one scale for each block of a row: the layout that MatMulNBits reads.

Pure numpy. Knows matrices, neither graphs nor models.

Shapes: N rows (out), K columns (in), G blocks in a row. The zero point is the middle of the range
(128 or 8), so that a weight of zero stays exactly zero.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

# Largest first: a large block reads fewer scales. The runtime's kernels accept these sizes only.
BLOCK_SIZES = (128, 64, 32, 16)
_PIECE_NUMBERS = 1 << 22  # quantised at a time: each has some copies in between

# Scales tried for 4 bits, as fractions of the one that just covers a block: clipping its largest
# weight a little often costs less than coarser steps for all the others.
_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quantized:
    """A matrix in blocks: `data` (N, G, bytes a block) uint8, `scales` (N, G) float32."""

    data: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    block_size: int
    n_columns: int  # K before padding


def block_size_for(n_columns: int) -> int:
    """Return the largest block that divides a row, or the smallest (the row is then padded)."""
    return next((size for size in BLOCK_SIZES if n_columns % size == 0), BLOCK_SIZES[-1])


def quantize(weight: NDArray[np.float32], bits: int) -> Quantized:
    """Round a matrix (N, K) to `bits` bits in blocks along K."""
    if bits not in (4, 8):
        raise ValueError(f"weights are quantised to 4 or 8 bits, not {bits}")
    n_rows, n_columns = weight.shape
    size = block_size_for(n_columns)
    step = max(1, _PIECE_NUMBERS // n_columns)
    pieces = [_quantized(weight[i : i + step], bits, size) for i in range(0, n_rows, step)]
    data, scales = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Quantized(data=data, scales=scales, bits=bits, block_size=size, n_columns=n_columns)


def _quantized(
    rows: NDArray[np.float32], bits: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return data and scales of some rows."""
    n_rows, n_columns = rows.shape
    padded = np.pad(rows, ((0, 0), (0, -n_columns % size)))
    blocks = padded.reshape(n_rows, -1, size)  # (N, G, size)
    scales = _covering_scales(blocks, bits) if bits == 8 else _best_scales(blocks, bits)
    data = _levels(blocks, scales, bits)
    if bits == 4:  # two to a byte, the even one low
        data = data[..., 0::2] | np.left_shift(data[..., 1::2], 4, dtype=np.uint8)
    return data, scales


def _levels(
    blocks: NDArray[np.float32], scales: NDArray[np.float32], bits: int
) -> NDArray[np.uint8]:
    middle = 1 << (bits - 1)
    steps = np.rint(blocks / np.where(scales == 0, np.float32(1), scales)[..., None])
    levels: NDArray[np.uint8] = np.clip(steps + middle, 0, 2 * middle - 1).astype(np.uint8)
    return levels


def _covering_scales(blocks: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Return the scale (N, G) at which the largest weight of each block is the last level."""
    scales: NDArray[np.float32] = np.abs(blocks).max(-1) / np.float32((1 << (bits - 1)) - 1)
    return scales


def _best_scales(blocks: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Return the scales (N, G) of least squared error among a few.

    The range has one level more below zero than above, so a scale may be negative: the block's
    largest weight, whatever its sign, then sits at the far end of the longer side.
    """
    middle = 1 << (bits - 1)
    index = np.abs(blocks).argmax(-1)[..., None]
    extreme = np.take_along_axis(blocks, index, -1)[..., 0]  # (N, G), signed
    best = np.zeros_like(extreme)
    best_error = np.full(extreme.shape, np.inf, np.float32)
    for shrink in _SHRINK:
        scales = (extreme * np.float32(-shrink / middle)).astype(np.float32)
        levels = _levels(blocks, scales, bits).astype(np.float32) - middle
        error = ((levels * scales[..., None] - blocks) ** 2).sum(-1)
        better = error < best_error
        best[better], best_error[better] = scales[better], error[better]
    return best
