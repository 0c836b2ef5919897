"""Checkpoints: complete or absent, the newest readable one wins."""

import os
from pathlib import Path

import pytest
import torch

from training.errors import TrainingError
from training.pretrain.checkpoint import RunProgress, discard_after, load_newest, save


def write(run: Path, step: int) -> Path:
    weights = {"w": torch.full((3,), float(step))}
    return save(run, RunProgress(step=step, tokens=10 * step), weights, {"m": torch.zeros(2)})


def test_newest_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    checkpoint = load_newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.progress == RunProgress(step=2, tokens=20)
    assert torch.equal(checkpoint.weights["w"], torch.full((3,), 2.0))
    assert torch.equal(checkpoint.optimizer["m"], torch.zeros(2))


def test_no_run_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "never") is None


def test_only_two_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in range(1, 6):
        write(tmp_path, step)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000004", "step-000005"]


def test_leftover_of_a_killed_save_disturbs_neither_save_nor_load(tmp_path: Path) -> None:
    write(tmp_path, 1)
    leftover = tmp_path / "checkpoints" / ".step-000002.0123.tmp"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")
    assert load_newest(tmp_path).progress.step == 1  # type: ignore[union-attr]
    write(tmp_path, 2)
    assert load_newest(tmp_path).progress.step == 2  # type: ignore[union-attr]
    assert not leftover.exists()


def test_same_step_can_be_saved_again(tmp_path: Path) -> None:
    write(tmp_path, 3)
    write(tmp_path, 3)
    assert load_newest(tmp_path).progress.step == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_damaged_newest_falls_back_to_the_one_before(tmp_path: Path, name: str) -> None:
    write(tmp_path, 1)
    (write(tmp_path, 2) / name).write_bytes(b"\x00garbage")
    assert load_newest(tmp_path).progress.step == 1  # type: ignore[union-attr]


def test_nothing_readable_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (write(tmp_path, 1) / "state.json").unlink()
    with pytest.raises(TrainingError, match="use another --run folder"):
        load_newest(tmp_path)


def test_what_others_put_among_the_checkpoints_is_left_alone(tmp_path: Path) -> None:
    """Past failure (2026-11-30): a file of the Finder's ended a run at its next checkpoint."""
    folder = tmp_path / "checkpoints"
    (folder / "step-000009 of mine").mkdir(parents=True)
    (folder / ".DS_Store").write_bytes(b"\0")
    for step in range(1, 4):
        write(tmp_path, step)
    discard_after(tmp_path, 2)
    assert load_newest(tmp_path).progress.step == 2  # type: ignore[union-attr]
    names = sorted(path.name for path in folder.iterdir())
    assert names == [".DS_Store", "step-000002", "step-000009 of mine"]


def test_a_million_steps_come_after_fewer(tmp_path: Path) -> None:
    for step in (999_998, 999_999, 1_000_000):
        write(tmp_path, step)
    assert load_newest(tmp_path).progress.step == 1_000_000  # type: ignore[union-attr]


@pytest.mark.skipif(os.name == "nt", reason="needs limits of files")
def test_checkpoint_that_finds_no_room_is_one_line_and_leaves_the_one_before(
    tmp_path: Path,
) -> None:
    """Past failure (2026-11-30): a full disk ended a run in a traceback."""
    import resource

    write(tmp_path, 1)
    weights = {"w": torch.zeros(100_000)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(TrainingError, match="cannot write a checkpoint below "):
            save(tmp_path, RunProgress(step=2), weights, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]
