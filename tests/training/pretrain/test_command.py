"""What a session of a run begins with: its threads, and the lines that say so."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.pretrain.test_schedule import LONG, SHORT, recipe
from tests.training.pretrain.test_trainer import trainer
from training.pretrain import command
from training.pretrain.command import ShardFolders
from training.pretrain.schedule import make_plan

FOLDERS = ShardFolders([], make_plan(recipe(SHORT, LONG)), vocab_size=256)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Put back how many threads torch has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_compilation_is_said_before_it_begins() -> None:
    """Past failure (2026-11-29): nine minutes without a line on a crowded machine."""
    run = trainer()
    assert "compiling" not in command.announce(run, FOLDERS, resumed=False)
    run.progress = dataclasses.replace(run.progress, compiled=True)
    said = command.announce(run, FOLDERS, resumed=True)
    assert said.startswith("going on at step 0 of 20, ")
    assert "not there yet: the rows of short, long\n" in said
    assert said.endswith(
        "compiling: the first step, and that of each stage, takes a minute or more\n"
    )


def test_threads_are_tried_once_and_kept_by_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def choose(work: object, most: int) -> int:
        tried.append(most)
        return 1

    monkeypatch.setattr(command, "choose_threads", choose)
    run = trainer()
    command.use_threads(run, 3, is_given=False)
    run.step()
    run.save(tmp_path)
    again = trainer()
    assert again.resume(tmp_path)
    command.use_threads(again, 3, is_given=False)
    assert (tried, again.progress.threads, torch.get_num_threads()) == ([3], 1, 1)
    command.use_threads(again, 2, is_given=True)
    assert (again.progress.threads, torch.get_num_threads()) == (2, 2)
