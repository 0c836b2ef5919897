"""A GGUF file of others: described and measured, listed, served here or everywhere, not copied."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from assistant.cli import complete as complete_cli
from assistant.cli.models import main
from assistant.doctor import storage
from assistant.models.registry import Registry, repository_id
from assistant.models.selection import find_serving_model
from assistant.settings import Settings
from model.foreign import REFERENCE, load_model
from tests.gguf_files import write_gguf
from tests.repositories import new_repository

pytest.importorskip("ik_llama_cpp", reason="the extra `gguf` is not installed")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "Tiny Model.gguf", markers=["<fim_prefix>"])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = new_repository(tmp_path / "own", {"a.py": "x = hand\n"})
    monkeypatch.chdir(found)
    return found


@pytest.fixture
def added(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["add", str(file), "--yes", "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["name"])


def table(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["list", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_is_described_and_measured_before_it_is_taken(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda: "n")
    assert main(["add", str(file)]) == 1
    said = capsys.readouterr().out
    assert "architecture   llama, 0M parameters" in said
    assert "licence        mit (what the file says; read it)" in said
    assert "infilling      none: only what is before the cursor is read" in said
    assert "measured here  reads " in said
    assert said.endswith("Nothing was added.\n")
    assert not Registry().entries()


def test_is_listed_once_and_stays_where_it_is(
    added: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert added == "tiny-model"
    assert main(["add", str(file), "--yes"]) == 0
    (entry,) = Registry().entries()
    assert (entry.name, entry.kind, entry.repository) == (added, "gguf", "")
    assert entry.scores["written_tokens_s"] > 0
    assert [path.name for path in Registry().place(added).iterdir()] == [REFERENCE]
    assert main(["export", added, str(file.parent / "copy")]) == 1
    assert f"{added} is {file}; copy that" in capsys.readouterr().err
    assert [*storage.own_models(Settings(), file.parent)][-1].state == "ok"
    assert main(["remove", added, "--yes"]) == 0
    assert file.is_file()


def test_serves_here_or_wherever_nothing_was_chosen(
    added: str, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, identity = Registry(), repository_id(repository)
    assert main(["use", added]) == 0
    assert registry.book().serving(identity) is not None
    assert registry.book().serving("ef" * 16) is None
    assert main(["use", added, "--everywhere"]) == 0
    assert main(["use", "base"]) == 0
    assert registry.book().serving(identity) is None
    assert registry.book().serving("ef" * 16) is not None
    entry = find_serving_model(registry, tmp_path / "loose.py")
    assert entry is not None and entry.name == added
    capsys.readouterr()
    found = table(capsys)
    assert (found["serving"], found["everywhere"]) == ("base", added)
    assert main(["rollback", "--everywhere"]) == 0
    assert registry.book().serving("ef" * 16) is None


def test_answers(
    added: str, repository: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert main(["use", added]) == 0
    monkeypatch.setenv("FORETYPE_DEADLINE_MS", "60000")
    capsys.readouterr()
    complete_cli.main(["why", "a.py:1:7", "--deadline-ms", "60000"])
    assert f"model: {added}\n" in capsys.readouterr().out


def test_a_file_that_changed_is_refused_and_one_only_touched_is_not(added: str, file: Path) -> None:
    place = Registry().place(added)
    os.utime(file, ns=(0, 0))
    assert load_model(place).content_hash == Registry().entries()[0].content_hash
    write_gguf(file, markers=["<fim_prefix>"], seed=7)
    with pytest.raises(ValueError, match=r"is not the model that was added; remove the model"):
        load_model(place)
    file.unlink()
    with pytest.raises(ValueError, match=r"cannot read .*Tiny Model\.gguf: No such file"):
        load_model(place)


def test_what_is_no_model_of_others_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(tmp_path), "--yes"]) == 1
    assert "no GGUF file (NAME.gguf) and no Hugging Face folder" in capsys.readouterr().err
    assert main(["add", str(tmp_path / "absent.gguf"), "--yes"]) == 1
    absent = f"foretype models: there is no {tmp_path / 'absent.gguf'}; check the path\n"
    assert capsys.readouterr().err == absent


def test_what_is_no_gguf_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    assert main(["add", str(bad), "--yes"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
