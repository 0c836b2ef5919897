"""Doubles that say something known: a scripted runtime, and a model folder that speaks one word.

All are the real interfaces. The scripted runtime scores tokens by the *bytes* before them, so its
greedy text does not depend on how a prompt was cut into tokens.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from assistant.generate.backend import LocalBackend
from assistant.rank.ranker import RankerParameters
from model.folder import FolderInfo, save_folder
from model.runtime import Runtime
from model.tokenizer import PATTERNS, Tokenizer
from tests.doubles import random_tensors, tiny_config, tiny_info, tiny_tokenizer_json
from training.data.train_tokenizer import tokenizer_json

SAMPLE = '''\
def read_lines(path, encoding="utf-8"):
    """Return the lines of a file."""
    with open(path, encoding=encoding) as handle:
        return [line.rstrip("\\n") for line in handle]


class Counter:
    def __init__(self, start=0):
        self.count = start
        self.names = {}

    def add(self, name, value):
        if name not in self.names:
            self.names[name] = 0
        self.names[name] += value
        return self.names[name]

# Größe, naïve, 日本語, 数据, 🙂 and a\ttab
'''


def scripted_info(suffix_tokens: int = 32) -> FolderInfo:
    """Return what the folder of a scripted model would say."""
    return FolderInfo(
        name="scripted", block_size=512, suffix_tokens=suffix_tokens, snippet_tokens=0,
        languages=("python",), licence="MIT",
    )  # fmt: skip


@cache
def small_tokenizer(pattern_name: str = "gpt-2", n_merges: int = 200) -> Tokenizer:
    """Return a byte-level BPE learnt from `SAMPLE`; some tokens end inside a character."""
    ranks = [bytes([byte]) for byte in range(256)]
    merges: list[tuple[bytes, bytes]] = []
    words = Counter(_pretokens(SAMPLE * 2, pattern_name))
    pieces = {word: [bytes([byte]) for byte in word.encode()] for word in words}
    while len(merges) < n_merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append((left, right))
        ranks.append(left + right)
        pieces = {word: _merge(parts, left, right) for word, parts in pieces.items()}
    unique = list(dict.fromkeys(ranks))
    return Tokenizer.from_table(json.loads(tokenizer_json(unique, merges, pattern_name)))


def _pretokens(text: str, pattern_name: str) -> list[str]:
    found: list[str] = regex.findall(PATTERNS[pattern_name], text)
    return found


def _merge(parts: list[bytes], left: bytes, right: bytes) -> list[bytes]:
    merged: list[bytes] = []
    for part in parts:
        if merged and merged[-1] == left and part == right:
            merged[-1] = left + right
        else:
            merged.append(part)
    return merged


class ScriptedRuntime:
    """A runtime that knows one document by heart and wants to write what comes next in it.

    After the bytes decoded so far it looks for the longest end of them in `script`, and scores each
    token by how far it agrees with what follows there; at the end of the script it ends.
    """

    def __init__(self, tokenizer: Tokenizer, script: str, max_len: int = 512) -> None:
        self.vocab_size = tokenizer.vocab_size
        self.max_len = max_len
        self.n_appended = 0
        self.n_calls = 0
        self._tokenizer = tokenizer
        self._script = script.encode()
        self._ids: list[int] = []
        self._last: list[int] = []

    @property
    def length(self) -> int:
        return len(self._ids)

    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        assert ids, "nothing to append"
        assert len(self._ids) + len(ids) <= self.max_len, "the cache is full"
        self._ids.extend(ids)
        self._last = list(ids)
        self.n_appended += len(ids)
        self.n_calls += 1
        return self._scores()

    def rewind(self, length: int) -> None:
        assert 0 <= length <= len(self._ids)
        del self._ids[length:]

    def save(self) -> NDArray[np.float32]:
        return np.array(self._ids, dtype=np.float32)

    def restore(self, saved: NDArray[np.float32]) -> None:
        self._ids = [int(id_) for id_ in saved]

    def tree(self, ids: Sequence[int], parents: Sequence[int]) -> NDArray[np.float32]:
        rows = Runtime._tree(self, np.asarray(ids, np.int64), parents)
        self._last = list(ids)
        return rows

    def states(self) -> list[NDArray[np.float32]]:
        return [np.array([id_], dtype=np.float32) for id_ in self._last]

    def extend(self, states: Sequence[NDArray[np.float32]]) -> None:
        self._ids += [int(state[0]) for state in states]

    def _scores(self) -> NDArray[np.float32]:
        scores = np.zeros(self.vocab_size, dtype=np.float32)
        rest = self._following()
        if not rest:
            scores[self._tokenizer.end_id] = 50.0
            return scores
        for id_ in range(self.vocab_size):
            piece = self._tokenizer.token_bytes(id_)
            if piece and rest.startswith(piece):
                scores[id_] = 20.0 + len(piece)
        return scores

    def _following(self) -> bytes:
        start = 0
        for place, id_ in enumerate(self._ids):
            if self._tokenizer.is_special(id_):
                start = place + 1
        before = self._tokenizer.decode_bytes(self._ids[start:])
        for size in range(min(len(before), 200), 0, -1):
            at = self._script.find(before[-size:])
            if at >= 0:
                return self._script[at + size :]
        return self._script


def scripted_backend(
    script: str = SAMPLE, fitted: RankerParameters | None = None, **changes: Any
) -> LocalBackend:
    """Return a network that knows a document by heart; `changes` are of what its folder says."""
    tokenizer = small_tokenizer()
    info = replace(scripted_info(), **changes)
    return LocalBackend(ScriptedRuntime(tokenizer, script), tokenizer, info, fitted)


SPOKEN = "hand" + "y_mo\n"


def speaking_folder(parent: Path) -> Path:
    """Write a real model folder whose greedy text after "hand" is "y_mo" and a line end.

    Its blocks pass their input on unchanged, so each token alone decides the next: for each pair of
    neighbours in `SPOKEN` the head has the first one's embedding in the second one's row.
    """
    config = tiny_config(tie_embeddings=False)
    tensors = random_tensors(config)
    for name, values in tensors.items():
        if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
            values[:] = 0.0
    tensors["model.norm.weight"][:] = 1.0
    for left, right in pairwise(SPOKEN.encode()):
        tensors["lm_head.weight"][right] = tensors["model.embed_tokens.weight"][left]
    info = replace(tiny_info(config.block_size, "speaking"), snippet_tokens=0)
    path = parent / "speaking"
    save_folder(
        path, config=config, tensors=tensors, tokenizer_json=tiny_tokenizer_json(), info=info,
        card="# speaking\n",
    )  # fmt: skip
    return path
