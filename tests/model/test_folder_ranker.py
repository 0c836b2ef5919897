"""`ranker.json` in a model folder: optional, listed, checked, written by replacing the whole."""

from pathlib import Path

import pytest

from model.folder import BUNDLED, RANKER, ModelFolderError, load_folder, with_ranker
from tests.doubles import tiny_folder

TABLE = {"format_version": 1, "numbers": [0.25, 1e-7]}


def test_folder_without_one_says_so(tmp_path: Path) -> None:
    assert load_folder(tiny_folder(tmp_path)).ranker is None


def test_copy_holds_the_table_and_all_else_as_it_was(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path)
    target = tmp_path / "ranked"
    with_ranker(source, target, TABLE)
    copy = load_folder(target)
    assert copy.ranker == TABLE
    assert load_folder(source).ranker is None
    # What is derived from the weights stays valid.
    assert copy.content_hash == load_folder(source).content_hash
    for file in source.iterdir():
        if file.name != "SHA256SUMS":
            assert (target / file.name).read_bytes() == file.read_bytes()


def test_folder_can_be_replaced_in_place_and_again(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    with_ranker(folder, folder, TABLE)
    with_ranker(folder, folder, TABLE | {"more": 1})
    assert load_folder(folder).ranker == TABLE | {"more": 1}
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_changed_ranker_is_found_out(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    with_ranker(folder, folder, TABLE)
    (folder / RANKER).write_text("{}")
    with pytest.raises(ModelFolderError, match=r"ranker\.json is not the file that SHA256SUMS"):
        load_folder(folder)
    (folder / RANKER).unlink()
    with pytest.raises(ModelFolderError, match=r"ranker\.json"):
        load_folder(folder)


def test_ranker_that_is_not_listed_is_not_read(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / RANKER).write_text("no JSON")
    assert load_folder(folder).ranker is None


def test_damaged_source_is_not_copied(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelFolderError, match=r"config\.json"):
        with_ranker(folder, tmp_path / "copy", TABLE)
    assert not (tmp_path / "copy").exists()


def test_bundled_model_has_one() -> None:
    assert load_folder(BUNDLED).ranker is not None
