"""A Hugging Face folder of others: described, measured, listed, served; it stays where it is."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from assistant.cli import complete as complete_cli
from assistant.cli import models as models_cli
from assistant.cli.models import main
from assistant.doctor import storage
from assistant.models.registry import Registry
from assistant.settings import Settings
from model.foreign import REFERENCE, PlainFolder, load_model, write_ranker
from tests.foreign_folders import folder_of, split_by, trained
from tests.repositories import new_repository

pytestmark = [
    pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("shared_cache")
]  # fmt: skip
CARD = "---\nlanguage: en\nlicense: apache-2.0\n---\n# Tiny\n\nlicense: of the text\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny Qwen"
    folder_of(path, "Qwen2", trained(split_by("qwen2")))
    (path / "README.md").write_text(CARD)
    return path


@pytest.fixture
def added(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["add", str(folder), "--yes", "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["name"])


def test_is_described_and_measured_before_it_is_taken(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda: "n")
    assert main(["add", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "architecture   qwen2, 0M parameters" in said
    assert "licence        apache-2.0 (what its card says; read it)" in said
    assert "infilling      as StarCoder2 does, suffix first" in said
    assert "measured here  reads " in said
    assert said.endswith("Nothing was added.\n")
    assert not Registry().entries()


def test_is_listed_once_stays_where_it_is_and_answers(
    added: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert added == "tiny-qwen"
    assert main(["add", str(folder), "--yes"]) == 0
    (entry,) = Registry().entries()
    assert (entry.name, entry.kind, entry.repository) == (added, "plain", "")
    assert entry.scores["written_tokens_s"] > 0
    place = Registry().place(added)
    assert [path.name for path in place.iterdir()] == [REFERENCE]
    assert main(["export", added, str(tmp_path / "copy")]) == 1
    assert f"{added} is {folder}; copy that" in capsys.readouterr().err
    assert [*storage.own_models(Settings(), tmp_path)][-1].state == "ok"

    monkeypatch.chdir(new_repository(tmp_path / "own", {"a.py": "x = hand\n"}))
    assert main(["use", added]) == 0
    assert main(["list"]) == 0
    assert f"for any repository: {folder}" in capsys.readouterr().out
    complete_cli.main(["why", "a.py:1:7", "--deadline-ms", "60000"])
    assert f"model: {added}\n" in capsys.readouterr().out
    write_ranker(place, {"fitted": "here"})
    assert load_model(place).ranker == {"fitted": "here"}
    assert main(["remove", added, "--force", "--yes"]) == 0
    assert (folder / "config.json").is_file()


def test_one_that_was_moved_is_not_added_beside_its_old_place(
    added: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was said to be listed, and could not be served."""
    moved = folder.rename(tmp_path / "moved")
    mend = f"foretype models remove {added} --force"
    first, *_ = storage.own_models(Settings(), tmp_path)
    assert first.fix == f"{mend}, then `foretype models add` it again"
    assert main(["add", str(moved), "--yes"]) == 1
    said = capsys.readouterr().err
    assert f"this model is listed as {added}, at {folder}; if it was moved: `{mend}`" in said
    assert main(["remove", added, "--force", "--yes"]) == 0
    assert main(["add", str(moved), "--yes"]) == 0
    assert [entry.root for entry in Registry().entries()] == [str(moved)]


def test_a_folder_that_changed_is_refused_and_one_only_touched_is_not(
    added: str, folder: Path
) -> None:
    place = Registry().place(added)
    os.utime(folder / "config.json", ns=(0, 0))
    assert load_model(place).content_hash == Registry().entries()[0].content_hash
    config = folder / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(ValueError, match=r"is not the model that was added; remove the model"):
        load_model(place)
    config.unlink()
    with pytest.raises(ValueError, match=r"cannot read .*Tiny Qwen: No such file"):
        load_model(place)


def test_one_that_the_memory_does_not_hold_is_refused_before_it_is_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_cli, "_memory_here", lambda: 1e5)
    monkeypatch.setattr(PlainFolder, "tensor", None)
    assert main(["add", str(folder), "--yes"]) == 1
    assert "more than the 0 MB that this machine has" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(np.float32("nan").tobytes())
    assert main(["add", str(folder), "--yes"]) == 1
    said = capsys.readouterr().err
    assert (said.count("\n"), "no numbers" in said) == (1, True)
    assert not Registry().entries()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("no card at all", "not stated"),
        ("---\nlicense: 'mit'\n---\n", "mit"),
        ("---\ntitle: x\n---\nlicense: mit\n", "not stated"),
        ("---\nlicense: " + "a" * 500 + "\n---\n", "a" * 80),
        ("---\nlicense: \x1b[31mred\n---\n", "not stated"),
    ],
)
def test_licence_is_the_field_of_the_card(folder: Path, card: str, licence: str) -> None:
    (folder / "README.md").write_text(card)
    assert load_model(folder).info.licence == licence
