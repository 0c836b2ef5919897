"""2026-11-29: valid but absurd values in our own files ended commands, or the server.

Causes: only a file's syntax was caught (not numbers that no 64 bits hold, nor too deep a nesting);
a checksum was taken for a proof of what a segment holds; a mapped file was trusted to keep its
length. Text that was deleted stayed in a segment until a third of it was dead.
"""

import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.errors import SettingsError
from assistant.index.builder import build_from_texts, refresh
from assistant.index.folder_index import FolderIndex
from assistant.index.reader import FILE_NAME, ManifestError, open_view, read_manifest
from assistant.index.segment import FileContent, Segment, SegmentEntry, SegmentError, write_segment
from assistant.models.registry_file import ModelsError, RegistryFile, read_registry, write_registry
from assistant.remote.settings import load_remote_settings
from assistant.settings import load_settings
from assistant.setup.editors import helix
from assistant.setup.machine import Machine
from model.config import ConfigError, ModelConfig, from_table
from tests.programs import ROOT

ABSURD = ["1e999", "-1e999", "NaN", "1" + "0" * 400, "[" * 100_000 + "]" * 100_000, "null", '"x"']
DEEP = "x = " + "[" * 10_000 + "]" * 10_000 + "\n"


@pytest.mark.parametrize("value", ABSURD[:-1])
def test_an_absurd_registry_is_damaged(tmp_path: Path, value: str) -> None:
    write_registry(tmp_path, RegistryFile())
    entry: dict[str, Any] = dict.fromkeys(
        ("root", "parent", "data_hash", "trained_to", "created"), ""
    ) | {"name": "m", "kind": "full", "content_hash": "0" * 32, "repository": "", "scores": {}}
    text = json.dumps(
        {"format": 1, "models": [entry], "arriving": [], "leaving": [], "choices": {}}
    )
    (tmp_path / "registry.json").write_text(text)
    assert [*read_registry(tmp_path).models] == ["m"]
    for old in ('"scores": {}', '"format": 1', '"leaving": []'):
        new = f'"scores": {{"s": {value}}}' if "scores" in old else f"{old.split(':')[0]}: {value}"
        (tmp_path / "registry.json").write_text(text.replace(old, new))
        with pytest.raises(ModelsError, match="is damaged"):
            read_registry(tmp_path)


@pytest.mark.parametrize("value", ABSURD)
def test_an_absurd_manifest_is_damaged(tmp_path: Path, value: str) -> None:
    build_from_texts(tmp_path / "i", [("a.py", "x = 1\n")])
    text = (tmp_path / "i" / FILE_NAME).read_text()
    assert '"seen":{}' in text and '"segments":[[' in text
    for old, new in (
        ('"seen":{}', f'"seen":{{"a":[1,{value}]}}'),
        ("[]]],", f"[{value}]]],"),
        ('"format":4', f'"format":{value}'),
    ):
        (tmp_path / "i" / FILE_NAME).write_text(text.replace(old, new))
        with pytest.raises(ManifestError, match="is damaged"):
            read_manifest(tmp_path / "i")
        assert open_view(tmp_path / "i").opened == ()


@pytest.mark.parametrize("line", [DEEP, "deadline_ms = 1e999\n", f"index_mb = 1{'0' * 400}\n"])
def test_absurd_settings_are_one_error(private_home: Path, line: str) -> None:
    folder = private_home / "config" / "foretype"
    folder.mkdir(parents=True)
    for name in ("settings.toml", "remote.toml"):
        (folder / name).write_text(line)
    with pytest.raises(SettingsError, match=r"settings\.toml"):
        load_settings()
    with pytest.raises(SettingsError, match=r"remote\.toml"):
        load_remote_settings()


def test_numbers_of_a_models_configuration_are_bounded() -> None:
    with pytest.raises(ConfigError, match="must be a number"):
        from_table(ModelConfig, {"rope_theta": 10**400})


def test_a_deep_file_of_helix_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "helix").mkdir()
    (tmp_path / "helix" / "languages.toml").write_text(DEEP)
    machine = Machine(home=tmp_path, environ={"XDG_CONFIG_HOME": str(tmp_path)}, platform="linux")
    assert "is not TOML" in helix(machine, ["foretype", "lsp"]).reason


def forged(path: Path, order: list[int] | None = None, table: str = "") -> Path:
    """Write a segment that is right, its checksum too, but for the order or the table."""
    entry = SegmentEntry("a.py", 1, 1, "d")
    write_segment(path, [FileContent(entry, b"some text of a file\n")])
    data = path.read_bytes()
    n_text = struct.unpack_from("<8sQQ", data)[1]
    at = 32 + n_text + -(n_text + 32) % 16
    text, old, names = data[32:at], data[at : at + 4 * n_text], data[at + 4 * n_text :]
    new = np.array(order, np.int32).tobytes() if order else old
    names = table.encode() or names
    body = text + new + names
    path.write_bytes(struct.pack("<8sQQI4x", data[:8], n_text, len(names), zlib.crc32(body)) + body)
    return path


N_TEXT = 21


@pytest.mark.parametrize("number", [N_TEXT, -1, 2**31 - 1, -(2**31)])
def test_an_order_that_leads_out_of_the_text_is_refused(tmp_path: Path, number: int) -> None:
    Segment(forged(tmp_path / "sound.seg"))
    with pytest.raises(SegmentError, match="leads out of the text"):
        Segment(forged(tmp_path / "one.seg", order=[number] * N_TEXT))


@pytest.mark.parametrize(
    "table",
    [
        "{}", "[[]]", "[1]", '[["a",1,1,"d"]]', '[["a",1,1,"d",9]]', '[["a",1,1,"d",-2]]',
        f'[["a",1,1,"d",{N_TEXT}],["b",1,1,"d",-2]]', '[["a",1e999,1,"d",20]]',
        f'[["a",1,1,"d",1{"0" * 400}]]', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_table_that_is_not_of_the_text_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(SegmentError, match="table of files"):
        Segment(forged(tmp_path / "one.seg", table=table))


def test_numbers_of_dead_files_that_there_are_not_count_for_nothing(tmp_path: Path) -> None:
    build_from_texts(tmp_path / "i", [("a.py", "value = compute(1)\n")])
    path = tmp_path / "i" / FILE_NAME
    path.write_text(path.read_text().replace("[]]],", "[-1,7,99]]],"))
    assert FolderIndex(tmp_path / "i").levels(b"value = comp", path="b.py")


@pytest.mark.skipif(os.name == "nt", reason="a mapped file cannot be cut there")
def test_a_segment_that_is_cut_while_it_is_in_use_kills_nobody(tmp_path: Path) -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
folder = Path({str(tmp_path / "i")!r})
build_from_texts(folder, [("a.py", "value = compute(1)\\n" * 5000)])
index = FolderIndex(folder)
assert index.levels(b"value = comp", path="b.py")
for path in folder.glob("*.seg"):
    os.truncate(path, 0)
assert index.levels(b"value = comp", path="b.py") == []
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0


def test_deleted_text_is_gone_within_a_day(tmp_path: Path) -> None:
    root, index = tmp_path / "r", tmp_path / "i"
    root.mkdir()
    for n in range(20):
        (root / f"{n}.py").write_text(f"value = {n}\n" * 20)
    (root / "gone.py").write_text("withdrawn = 1\n")
    refresh(root, index)
    (root / "gone.py").unlink()
    refresh(root, index)
    assert is_on_disk(index, b"withdrawn")  # a segment is not written anew for each change
    then = time.time() - 24 * 3600 - 60
    for path in index.glob("*.seg"):
        os.utime(path, (then, then))
    refresh(root, index)
    assert not is_on_disk(index, b"withdrawn")
    assert is_on_disk(index, b"value = 3")


def is_on_disk(index: Path, text: bytes) -> bool:
    return any(text[::-1] in path.read_bytes() for path in index.glob("*.seg"))
