"""Baselines from elsewhere, each only if its package is installed: jedi, and a model in llama.cpp.

jedi knows names and types, not lines: its one best name is the offer. The open model gets the text
before the cursor, and the text after it if it was trained to fill holes; it answers greedily, and
the token that the cursor stands in is spelt anew under constraint, as the engine does it. Knows
nothing of the engine.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.source.languages import PYTHON, language_of
from training.evaluation.answers import Answer, Stopwatch
from training.evaluation.held_out import Task
from training.evaluation.replay.snapshot import Snapshot
from training.evaluation.replay.systems import System

JEDI, LLAMA = "jedi", "llama.cpp"
DISTRIBUTIONS = {"jedi": "jedi", "llama_cpp": "llama-cpp-python"}  # by the package they hold
_CONTEXT_TOKENS, _SUFFIX_TOKENS, _NEW_TOKENS = 1_024, 256, 48
_CONTEXT_CHARS, _SUFFIX_CHARS = 6_000, 1_500
_MAX_HEALED_TOKENS = 4
_MAX_PIECE_BYTES = 256


class JediSystem(System):
    """The best single name that jedi offers, in Python files."""

    name = JEDI

    def __init__(self, folder: Path) -> None:
        self._jedi: Any = importlib.import_module("jedi")
        self._folder = folder / "jedi"
        self._jedi.settings.cache_directory = str(folder / "jedi-cache")
        self._root = self._folder
        self._project: Any = None

    def open(self, snapshot: Snapshot) -> None:
        """Lay the tree's Python files out as a project."""
        self._root = root = self._folder / snapshot.commit
        for path, text in snapshot.files:
            file = root / path
            if language_of(path) is PYTHON and file.resolve().is_relative_to(root.resolve()):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
        self._project = self._jedi.Project(root)

    def answer(self, task: Task) -> Answer:
        """Complete the name before the cursor; nothing where there is none."""
        text, watch = task.text, Stopwatch()
        line_start = text.rfind("\n", 0, task.offset) + 1
        before = text[line_start : task.offset]
        if language_of(task.file.path) is not PYTHON or not _in_name(before[-1:] or " ", "."):
            return watch.answer("", 0.0)
        script = self._jedi.Script(
            text,
            path=self._root / task.file.path,
            project=self._project,
            environment=self._jedi.InterpreterEnvironment(),
        )
        found = script.complete(text.count("\n", 0, line_start) + 1, len(before))
        names = [str(name.complete or "") for name in found if not name.name.startswith("_")]
        return watch.answer(next(filter(None, names), ""), 0.5)


class LlamaSystem(System):
    """A model in llama.cpp on one thread."""

    def __init__(self, path: Path) -> None:
        package: Any = importlib.import_module("llama_cpp")
        if not path.is_file():
            raise FileNotFoundError(f"there is no GGUF file at {path}")
        self.name = f"{LLAMA} {path.stem}"[:40]
        self._low = package.llama_cpp
        _load_kernels(self._low)
        size = _CONTEXT_TOKENS + _SUFFIX_TOKENS + _NEW_TOKENS + _MAX_HEALED_TOKENS + 4
        self._model = package.Llama(
            str(path), n_ctx=size, n_threads=1, n_threads_batch=1, verbose=False
        )
        trained = int(self._low.llama_model_n_ctx_train(self._model.model))
        self._n_context = min(_CONTEXT_TOKENS, _CONTEXT_TOKENS - (size - trained))
        self._vocab = self._low.llama_model_get_vocab(self._model.model)
        self._pieces = [self._piece(id_) for id_ in range(self._model.n_vocab())]
        self._by_byte: dict[int, list[int]] = {}
        for id_, piece in enumerate(self._pieces):
            if piece:
                self._by_byte.setdefault(piece[0], []).append(id_)
        marks = ("llama_vocab_fim_pre", "llama_vocab_fim_suf", "llama_vocab_fim_mid")
        self._fim = [int(getattr(self._low, mark)(self._vocab)) for mark in marks]
        self._ids: list[int] = []  # what the model has read

    def answer(self, task: Task) -> Answer:
        """Let the model write to the end of the line."""
        text, watch = task.text, Stopwatch()
        ids, tail = self._prompt(text[: task.offset], text[task.offset :])
        written, logprob = b"", 0.0
        for _ in range(_NEW_TOKENS):
            logits = self._logits(ids)
            id_ = self._constrained(logits, tail) if tail else int(logits.argmax())
            piece = self._pieces[id_]
            if not piece or self._low.llama_vocab_is_eog(self._vocab, id_):
                break
            logprob += float(logits[id_]) - _log_sum(logits)
            ids = [*ids, id_]
            written, tail = written + piece[len(tail) :], tail[len(piece) :]
            if b"\n" in written:
                break
        line = written.partition(b"\n")[0].decode("utf-8", "replace").rstrip()
        return watch.answer(line, math.exp(logprob))

    def _prompt(self, before: str, after: str) -> tuple[list[int], bytes]:
        """Return the ids to read, and the bytes before the cursor to spell anew."""
        ids: list[int] = self._model.tokenize(
            before[-_CONTEXT_CHARS:].encode(), add_bos=False, special=False
        )
        ids = ids[-self._n_context :]
        tail = b""
        for _ in range(min(_MAX_HEALED_TOKENS, len(ids) - 1)):
            tail = self._pieces[ids.pop()] + tail
            if not _in_name(tail[:1].decode("latin-1")):
                break
        start = self._low.llama_vocab_bos(self._vocab)
        if min(self._fim) < 0:
            return [start, *ids] if start >= 0 else ids, tail
        prefix, suffix, middle = self._fim
        below: list[int] = self._model.tokenize(
            after[:_SUFFIX_CHARS].encode(), add_bos=False, special=False
        )
        return [prefix, *ids, suffix, *below[:_SUFFIX_TOKENS], middle], tail

    def _logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after `ids`; what was read before is not read again."""
        n_same = 0
        for old, new in zip(self._ids, ids[:-1], strict=False):
            if old != new:
                break
            n_same += 1
        self._model.n_tokens = n_same
        self._model.eval(ids[n_same:])
        self._ids = list(ids)
        row = self._low.llama_get_logits_ith(self._model.ctx, -1)
        return np.ctypeslib.as_array(row, shape=(len(self._pieces),)).copy()

    def _constrained(self, logits: NDArray[np.float32], tail: bytes) -> int:
        """Return the likeliest token that agrees with the bytes still to be spelt."""
        agreeing = [
            id_
            for id_ in self._by_byte.get(tail[0], ())
            if self._pieces[id_].startswith(tail) or tail.startswith(self._pieces[id_])
        ]
        return max(agreeing, key=lambda id_: logits[id_], default=int(logits.argmax()))

    def _piece(self, id_: int) -> bytes:
        buffer = ctypes.create_string_buffer(_MAX_PIECE_BYTES)
        size = self._low.llama_token_to_piece(self._vocab, id_, buffer, len(buffer), 0, False)
        return buffer.raw[:size] if size > 0 else b""


def _load_kernels(low: Any) -> None:
    """Load the library for this CPU, in builds that have one for each kind."""
    library = low._lib
    if load := getattr(library, "ggml_backend_load_all_from_path", None):
        load(ctypes.c_char_p(str(Path(library._name).parent).encode()))


def _in_name(char: str, also: str = "") -> bool:
    return char.isalnum() or char == "_" or char in also


def _log_sum(logits: NDArray[np.float32]) -> float:
    peak = float(logits.max())
    return peak + math.log(float(np.exp(logits - peak).sum()))
