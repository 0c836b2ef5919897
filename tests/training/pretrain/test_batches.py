"""Rows come in an order that depends on the seed and the position alone."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.pretrain.loss import IGNORE
from training.pretrain.trainer import Batches


class CountingRows:
    """Row i holds i, i+1, i+2."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> NDArray[np.uint16]:
        return np.arange(index, index + 3, dtype=np.uint16)


def test_each_epoch_reads_every_row_once_in_another_order() -> None:
    batches = Batches(CountingRows(50), seed=3)
    first = [batches.row_index(i) for i in range(50)]
    second = [batches.row_index(i) for i in range(50, 100)]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_order_depends_on_the_position_not_on_what_was_read_before() -> None:
    batches = Batches(CountingRows(20), seed=3)
    forwards = [batches.row_index(i) for i in range(60)]
    backwards = [batches.row_index(i) for i in reversed(range(60))]
    assert forwards == backwards[::-1]


def test_seeds_give_other_orders() -> None:
    one, two = Batches(CountingRows(50), seed=1), Batches(CountingRows(50), seed=2)
    assert [one.row_index(i) for i in range(50)] != [two.row_index(i) for i in range(50)]


def test_targets_are_the_inputs_shifted_and_padding_is_ignored() -> None:
    batches = Batches(CountingRows(1), seed=0, pad_id=2)
    inputs, targets = batches.take(0, 2)
    assert torch.equal(inputs, torch.tensor([[0, 1], [0, 1]]))
    assert torch.equal(targets, torch.tensor([[1, IGNORE], [1, IGNORE]]))


def test_batch_that_was_prepared_is_the_one_taken_and_no_other() -> None:
    plain, batches = Batches(CountingRows(50), seed=1), Batches(CountingRows(50), seed=1)
    batches.prepare(8, 4)
    assert torch.equal(batches.take(8, 4)[0], plain.take(8, 4)[0])
    batches.prepare(12, 4)
    assert torch.equal(batches.take(3, 4)[0], plain.take(3, 4)[0])  # a run went back
    assert torch.equal(batches.take(12, 2)[0], plain.take(12, 2)[0])


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="pack the corpus first"):
        Batches(CountingRows(0), seed=0)
