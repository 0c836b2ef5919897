"""The corpus folder: texts come back, and damage is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from model.files import sha256_file
from training.data.corpus import (
    MANIFEST,
    Document,
    Split,
    SplitWriter,
    read_manifest,
    write_manifest,
)
from training.errors import TrainingError

TEXTS = {"a.py": "a = 1\n", "naïve.py": "größe = '🙂'\n", "b/c.py": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with SplitWriter(tmp_path, "train") as train, SplitWriter(tmp_path, "validation"):
        for path, text in TEXTS.items():
            train.add(source="o/n", path=path, text=text.encode(), sha256="0")
    write_manifest(tmp_path, {"note": 1})
    return tmp_path


def test_documents_come_back(folder: Path) -> None:
    split = Split(folder)
    expected = [Document(source="o/n", path=path, text=text) for path, text in TEXTS.items()]
    assert list(split) == expected


def test_files_of_one_repository_are_found(tmp_path: Path) -> None:
    with SplitWriter(tmp_path, "train") as train, SplitWriter(tmp_path, "validation"):
        for source, path in (("o/a", "x.py"), ("o/b", "y.py"), ("o/a", "z.py")):
            train.add(source=source, path=path, text=f"# {path}\n".encode(), sha256="0")
    write_manifest(tmp_path, {})
    split = Split(tmp_path)
    assert list(split.files_of("o/a")) == [("x.py", "# x.py\n"), ("z.py", "# z.py\n")]
    assert list(split.files_of("o/none")) == []


def test_empty_split_has_no_documents(folder: Path) -> None:
    assert list(Split(folder, "validation")) == []


def test_manifest_names_the_hash_of_every_file(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest["note"] == 1
    others = [path for path in folder.iterdir() if path.name != MANIFEST]
    assert manifest["files"] == {path.name: sha256_file(path) for path in others}
    assert len(others) == 6


def test_unknown_split_is_refused(folder: Path) -> None:
    with pytest.raises(TrainingError, match="the splits train, validation, not 'test'"):
        Split(folder, "test")


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_folder_without_a_manifest_is_no_corpus(content: str | None, folder: Path) -> None:
    (folder / MANIFEST).unlink()
    if content is not None:
        (folder / MANIFEST).write_text(content)
    with pytest.raises(TrainingError, match="is not a prepared corpus"):
        Split(folder)


def test_other_format_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"format_version": 9}))
    with pytest.raises(TrainingError, match="corpus format 9, this program reads 1"):
        read_manifest(folder)


def test_index_that_does_not_fit_is_noticed(folder: Path) -> None:
    (folder / "train.bin").write_bytes(b"shorter")
    with pytest.raises(TrainingError, match="does not fit its texts"):
        Split(folder)


def test_index_that_is_no_index_is_noticed(folder: Path) -> None:
    np.save(folder / "train.offsets.npy", np.array(["x"], dtype=object))
    with pytest.raises(TrainingError, match="cannot read the corpus"):
        Split(folder)
