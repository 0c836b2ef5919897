"""Graphs are built once, elsewhere, and never used damaged."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model import onnx_cache as artefact
from model.folder import ModelFolder, load_folder
from model.onnx_cache import OnnxCacheError, open_graph
from model.paths import MARKER, claim
from tests.doubles import names_in, tiny_folder
from tests.programs import ROOT

FILES = ["artefact.json", "graph.onnx", "weights.bin"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return load_folder(tiny_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of this file's own: here it may be damaged."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def built(folder: ModelFolder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORETYPE_CACHE", str(cache))
    return open_graph(folder, 8)


def moment(path: Path) -> int:
    """When a folder's graph was written: a rebuilt one differs."""
    return (path / "graph.onnx").stat().st_mtime_ns


def test_artefact_is_built_once_into_the_cache(
    folder: ModelFolder, built: Path, cache: Path
) -> None:
    assert names_in(built) == FILES
    assert built.parent.parent == cache
    before = moment(built)
    assert open_graph(folder, 8) == built
    assert moment(built) == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "empty"])
def test_damaged_artefact_is_not_sound(built: Path, tmp_path: Path, name: str, damage: str) -> None:
    for file in FILES:
        (tmp_path / file).write_bytes((built / file).read_bytes())
    assert artefact._is_sound(tmp_path)
    data = (tmp_path / name).read_bytes()
    middle = len(data) // 2
    if damage == "remove":
        (tmp_path / name).unlink()
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        (tmp_path / name).write_bytes({"cut": data[:-1], "flip": flipped, "empty": b""}[damage])
    assert not artefact._is_sound(tmp_path)


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"graph.onnx": 1, "weights.bin": []}'])
def test_senseless_manifest_is_not_sound(built: Path, tmp_path: Path, manifest: str) -> None:
    for file in FILES:
        (tmp_path / file).write_bytes((built / file).read_bytes())
    (tmp_path / "artefact.json").write_text(manifest)
    assert not artefact._is_sound(tmp_path)


def test_damaged_artefact_is_rebuilt_with_a_warning(
    folder: ModelFolder, built: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = (built / "weights.bin").read_bytes()
    damaged = built / "weights.bin"
    damaged.unlink()  # a new file, as the old one may be mapped by another test's session
    damaged.write_bytes(sound[:100])
    with caplog.at_level(logging.WARNING):
        assert open_graph(folder, 8) == built
    assert "cannot be used; building it anew" in caplog.text
    assert (built / "weights.bin").read_bytes() == sound
    assert not [name for name in names_in(built.parent) if name.startswith(".")]


def test_each_model_and_width_has_its_own_artefact(
    folder: ModelFolder, built: Path, tmp_path: Path
) -> None:
    other = load_folder(tiny_folder(tmp_path, seed=1))
    assert len({built, open_graph(folder, 32), open_graph(other, 8)}) == 3


def test_older_versions_are_removed_after_a_day(
    folder: ModelFolder, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path))
    graphs = claim(tmp_path / "graphs")
    names = ["0123-v0-8", ".89ab-v1-8.0123.tmp", "4567-v0-8", f"89ab-v{artefact.GRAPH_VERSION}-8"]
    for name in names:
        (graphs / name).mkdir(parents=True)
        if name != "4567-v0-8":  # may be in use by a server of yesterday's release
            os.utime(graphs / name, (time.time() - 90_000,) * 2)
    path = open_graph(folder, 8)
    assert names_in(graphs) == sorted([MARKER, path.name, "4567-v0-8", names[3]])


def test_failed_build_says_why_and_leaves_nothing(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path))
    with pytest.raises(OnnxCacheError, match=r"cannot build the graph .*must be 8 or 32, got 5"):
        open_graph(folder, 5)
    assert names_in(tmp_path / "graphs") == [MARKER]


def test_artefact_that_cannot_be_put_in_place_is_reported(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path))
    place = tmp_path / "graphs" / f"{folder.content_hash[:32]}-v{artefact.GRAPH_VERSION}-8"
    place.parent.mkdir()
    place.write_text("a file where the folder should be")
    with pytest.raises(OnnxCacheError, match="delete what is there"):
        open_graph(folder, 8)


def test_cache_that_cannot_be_written_is_reported_with_the_way_out(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "graphs").write_text("a file where the folder should be")
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path))
    with pytest.raises(OnnxCacheError, match=r"cannot write a cache .*graphs.*FORETYPE_CACHE"):
        open_graph(folder, 8)


def test_build_is_safe_in_a_hostile_folder_and_silent_on_stdout(
    folder: ModelFolder, tmp_path: Path
) -> None:
    """The user's repository has modules named like ours and like our libraries'."""
    evil = tmp_path / "repository"
    for name in ("model", "onnx", "numpy", "tokenize", "json"):
        (evil / name).mkdir(parents=True)
        (evil / name / "__init__.py").write_text("open('MARKER', 'w')")
    program = (
        "import sys; from pathlib import Path; from model.folder import load_folder\n"
        "from model.runtime import open_runtime\n"
        f"runtime = open_runtime(load_folder(Path({str(folder.path)!r})), max_len=16)\n"
        "runtime.append([1, 2, 3])\n"
        "sys.stderr.write(' '.join(name for name in ('onnx', 'google.protobuf', 'torch') "
        "if name in sys.modules))"
    )
    environment = os.environ | {"FORETYPE_CACHE": str(tmp_path / "c"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=evil,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    assert done.stderr == b""  # none of the heavy libraries was loaded
    assert not (evil / "MARKER").exists()
    manifest = json.loads(next((tmp_path / "c").rglob("artefact.json")).read_text())
    assert manifest.keys() == {"graph.onnx", "weights.bin"}
