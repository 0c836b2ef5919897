"""Pieces: what is cut comes back the same; what is missing or damaged is named."""

import json
import random
import shutil
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.pretrain.kit import INDEX, cut, join

PIECE_BYTES = 4_000


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "train.bin").write_bytes(random.Random(0).randbytes(15_000))
    (folder / "empty").touch()
    (tmp_path / "tokenizer.json").write_text("{}" * 5_000)
    return [folder, tmp_path / "tokenizer.json"]


def test_joined_is_what_was_cut(files: list[Path], tmp_path: Path) -> None:
    pieces = cut(files, tmp_path / "pieces", piece_bytes=PIECE_BYTES)
    assert len(pieces) > 3
    assert all(path.stat().st_size <= PIECE_BYTES for path in pieces)
    join([tmp_path / "pieces"], tmp_path / "joined")
    for name in ("train.bin", "empty"):
        joined = tmp_path / "joined" / "corpus" / name
        assert joined.read_bytes() == (files[0] / name).read_bytes()
    assert (tmp_path / "joined" / "tokenizer.json").read_bytes() == files[1].read_bytes()


def test_pieces_may_come_to_several_places(files: list[Path], tmp_path: Path) -> None:
    places = [tmp_path / "first", tmp_path / "second"]
    for number, path in enumerate(cut(files, tmp_path / "pieces", piece_bytes=PIECE_BYTES)):
        places[number % 2].mkdir(exist_ok=True)
        shutil.copy(path, places[number % 2])
    shutil.copy(tmp_path / "pieces" / INDEX, places[1])
    join(places, tmp_path / "joined")
    assert (tmp_path / "joined" / "tokenizer.json").is_file()


def test_missing_and_damaged_pieces_are_named(files: list[Path], tmp_path: Path) -> None:
    _, second, third, *_ = cut(files, tmp_path / "pieces", piece_bytes=PIECE_BYTES)
    *kept, last = third.read_bytes()
    third.write_bytes(bytes([*kept, last ^ 1]))
    with pytest.raises(TrainingError, match=r"piece-002\.xz is damaged: send it again"):
        join([tmp_path / "pieces"], tmp_path / "joined")
    second.unlink()
    with pytest.raises(TrainingError, match=r"piece-001\.xz is not in"):
        join([tmp_path / "pieces"], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize("index", ["[]", '{"sha256": {"../secret": "ab"}}', "{"])
def test_index_that_names_no_pieces_is_refused(index: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(TrainingError, match="index"):
        join([tmp_path], tmp_path / "joined")


def test_same_files_give_the_same_pieces(files: list[Path], tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        cut(files, tmp_path / name, piece_bytes=PIECE_BYTES)
        hashes.append(json.loads((tmp_path / name / INDEX).read_text()))
    assert hashes[0] == hashes[1]
