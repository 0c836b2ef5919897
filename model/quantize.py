"""Weights in 8 bits, one scale for each block of a row: the layout that MatMulNBits reads.

Shapes: N rows (out), K columns (in), G blocks in a row. The zero point is the middle of the range,
128, so that a weight of zero stays exactly zero.
"""

import numpy as np
from numpy.typing import NDArray

# Largest first: a large block reads fewer scales. The runtime's kernels accept these sizes only.
BLOCK_SIZES = (128, 64, 32, 16)
_PIECE_NUMBERS = 1 << 22  # quantised at a time: each has some copies in between


def quantize(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a matrix (N, K) as levels (N, G, block size) and scales (N, G).

    The block is the largest that divides a row, or the smallest; the row is then padded.
    """
    n_rows, n_columns = weight.shape
    size = next((size for size in BLOCK_SIZES if n_columns % size == 0), BLOCK_SIZES[-1])
    step = max(1, _PIECE_NUMBERS // n_columns)
    pieces = [_quantize_rows(weight[i : i + step], size) for i in range(0, n_rows, step)]
    levels, scales = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return levels, scales


def _quantize_rows(
    rows: NDArray[np.float32], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % size)))
    blocks = padded.reshape(len(rows), -1, size)  # (N, G, size)
    scales = np.abs(blocks).max(-1) / np.float32(127)
    steps = np.rint(blocks / np.where(scales == 0, np.float32(1), scales)[..., None])
    return np.clip(steps + 128, 0, 255).astype(np.uint8), scales
