"""Shards: rows come back as written, and damage is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.data.shards import INDEX, TOKENS, ShardReader, ShardWriter
from training.errors import TrainingError

ROWS = np.arange(30, dtype=np.uint16).reshape(5, 6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path, block_size=5, vocab_size=1 << 16) as writer:
        writer.add(ROWS[:3])
        writer.add(ROWS[3:])
        writer.description = {"note": "x"}
    return tmp_path


def test_rows_come_back(folder: Path) -> None:
    reader = ShardReader(folder)
    assert (len(reader), reader.block_size, reader.vocab_size) == (5, 5, 1 << 16)
    assert reader.index["note"] == "x"
    assert [reader[i].tolist() for i in range(5)] == ROWS.tolist()


def test_missing_rows_are_noticed(folder: Path) -> None:
    (folder / TOKENS).write_bytes((folder / TOKENS).read_bytes()[:-2])
    with pytest.raises(TrainingError, match="58 bytes, 5 rows of 6 ids were expected"):
        ShardReader(folder)


def test_other_format_is_refused(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | {"format_version": 2}))
    with pytest.raises(TrainingError, match="shard format 2, this program reads 1"):
        ShardReader(folder)


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_folder_without_an_index_is_no_shard(content: str | None, folder: Path) -> None:
    (folder / INDEX).unlink()
    if content is not None:
        (folder / INDEX).write_text(content)
    with pytest.raises(TrainingError, match="is not a folder of packed shards"):
        ShardReader(folder)


def test_interrupted_writing_leaves_no_index(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        ShardWriter(tmp_path, block_size=5, vocab_size=10) as writer,
    ):
        writer.add(ROWS)
        raise KeyboardInterrupt
    assert not (tmp_path / INDEX).exists()


@pytest.mark.parametrize(("vocab_size", "n_bytes"), [(1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_of_a_large_vocabulary_come_back(vocab_size: int, n_bytes: int, tmp_path: Path) -> None:
    rows = np.array([[0, 1, vocab_size - 1]], np.uint32)
    with ShardWriter(tmp_path, block_size=2, vocab_size=vocab_size) as writer:
        writer.add(rows)
    reader = ShardReader(tmp_path)
    assert reader[0].tolist() == rows[0].tolist()
    assert (tmp_path / TOKENS).stat().st_size == 3 * n_bytes
