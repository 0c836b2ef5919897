"""The scripts that write the editors' table and film."""

import importlib.machinery
import importlib.util
import json
import struct
import zlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def load(name: str) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(SCRIPTS / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def outcome(editor: str, behaviour: str, result: str) -> dict[str, str]:
    return {"editor": editor, "behaviour": behaviour, "outcome": result}


def test_table_has_the_last_outcome_and_explains_what_is_missing() -> None:
    rows = [
        outcome("VS Code", "a", "works"),
        outcome("Neovim", "a", "fails"),
        outcome("Neovim", "a", "works"),
        outcome("Neovim", "b", "has no such key"),
        outcome("VS Code", "c", "fails"),
    ]
    assert load("conformance-table").table(rows).splitlines() == [
        "| behaviour | Neovim | VS Code |",
        "|---|---|---|",
        "| a | yes | yes |",
        "| b | no (1) | not run |",
        "| c | not run | **no** |",
        "",
        "1. has no such key",
    ]


def test_table_replaces_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("conformance-table")
    document, results = tmp_path / "editors.md", tmp_path / "results"
    marks = [f"<!-- {name} -->\n{{{name}}}<!-- /{name} -->\n" for name in script.TABLES]
    text = "above\n" + "between\n".join(marks) + "below\n"
    document.write_text(text.format(conformance="old\n", menus="kept\n"))
    results.write_text(json.dumps(outcome("Vi", "a", "works")) + "\n")
    monkeypatch.setattr(script, "DOCUMENT", document)
    for _ in range(2):
        assert script.main([str(results)]) == 0
    table = "| behaviour | Vi |\n|---|---|\n| a | yes |\n"
    assert document.read_text() == text.format(conformance=table, menus="kept\n")
    results.write_text(json.dumps({**outcome("Vi", "a", "works"), "table": "menus"}) + "\n")
    assert script.main([str(results)]) == 0
    assert document.read_text() == text.format(conformance=table, menus=table)
    assert script.main([]) == 2


def png(width: int, height: int) -> bytes:
    film = load("make-animation")
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x10\x20\x30" * width for _ in range(height)))
    parts = [film.chunk(b"IHDR", header), film.chunk(b"IDAT", rows), film.chunk(b"IEND", b"")]
    return bytes(film.SIGNATURE + b"".join(parts))


def test_film_is_a_picture_with_numbered_frames() -> None:
    film = load("make-animation")
    made = film.animate([(png(8, 6), 0, 0, 500), (png(8, 2), 0, 3, 100)])
    kinds = [kind for kind, _ in film.chunks(made)]
    assert kinds == [b"IHDR", b"acTL", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"IEND"]
    controls = [data for kind, data in film.chunks(made) if kind == b"fcTL"]
    assert struct.unpack(">IIIIIHH", controls[1][:24]) == (1, 8, 2, 0, 3, 100, 1000)
    (number,) = struct.unpack(">I", dict(film.chunks(made))[b"fdAT"][:4])
    assert number == 2
