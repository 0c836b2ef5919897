"""What a GPU would feel of a step, shown on a CPU: waits, the largest tensor, compiled and not."""

import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.pretrain.test_trainer import open_rows, small_recipe, trainer
from training.pretrain.trainer import Trainer
from training.recipe import FolderTable, NetworkTable, Recipe, TrainTable

WAITS = {"item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__float__", "__int__"}


class CountWaits(TorchFunctionMode):
    """Count the calls that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        name = getattr(function, "__name__", "")
        self.found.update({name} & WAITS)
        return function(*args, **(kwargs or {}))


class FindLargest(TorchDispatchMode):
    """Remember the largest tensor that is made, in numbers."""

    largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return made


def test_step_of_many_micro_batches_waits_once() -> None:
    run = trainer(micro_rows=1, average_tokens=500, normuon_beta2=0.9)
    with CountWaits() as waits:
        run.step()
    assert waits.found == {"tolist": 1}


class RandomRows:
    """Rows of random ids of a large vocabulary."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> NDArray[np.uint16]:
        ids = np.random.default_rng(index).integers(0, 30_000, 65)
        return ids.astype(np.uint16)


def test_logits_of_a_micro_batch_never_stand_whole() -> None:
    rows, vocab_size = 8, 30_000
    table = TrainTable(tokens=64 * rows * 2, batch_tokens=64 * rows, micro_rows=rows)
    network = NetworkTable(
        preset="nano", vocab_size=vocab_size, block_size=64, n_layer=1, n_embd=32
    )
    recipe = Recipe(network=network, train=table, folder=FolderTable(name="wide"))
    run = Trainer(recipe, lambda stage: RandomRows())
    with FindLargest() as found:
        run.step()
    assert found.largest < rows * 64 * vocab_size / 3


def losses(*, compiled: bool) -> list[float]:
    run = Trainer(small_recipe(compile=compiled), open_rows)
    return [run.step() for _ in range(6)]


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute of compiling, more beside others
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_compiled_step_has_the_losses_of_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool that stays
    # In a process of its own: torch brings in setuptools, which fails where another test has met
    # the standard library's distutils.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        found = fresh.submit(losses, compiled=True).result()
    assert found == pytest.approx(losses(compiled=False), rel=1e-4)
