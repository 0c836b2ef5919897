"""Epoch after epoch: the best is kept, a worse one ends it, and a stopped run goes on alike."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.folder import load_folder
from tests.doubles import tiny_config, tiny_folder
from training.data.shards import ShardReader, ShardWriter
from training.errors import TuneStoppedError
from training.evaluation.bits_per_byte import Passage
from training.finetune import run
from training.finetune.plan import TuneState
from training.finetune.texts import epoch_folder

TEXT = "def area(width):\n    return width * 2\n" * 3
PASSAGE = Passage(group="c", path="a.py", text=TEXT, counted=range(len(TEXT)))
N_ROWS = (16, 16)  # two steps each
BLOCK = tiny_config().block_size


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows of the text that is to be foreseen."""
    folder = tmp_path / "rows"
    dice = np.random.default_rng(0)
    for epoch, n_rows in enumerate(N_ROWS):
        place = epoch_folder(folder, epoch)
        place.mkdir(parents=True)
        with ShardWriter(place, block_size=BLOCK, vocab_size=tiny_config().vocab_size) as writer:
            writer.add(dice.integers(97, 122, (n_rows, BLOCK + 1)).astype(np.uint16))
    return folder


def train(state: TuneState, parent: Path, lora_rank: int = 0) -> run.TrainingLog:
    place = parent / "tiny"
    base = load_folder(place if place.is_dir() else tiny_folder(parent))
    recipe = run.tune_recipe(base, N_ROWS, name="n", seed=0, lora_rank=lora_rank)
    return run.train(state, base, recipe, parent / "rows", (PASSAGE,))


def test_best_epoch_has_the_fewest_bits() -> None:
    assert run.best_epoch([1.0, 0.9, 0.8, 0.85]) == 2
    assert run.best_epoch([0.5, 0.9, 0.8]) == 2  # the base itself is not an epoch


def test_worse_epoch_ends_the_run() -> None:
    assert run.is_over([1.0, 0.9, 0.8, 0.85])
    assert not run.is_over([1.0, 0.9, 0.8])
    assert not run.is_over([1.0, 1.1])  # rates are still high in the first


def test_each_epoch_leaves_its_weights(tmp_path: Path, rows: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        found = train(state, tmp_path)
        first, second = (run.epoch_weights(state, epoch) for epoch in (1, 2))
    assert len(found["bits"]) == 3
    assert found["tokens"] == sum(N_ROWS) * BLOCK
    assert first.keys() == load_folder(tmp_path / "tiny").tensors().keys()
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_adapted_run_leaves_plain_weights(tmp_path: Path, rows: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        train(state, tmp_path, lora_rank=4)
        weights = run.epoch_weights(state, 2)
    start = load_folder(tmp_path / "tiny").tensors()
    assert weights.keys() == start.keys()
    changed = {name for name in start if not np.array_equal(weights[name].numpy(), start[name])}
    assert changed == {name for name in start if name.endswith("proj.weight")}


class StoppingRows(ShardReader):
    """Asks the process to stop when so many rows have been read."""

    left = 0

    def __getitem__(self, number: int) -> NDArray[np.uint16]:
        StoppingRows.left -= 1
        if StoppingRows.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(number)


def test_stopped_run_goes_on_to_the_same_weights(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TuneState(tmp_path / "whole") as state:
        whole = train(state, tmp_path)
        wanted = run.epoch_weights(state, 2)
    monkeypatch.setattr(run, "ShardReader", StoppingRows)
    before = signal.getsignal(signal.SIGTERM)
    with TuneState(tmp_path / "parts") as state:
        StoppingRows.left = 3
        with pytest.raises(TuneStoppedError, match="stopped and saved in epoch 1 of 2"):
            train(state, tmp_path)
        assert signal.getsignal(signal.SIGTERM) is before
        StoppingRows.left = 12  # eight are left of the first epoch
        with pytest.raises(TuneStoppedError, match="epoch 2 of 2"):
            train(state, tmp_path)
        found = train(state, tmp_path)
        weights = run.epoch_weights(state, 2)
    assert found["bits"] == whole["bits"]
    assert [name for name in wanted if not torch.equal(wanted[name], weights[name])] == []


def test_epoch_whose_weights_are_lost_is_not_counted(tmp_path: Path, rows: Path) -> None:
    with TuneState(tmp_path / "s") as state:
        whole = train(state, tmp_path)
        (tmp_path / "s" / "epoch-2.safetensors").unlink()
        assert train(state, tmp_path)["bits"] == whole["bits"]
