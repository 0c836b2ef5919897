"""What a session of a run begins with: its threads, its rows, and the lines that say so."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from model.config import ConfigError
from model.tokenizer import Tokenizer
from tests.doubles import tiny_tokenizer_json
from tests.training.pretrain.test_schedule import LONG, SHORT, recipe
from tests.training.pretrain.test_trainer import assert_same, trainer, weights
from training.data.shards import ShardWriter
from training.errors import TrainingError
from training.pretrain import command
from training.pretrain.command import ShardFolders
from training.pretrain.loop import choose_threads
from training.pretrain.schedule import make_plan
from training.recipe import FolderTable, NetworkTable, Recipe, TrainTable

PLAN = make_plan(recipe(SHORT, LONG))
FOLDERS = ShardFolders([], PLAN, vocab_size=256)


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


def shards(folder: Path, block_size: int, n_rows: int = 400) -> Path:
    folder.mkdir()
    with ShardWriter(folder, block_size=block_size, vocab_size=256) as writer:
        writer.add(np.zeros((n_rows, block_size + 1), np.uint16))
    return folder


def test_folders_are_taken_by_name_or_in_order(tmp_path: Path) -> None:
    short, long = shards(tmp_path / "a", 64), shards(tmp_path / "b=c", 128)
    for arguments in (
        [str(short), str(long)],
        [f"long={long}", f"short={short}"],
        [f"long={long}", str(short)],
    ):
        folders = ShardFolders(arguments, PLAN, vocab_size=256)
        assert [folders.open(stage).block_size for stage in PLAN.stages] == [64, 128]
        assert folders.remarks() == ""


def test_later_rows_may_be_absent_until_their_stage_begins(tmp_path: Path) -> None:
    short = shards(tmp_path / "a", 64)
    folders = ShardFolders([str(short)], PLAN, vocab_size=256)
    assert len(folders.open(PLAN.stages[0])) == 400
    assert folders.remarks() == "not there yet: the rows of long\n"
    with pytest.raises(TrainingError, match="say --shards long=FOLDER"):
        folders.open(PLAN.stages[1])
    later = ShardFolders([str(short), str(tmp_path / "later")], PLAN, vocab_size=256)
    assert later.remarks() == "not there yet: the rows of long\n"
    with pytest.raises(TrainingError, match="is not a folder of packed shards"):
        later.open(PLAN.stages[1])


def test_rows_that_are_read_too_often_are_remarked_on(tmp_path: Path) -> None:
    few, many = shards(tmp_path / "few", 64, 100), shards(tmp_path / "many", 128)
    folders = ShardFolders([str(few), str(many)], PLAN, vocab_size=256)
    assert folders.remarks().startswith("the rows (short) are read 8.0 times: above 4 passes")
    assert folders.remarks().count("\n") == 1


def test_rows_of_another_length_are_refused(tmp_path: Path) -> None:
    folders = ShardFolders([str(shards(tmp_path / "a", 128))], PLAN, vocab_size=256)
    with pytest.raises(ConfigError, match=r"has rows of 128 tokens .* wants 64 and 256"):
        folders.open(PLAN.stages[0])


def test_rows_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    """Past failure (2026-11-30): of as large a vocabulary they were read, as other text."""
    folder = shards(tmp_path / "a", 64)
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"tokenizer_sha256": "ab"}))
    ShardFolders([str(folder)], PLAN, vocab_size=256, tokenizer="ab").open(PLAN.stages[0])
    folders = ShardFolders([str(folder)], PLAN, vocab_size=256, tokenizer="cd")
    with pytest.raises(ConfigError, match="was packed with another tokenizer"):
        folders.open(PLAN.stages[0])


def test_folder_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match="--shards c belongs to no stage"):
        ShardFolders(["a", "b", "c"], PLAN, vocab_size=256)


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


def test_run_that_is_trained_already_is_refused(tmp_path: Path) -> None:
    """Past failure (2026-11-30): two processes deleted each other's checkpoints."""
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(tiny_tokenizer_json())
    size = Tokenizer.from_file(tokenizer).vocab_size
    network = NetworkTable(preset="nano", vocab_size=size, block_size=64, n_layer=1, n_embd=64)
    made = Recipe(
        network=network, train=TrainTable(tokens=128, batch_tokens=64), folder=FolderTable(name="t")
    )
    files = command.RunFiles(run=tmp_path / "run", tokenizer=tokenizer, corpus=None)
    rows = tmp_path / "rows"
    rows.mkdir()
    with ShardWriter(rows, block_size=64, vocab_size=size) as writer:
        writer.add(np.zeros((4, 65), np.uint16))
    with FileLock(files.run / "lock"):
        with pytest.raises(TrainingError, match="another process trains in"):
            command.train_network(made, files, shards=[str(rows)], threads=1)
    assert command.train_network(made, files, shards=[str(rows)], threads=1)
