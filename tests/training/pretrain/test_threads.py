"""How many threads a run takes."""

from collections.abc import Iterator

import pytest
import torch

from tests.training.pretrain.test_trainer import assert_same, trainer, weights
from training.pretrain.loop import choose_threads


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Put back how many threads torch has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def work_that_takes(seconds: dict[int, float]) -> list[int]:
    """Choose among scripted times; return the choice and what torch has from then on."""
    now_s = [0.0]

    def work() -> None:
        now_s[0] += seconds[torch.get_num_threads()]

    chosen = choose_threads(work, max(seconds), clock=lambda: now_s[0])
    return [chosen, torch.get_num_threads()]


def test_fewer_threads_where_several_wait_for_each_other() -> None:
    """Past failure (2026-11-29): two threads did half of what one did beside other programs."""
    assert work_that_takes({4: 0.1, 2: 0.02, 1: 0.06}) == [2, 2]


def test_all_threads_where_fewer_are_no_faster() -> None:
    assert work_that_takes({2: 0.020, 1: 0.1}) == [2, 2]
    assert work_that_takes({2: 0.020, 1: 0.019}) == [2, 2]
    assert choose_threads(pytest.fail, 1) == 1  # nothing to try


def test_rehearsal_changes_no_weight() -> None:
    rehearsed, plain = trainer(), trainer()
    rehearsed.rehearse()
    assert_same(weights(rehearsed), weights(plain))
    assert rehearsed.step() == plain.step()
