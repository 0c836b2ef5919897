"""Packed rows -> batches, in an order that is a function of (seed, position).

So to resume is to know one number.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.shards import TokenIds
from training.pretrain.loss import IGNORE


class Rows(Protocol):
    """Rows of T + 1 token ids, as `training.data.shards.ShardReader` gives them."""

    def __len__(self) -> int: ...

    def row(self, index: int) -> TokenIds:
        """Return row `index`, (T + 1,)."""
        ...


class Batches:
    """Draw rows in a fresh random order each epoch; targets equal to `pad_id` carry no loss."""

    def __init__(
        self, rows: Rows, *, seed: int, pad_id: int = -1, device: torch.device | str = "cpu"
    ) -> None:
        if len(rows) == 0:
            raise ValueError("the shards hold no row: pack the corpus first")
        self._rows = rows
        self._seed = seed
        self._pad_id = pad_id
        self._device = torch.device(device)
        self._ready: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def row_index(self, position: int) -> int:
        """Return which row is the `position`-th ever drawn."""
        epoch, offset = divmod(position, len(self._rows))
        if epoch != self._epoch:
            draws = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
            self._order = draws.permutation(len(self._rows))
            self._epoch = epoch
        return int(self._order[offset])

    def take(self, position: int, count: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, both (count, T), of the rows from `position` on."""
        ready, self._ready = self._ready.get((position, count)), {}
        return ready or self._upload(position, count)

    def prepare(self, position: int, count: int) -> None:
        """Begin to copy what is taken next, while a GPU still computes."""
        self._ready = {(position, count): self._upload(position, count)}

    def _upload(self, position: int, count: int) -> tuple[Tensor, Tensor]:
        rows = [self._rows.row(self.row_index(position + i)) for i in range(count)]
        ids = torch.from_numpy(np.stack(rows).astype(np.int64))  # (count, T + 1)
        targets = ids[:, 1:].clone()
        targets[targets == self._pad_id] = IGNORE
        return self._copy(ids[:, :-1].contiguous()), self._copy(targets)

    def _copy(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)
