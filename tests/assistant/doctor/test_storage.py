"""What the doctor says of the model folder, the cache and the memory."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from assistant.doctor import storage
from assistant.index.builder import build_from_texts, refresh
from assistant.index.writer import index_folder
from assistant.settings import Settings
from model.folder import bundled_folders
from tests.doubles import tiny_folder


def test_sound_model_is_named(tmp_path: Path) -> None:
    (finding,) = storage.served_models(Settings(model=str(tiny_folder(tmp_path))))
    assert finding.state == "ok"
    assert finding.found.startswith("tiny, ")


def test_bundled_models_are_sound() -> None:
    found = [*storage.served_models(Settings())]
    assert [finding.state for finding in found] == ["ok"] * len(bundled_folders())


def test_damaged_model_is_broken(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "model.safetensors").write_bytes(b"")
    (finding,) = storage.served_models(Settings(model=str(folder)))
    assert finding.state == "broken"
    assert "model.safetensors is not the file that SHA256SUMS describes" in finding.found


def test_damaged_vocabulary_is_broken(tmp_path: Path) -> None:
    (finding,) = storage.served_models(Settings(model=str(tmp_path / "none")))
    assert finding.state == "broken"
    assert "there is no model folder" in finding.found


def test_cache_says_its_size_and_the_room(private_home: Path) -> None:
    path = private_home / "cache" / "foretype" / "graphs" / "x"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(3_000_000))
    finding = storage.cache()
    assert f"{path.parents[1]} holds 3 MB; " in finding.found


def test_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free=1_000))
    finding = storage.cache()
    assert finding.state == "warning"
    assert "foretype purge" in finding.fix


def test_cache_that_cannot_be_made_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path / "file" / "cache"))
    finding = storage.cache()
    assert finding.state == "broken"
    assert "FORETYPE_CACHE" in finding.fix


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "src").mkdir()
    return tmp_path / "repo"


def test_index_of_the_repository_around_is_found(repository: Path) -> None:
    place = repository / "src"
    assert "no index of" in storage.index(Settings(), place).found
    build_from_texts(index_folder(repository), [("a.py", "x = 1\n" * 50)])
    finding = storage.index(Settings(), place)
    assert (finding.state, finding.fix) == ("ok", "")
    assert finding.found.startswith(f"{repository}: 1 files, 0.0 MB")


def test_damaged_index_is_told(repository: Path) -> None:
    folder = index_folder(repository)
    build_from_texts(folder, [("a.py", "x = 1\n" * 50)])
    for segment in folder.glob("*.seg"):
        segment.unlink()
    finding = storage.index(Settings(), repository)
    assert finding.state == "warning"
    assert finding.fix == f"build it again: foretype index build {repository}"


def test_memory_is_not_always_wanted(tmp_path: Path, repository: Path) -> None:
    assert "switched off" in storage.index(Settings(index=False), repository).found
    assert "in no git repository" in storage.index(Settings(), tmp_path).found


def test_size_counts_no_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(bytes(100))
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert storage.size_of(tmp_path / "a") == 100
    assert storage.size_of(tmp_path / "a" / "x") == 100
    assert storage.size_of(tmp_path / "b") < 100
    assert storage.size_of(tmp_path / "none") == 0


def test_telemetry_that_was_left_is_found(private_home: Path) -> None:
    assert storage.telemetry().state == "ok"
    left = private_home / "cache" / "Microsoft" / "DeveloperTools" / ".onnxruntime"
    left.mkdir(parents=True)
    found = storage.telemetry()
    assert (found.state, str(left) in found.found) == ("warning", True)
    assert "foretype purge" in found.fix


def test_index_that_serves_a_folder_without_git_is_found(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    refresh(tmp_path, index_folder(tmp_path))
    assert storage.index(Settings(), tmp_path / "src").found == f"{tmp_path}: 1 files, 0.0 MB"
