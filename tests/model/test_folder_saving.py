"""Saving writes a whole, sound folder or leaves what was there."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import ConfigError
from model.folder import FolderInfo, ModelFolderError, load_folder, save_folder
from tests.doubles import names_in, random_tensors, tiny_config, tiny_info, tiny_tokenizer_json

NORM = "model.norm.weight"
INFO = tiny_info()


def save(path: Path, **changes: Any) -> None:
    parts: dict[str, Any] = {
        "config": tiny_config(), "tensors": random_tensors(tiny_config()),
        "tokenizer_json": tiny_tokenizer_json(), "info": INFO, "card": "card",
    }  # fmt: skip
    save_folder(path, **(parts | changes))


def test_vocabulary_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    config = tiny_config(vocab_size=280)
    with pytest.raises(ModelFolderError, match=r"tokenizer.json has 285 tokens, config.json 280"):
        save(tmp_path / "model", config=config, tensors=random_tensors(config))


def test_saving_replaces_an_older_folder(tmp_path: Path) -> None:
    save(tmp_path / "model", card="old")
    save(tmp_path / "model", card="new")
    assert (tmp_path / "model" / "README.md").read_text() == "new"
    assert names_in(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop(NORM), "model.norm.weight is missing"),
        (lambda tensors: tensors.update(x=tensors[NORM]), "tensor x does not belong"),
        (lambda tensors: tensors.update({NORM: np.ones(3, np.float32)}), r"shape \[3\]"),
        (
            lambda tensors: tensors[NORM].fill(np.nan),
            "cannot save.*not finite; training has diverged",
        ),
    ],
)
def test_unfit_tensors_are_not_saved(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    tensors = random_tensors(tiny_config())
    change(tensors)
    with pytest.raises(ModelFolderError, match=reason):
        save(tmp_path / "model", tensors=tensors)
    assert not names_in(tmp_path)


def test_failed_save_keeps_the_older_folder(tmp_path: Path) -> None:
    save(tmp_path / "model")
    with pytest.raises(ModelFolderError, match=r"cannot save .*tokenizer.json is not JSON"):
        save(tmp_path / "model", tokenizer_json="{")
    long = dataclasses.replace(INFO, block_size=1024)
    with pytest.raises(ModelFolderError, match="1024 exceeds"):  # found by loading what was written
        save(tmp_path / "model", info=long)
    load_folder(tmp_path / "model")
    assert names_in(tmp_path) == ["model"]


def test_save_that_cannot_be_put_in_place_restores_the_older_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "model", card="old")
    rename, calls = Path.rename, []

    def second_rename_fails(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError("disk on fire")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", second_rename_fails)
    with pytest.raises(OSError, match="disk on fire"):
        save(tmp_path / "model", card="new")
    assert (tmp_path / "model" / "README.md").read_text() == "old"
    assert names_in(tmp_path) == ["model"]


@pytest.mark.parametrize(
    "changes",
    [{"format_version": 9}, {"fim_layout": ""}, {"block_size": 1}, {"snippet_tokens": -1}],
)
def test_info_out_of_range_cannot_be_made(changes: dict[str, Any]) -> None:
    fields = {name: getattr(INFO, name) for name in FolderInfo.__slots__}
    with pytest.raises(ConfigError):
        FolderInfo(**(fields | changes))
