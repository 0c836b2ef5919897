"""Which `--shards` argument belongs to which stage."""

from pathlib import Path

import numpy as np
import pytest

from model.config import ConfigError
from tests.training.pretrain.test_schedule import LONG, SHORT, recipe
from training.data.shards import ShardError, ShardWriter
from training.pretrain.command import ShardFolders
from training.pretrain.schedule import make_plan

PLAN = make_plan(recipe(SHORT, LONG))


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
    with pytest.raises(ShardError, match="say --shards long=FOLDER"):
        folders.open(PLAN.stages[1])
    later = ShardFolders([str(short), str(tmp_path / "later")], PLAN, vocab_size=256)
    assert later.remarks() == "not there yet: the rows of long\n"
    with pytest.raises(ShardError, match="is not a folder of packed shards"):
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


def test_folder_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match="--shards c belongs to no stage"):
        ShardFolders(["a", "b", "c"], PLAN, vocab_size=256)
