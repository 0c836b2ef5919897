"""Rivals answer as they would elsewhere, and one that is not installed says how to get it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.evaluation.held_out import HeldOutFile, Task
from training.evaluation.replay.baselines import DISTRIBUTIONS, JediSystem, LlamaSystem
from training.evaluation.replay.snapshot import Snapshot

TREE = Snapshot(
    commit="c1",
    files=(
        ("shapes/__init__.py", ""),
        ("shapes/circle.py", "class Circle:\n    def circumference(self):\n        return 1\n"),
        ("main.go", "package main\n"),
        ("../outside.py", "x = 1\n"),
    ),
)


def task(before: str, truth: str = "x", after: str = "", path: str = "use.py") -> Task:
    file = HeldOutFile(repository="r", path=path, text=before + truth + after)
    return Task(file=file, offset=len(before), truth=truth)


@pytest.fixture(scope="module")
def jedi(tmp_path_factory: pytest.TempPathFactory) -> JediSystem:
    system = JediSystem(tmp_path_factory.mktemp("work") / "inner")
    system.open(TREE)
    return system


def test_jedi_completes_a_name_of_another_file(jedi: JediSystem) -> None:
    assert jedi.answer(task("from shapes.cir", "cle import Circle")).text == "cle"


@pytest.mark.parametrize("before", ["", "x = ", "foo(", "\n    "])
def test_jedi_offers_nothing_where_no_name_is_begun(jedi: JediSystem, before: str) -> None:
    assert jedi.answer(task(before)).text == ""


def test_jedi_is_for_python_only(jedi: JediSystem) -> None:
    assert jedi.answer(task("import ab", path="main.go")).text == ""
    assert (jedi.is_calibrated, jedi.least("quiet")) == (False, 0.0)


def test_files_outside_the_tree_are_not_written(tmp_path: Path) -> None:
    system = JediSystem(tmp_path / "a" / "b")
    system.open(TREE)
    written = {path.name for path in tmp_path.rglob("*.py")}
    assert written == {"__init__.py", "circle.py"}


@pytest.mark.parametrize("module", DISTRIBUTIONS)
def test_missing_package_is_named(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what import meets where it is not installed
    with pytest.raises(ModuleNotFoundError) as caught:
        JediSystem(tmp_path) if module == "jedi" else LlamaSystem(tmp_path)
    assert caught.value.name == module


class Binding:
    """A llama.cpp binding whose model knows one text by heart; tokens are bytes and two words.

    Id 0 ends; 256 and 257 are "total" and "(va". With hole marks they are 300, 301 and 302.
    """

    WORDS = (b"total", b"(va")

    def __init__(self, script: bytes, *, fills_holes: bool = False) -> None:
        self.script = script
        self.n_read = 0
        self.ids: list[int] = []
        first = 300 if fills_holes else -1
        self.llama_cpp = SimpleNamespace(
            _lib=SimpleNamespace(),
            llama_model_n_ctx_train=lambda model: 4_096,
            llama_model_get_vocab=lambda model: None,
            llama_token_to_piece=self.write_piece,
            llama_vocab_fim_pre=lambda vocab: first,
            llama_vocab_fim_suf=lambda vocab: first + fills_holes,
            llama_vocab_fim_mid=lambda vocab: first + 2 * fills_holes,
            llama_vocab_bos=lambda vocab: -1,
            llama_vocab_is_eog=lambda vocab, id_: id_ == 0,
            llama_get_logits_ith=lambda context, place: self.logits(),
        )
        self.model = self.ctx = None
        self.n_tokens = 0

    def Llama(self, path: str, **options: Any) -> Binding:  # noqa: N802 - the binding's name
        return self

    def n_vocab(self) -> int:
        return 303

    def piece(self, id_: int) -> bytes:
        if 0 < id_ < 256:
            return bytes([id_])
        return self.WORDS[id_ - 256] if id_ in (256, 257) else b""

    def write_piece(self, vocab: None, id_: int, buffer: Any, size: int, *rest: Any) -> int:
        piece = self.piece(id_)
        buffer.raw = piece.ljust(size, b"\0")
        return len(piece)

    def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
        ids = []
        while text:
            id_ = next((256 + i for i, word in enumerate(self.WORDS) if text.startswith(word)), 0)
            ids.append(id_ or text[0])
            text = text[len(self.piece(ids[-1])) :]
        return ids

    def eval(self, ids: Sequence[int]) -> None:
        self.ids = [*self.ids[: self.n_tokens], *ids]
        self.n_tokens = len(self.ids)
        self.n_read += len(ids)

    def logits(self) -> Any:
        read = b"".join(map(self.piece, self.ids))
        if 302 in self.ids:  # the hole's text follows what stands before it
            middle = self.ids.index(302)
            head = self.ids[: self.ids.index(301)]
            read = b"".join(map(self.piece, [*head, *self.ids[middle:]]))
        length = next(n for n in range(len(read), -1, -1) if read[len(read) - n :] in self.script)
        rest = self.script.partition(read[len(read) - length :])[2]
        scores = np.zeros(303, np.float32)
        for id_ in range(1, 258):
            scores[id_] = 50.0 * len(self.piece(id_)) * rest.startswith(self.piece(id_))
        scores[0] = 0.0 if rest else 50.0
        self.kept = scores
        return scores.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def llama(binding: Binding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LlamaSystem:
    monkeypatch.setitem(sys.modules, "llama_cpp", binding)
    path = tmp_path / "open-model.gguf"
    path.touch()
    return LlamaSystem(path)


SCRIPT = b"    total = compute(value)\nnext line\n"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("    tot", "al = compute(value)"),  # the cursor is inside a token
        ("    total = compute(v", "alue)"),
        ("    total = ", "compute(value)"),
    ],
)
def test_open_model_writes_to_the_end_of_the_line(
    before: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = llama(Binding(SCRIPT), tmp_path, monkeypatch)
    answer = system.answer(task(before, expected))
    assert answer.text == expected
    assert 0.9 < answer.probability <= 1.0
    assert system.name == "llama.cpp open-model"
    assert (system.is_calibrated, system.least("quiet")) == (False, 0.0)


def test_open_model_that_ends_offers_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = llama(Binding(b"x = 12"), tmp_path, monkeypatch)
    system.open(TREE)
    assert system.answer(task("x = ", "123")).text == "12"


def test_open_model_fills_holes_if_it_was_trained_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binding = Binding(SCRIPT, fills_holes=True)
    system = llama(binding, tmp_path, monkeypatch)
    assert system.answer(task("    tot", "al", "\nafter")).text == "al = compute(value)"
    assert binding.ids[0] == 300
    between = binding.ids[binding.ids.index(301) + 1 : binding.ids.index(302)]
    assert bytes(between) == b"\nafter"


def test_open_model_reads_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binding = Binding(SCRIPT)
    system = llama(binding, tmp_path, monkeypatch)
    system.answer(task("    total = ", "compute(value)"))
    read_at_first, binding.n_read = binding.n_read, 0
    system.answer(task("    total = c", "ompute(value)"))
    assert binding.n_read < read_at_first


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", Binding(SCRIPT))
    with pytest.raises(FileNotFoundError, match=r"no GGUF file at .*nowhere.gguf"):
        LlamaSystem(tmp_path / "nowhere.gguf")
