"""`ranker.json` in a model folder: optional, listed, checked, written by replacing the whole."""

from pathlib import Path

import pytest

from model.folder import (
    BUNDLED,
    RANKER,
    ModelFolderError,
    copy_folder,
    load_folder,
    save_folder,
)
from tests.doubles import random_tensors, tiny_config, tiny_folder, tiny_info, tiny_tokenizer_json

TABLE = {"format_version": 1, "numbers": [0.25, 1e-7]}


def test_folder_without_one_says_so(tmp_path: Path) -> None:
    assert load_folder(tiny_folder(tmp_path)).ranker is None


def test_copy_holds_the_table_and_all_else_as_it_was(tmp_path: Path) -> None:
    source = tiny_folder(tmp_path)
    target = tmp_path / "ranked"
    copy_folder(source, target, ranker=TABLE)
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
    copy_folder(folder, folder, ranker=TABLE)
    copy_folder(folder, folder, ranker=TABLE | {"more": 1})
    assert load_folder(folder).ranker == TABLE | {"more": 1}
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_copy_keeps_the_table_beside_a_new_card(tmp_path: Path) -> None:
    folder, target = tiny_folder(tmp_path), tmp_path / "ranked"
    copy_folder(folder, folder, ranker=TABLE)
    copy_folder(folder, target, card="# judged\n")
    assert load_folder(target).ranker == TABLE
    assert (target / "README.md").read_text() == "# judged\n"
    assert load_folder(target).content_hash == load_folder(folder).content_hash


def test_ranker_is_saved_with_the_weights(tmp_path: Path) -> None:
    save_folder(
        tmp_path / "m",
        config=tiny_config(),
        tensors=random_tensors(tiny_config()),
        tokenizer_json=tiny_tokenizer_json(),
        info=tiny_info(),
        card="",
        ranker=TABLE,
    )
    assert load_folder(tmp_path / "m").ranker == TABLE


def test_changed_ranker_is_found_out(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    copy_folder(folder, folder, ranker=TABLE)
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
        copy_folder(folder, tmp_path / "copy", ranker=TABLE)
    assert not (tmp_path / "copy").exists()


def test_bundled_model_has_one() -> None:
    assert load_folder(BUNDLED).ranker is not None
