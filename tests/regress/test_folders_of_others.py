"""2026-11-29: purge deleted people's own files, other commands closed or emptied folders of theirs.

Cause: in a folder that FORETYPE_CACHE named, whatever had the name of something of ours was taken
for ours. And what another user had put there was served.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.index.builder import build_from_texts
from assistant.index.reader import open_view
from assistant.index.writer import index_folder, indexes_folder
from model import paths
from model.folder import load_folder
from model.onnx_cache import OnnxCacheError, open_graph
from tests.doubles import tiny_folder
from tests.programs import ROOT, run_program

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners and modes")

THEIRS = (
    "index.html", "stats.py", "egress.txt", "index/chapter1.tex", "memory/photo.jpg",
    "graphs/plot.py", "models/mine.bin", "tune/song.mid", "foretype/README", "letter.txt",
)  # fmt: skip


def run(*arguments: str, cache: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_program(
        [sys.executable, str(ROOT / "foretype.py"), *arguments],
        cwd=cwd,
        env=os.environ | {"FORETYPE_CACHE": str(cache)},
        timeout=300,
    )


def contents(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mode for path in folder.rglob("*")
    } | {".": folder.stat().st_mode}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder of the user's, open to others, that is named as the cache too."""
    folder = tmp_path / "foretype"  # even a folder of our name may be a checkout
    for name in THEIRS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    folder.chmod(0o755)
    return folder


def test_no_command_touches_what_is_not_ours(cache: Path, tmp_path: Path) -> None:
    before = contents(cache)
    source = tmp_path / "r" / "a.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    for arguments in (
        ("index", "status", str(source.parent)),
        ("index", "build", str(source.parent)),
        ("index", "clear", "--all"),
        ("complete", f"{source}:1:6"),
        ("doctor", "--no-editors", "--no-timing"),
        ("purge", "--yes", "--models"),
    ):
        run(*arguments, cache=cache, cwd=tmp_path)
        assert contents(cache) == before


def test_what_is_ours_goes_from_such_a_folder(tmp_path: Path) -> None:
    cache = tmp_path / "shared"
    cache.mkdir()
    (cache / "letter.txt").write_text("mine")
    source = tmp_path / "r" / "a.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    assert run("index", "build", str(source.parent), cache=cache, cwd=tmp_path).returncode == 0
    assert (cache / "index").is_dir()
    assert run("purge", "--yes", cache=cache, cwd=tmp_path).returncode == 0
    assert [path.name for path in cache.iterdir()] == ["letter.txt"]


def test_a_log_file_that_is_no_log_stays(private_home: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("what I must not lose\n")
    settings = private_home / "config" / "foretype" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"log_file = '{notes}'\n")
    run("purge", "--yes", cache=tmp_path / "c", cwd=tmp_path)
    assert notes.is_file()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = index_folder(tmp_path)
    build_from_texts(folder, [("a.py", "planted = 1\n")])
    assert open_view(folder).opened
    return folder


def test_an_index_that_others_can_change_is_not_used(
    index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (index, index.parent, *index.glob("*.json"), *index.glob("*.seg")):
        mode = path.stat().st_mode
        path.chmod(0o722)
        with caplog.at_level(logging.WARNING):
            assert open_view(index).opened == ()
        assert "can be changed by other users" in caplog.messages[-1]
        path.chmod(mode)
    assert open_view(index).opened


def test_an_index_of_another_user_is_not_used(
    index: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(paths, "_OWNERS", (os.getuid() + 1,))
    assert open_view(index).opened == ()
    assert "belongs to another user" in caplog.text
    with pytest.raises(OSError, match="belongs to another user"):
        build_from_texts(index, [])
    assert indexes_folder() == index.parent


def test_a_graph_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = load_folder(tiny_folder(tmp_path))
    graph = open_graph(folder, 8)
    (graph / "weights.bin").chmod(0o666)  # to be planted
    assert open_graph(folder, 8) == graph
    assert (graph / "weights.bin").stat().st_mode & 0o022 == 0  # it was made anew
    monkeypatch.setattr(paths, "_OWNERS", (os.getuid() + 1,))
    with pytest.raises(OnnxCacheError, match="belongs to another user"):
        open_graph(folder, 8)
