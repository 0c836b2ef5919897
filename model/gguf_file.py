"""The header of a GGUF file, checked by our own code before any native code sees the file.

Such a file comes from strangers, and a loader that trusts a length in it reads beyond its memory or
asks for all there is. Here every length is compared with the file's, counts have limits, and each
tensor must lie within the file. Knows the format; neither networks nor runtimes.
"""

import hashlib
import mmap
import os
import re
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from model.files import open_regular
from model.folder import ModelFolderError

MAX_FILE_BYTES = 1 << 40
MAX_HEADER_BYTES = 256 << 20  # the largest vocabularies known take 20 MB
MAX_KEYS = 4_096
MAX_TENSORS = 65_536
MAX_ITEMS = 1 << 22  # of an array
MAX_TOKENS = 1 << 20
MAX_KEPT_BYTES = 1 << 20  # of a text; chat templates are the longest

_VERSIONS = (2, 3)
_SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_TOKENS = "tokenizer.ggml.tokens"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# of tensors, by number: values in a block, and its bytes
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class GgufError(ModelFolderError):
    """A GGUF file cannot be used; the message names it and says why."""


class GgufHeader(NamedTuple):
    """What a checked file says of itself."""

    metadata: Mapping[str, Any]  # numbers and texts; no arrays
    tokens: tuple[str, ...]
    n_params: int
    n_bytes: int  # of the weights
    kinds: frozenset[int]  # types of the tensors, by llama.cpp's numbers
    digest: str  # SHA-256 of the header: two files of one header may differ in their weights

    @property
    def architecture(self) -> str:
        """The family that llama.cpp runs it as."""
        return str(self.metadata["general.architecture"])

    def number(self, name: str, default: int = 0) -> int:
        """Return a number that belongs to the architecture; some files have one for each layer."""
        value = self.metadata.get(f"{self.architecture}.{name}", default)
        return value if isinstance(value, int) else default


def read_header(path: Path) -> GgufHeader:
    """Check the header of a file; GgufError says in one line what is wrong with it."""
    try:
        with os.fdopen(open_regular(path, MAX_FILE_BYTES), "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).header()
    except (OSError, ValueError) as error:
        raise GgufError(f"the GGUF file {path} cannot be used: {error}") from error


class _Reader:
    """Reads on from a place, and never beyond the file or its header's limit."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._end = min(self._size, MAX_HEADER_BYTES)
        self._at = 0
        self._tokens: list[str] = []

    def header(self) -> GgufHeader:
        magic, version, n_tensors, n_keys = self._take("4sIQQ")
        if magic != b"GGUF" or version not in _VERSIONS:
            raise ValueError("it does not begin as GGUF of version 2 or 3 does")
        _check("tensors", n_tensors, 1, MAX_TENSORS)
        _check("entries", n_keys, 1, MAX_KEYS)
        metadata: dict[str, Any] = {}
        for _ in range(n_keys):
            key = self._text(256)
            if key in metadata:
                raise ValueError(f"it has {key!r} twice")
            metadata[key] = self._value(key, self._take("I")[0])
        spans, shapes, kinds = self._tensors(n_tensors)
        alignment = metadata.get("general.alignment", 32)
        if alignment not in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096):
            raise ValueError(f"its alignment is {alignment!r}")
        room = self._size - (self._at + -self._at % alignment)
        for offset, n_bytes in spans:
            if offset % alignment or offset + n_bytes > room:
                raise ValueError("a tensor lies outside of it: it was cut off, or is damaged")
        _check_network(metadata, shapes, len(self._tokens))
        return GgufHeader(
            metadata={key: value for key, value in metadata.items() if value is not None},
            tokens=tuple(self._tokens),
            n_params=sum(prod(shape) for shape in shapes.values()),
            n_bytes=sum(n_bytes for _, n_bytes in spans),
            kinds=kinds,
            digest=hashlib.sha256(memoryview(self._data)[: self._at]).hexdigest(),
        )

    def _take(self, form: str) -> tuple[Any, ...]:
        form = "<" + form
        start = self._skip(struct.calcsize(form))
        return struct.unpack_from(form, self._data, start)

    def _skip(self, n_bytes: int) -> int:
        """Go over so many bytes; return where they begin."""
        start = self._at
        if n_bytes > self._end - start:
            is_large = self._end < self._size
            raise ValueError(
                "its header is too large" if is_large else "its header goes beyond its end"
            )
        self._at += n_bytes
        return start

    def _text(self, max_bytes: int) -> str:
        (n_bytes,) = self._take("Q")
        if n_bytes > max_bytes:
            raise ValueError(f"a text in its header has {n_bytes} bytes")
        start = self._skip(n_bytes)
        return self._data[start : self._at].decode("utf-8", "replace")

    def _value(self, key: str, kind: int) -> Any:
        """Return a number or a text; None for an array, of which the tokens alone are kept."""
        if kind in _SCALARS:
            return self._take(_SCALARS[kind])[0]
        if kind == _TEXT:
            return self._text(MAX_KEPT_BYTES)
        if kind != _ARRAY:
            raise ValueError(f"{key!r} is of an unknown kind")
        item, n_items = self._take("IQ")
        is_tokens = key == _TOKENS
        _check(f"items of {key!r}", n_items, 0, MAX_TOKENS if is_tokens else MAX_ITEMS)
        if item in _SCALARS:
            self._skip(n_items * struct.calcsize("<" + _SCALARS[item]))
        elif item == _TEXT:
            if is_tokens:
                self._tokens = [self._text(4_096) for _ in range(n_items)]
            else:
                for _ in range(n_items):
                    self._skip(self._take("Q")[0])
        else:
            raise ValueError(f"{key!r} is an array of an unknown kind")
        return None

    def _tensors(
        self, n_tensors: int
    ) -> tuple[list[tuple[int, int]], dict[str, tuple[int, ...]], frozenset[int]]:
        """Return the place and size of each tensor, their shapes by name, and their types."""
        spans: list[tuple[int, int]] = []
        kinds: set[int] = set()
        shapes: dict[str, tuple[int, ...]] = {}
        for _ in range(n_tensors):
            name = self._text(128)
            (n_dims,) = self._take("I")
            _check("dimensions of a tensor", n_dims, 1, 4)
            shape = self._take(f"{n_dims}Q")
            kind, offset = self._take("IQ")
            if name in shapes:
                raise ValueError(f"it has the tensor {name!r} twice")
            if kind not in _BLOCKS:
                raise ValueError(f"the tensor {name!r} is of the unknown type {kind}")
            n_values, (in_block, block_bytes) = prod(shape), _BLOCKS[kind]
            _check(f"values of the tensor {name!r}", n_values, 1, MAX_FILE_BYTES)
            if shape[0] % in_block:
                raise ValueError(f"the tensor {name!r} has no whole blocks")
            spans.append((offset, n_values // in_block * block_bytes))
            shapes[name] = shape
            kinds.add(kind)
        return spans, shapes, frozenset(kinds)


def _check_network(
    metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], n_tokens: int
) -> None:
    """Check what a network of any family must say, and that it fits the vocabulary."""
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not _NAME.fullmatch(architecture):
        raise ValueError("it does not say which architecture it has")
    if metadata.get("split.count", 0) not in (0, 1):
        raise ValueError("it is one of several parts; join them with `llama-gguf-split --merge`")
    limits = {"block_count": 1_024, "embedding_length": 1 << 17, "context_length": 1 << 27}
    for name, most in limits.items():
        _check(name, metadata.get(f"{architecture}.{name}"), 1, most)
    if not n_tokens:
        raise ValueError("it has no vocabulary")
    width = metadata[f"{architecture}.embedding_length"]
    if shapes.get("token_embd.weight") != (width, n_tokens):
        raise ValueError("its embedding does not fit its vocabulary")


def _check(what: str, number: Any, low: int, high: int) -> None:
    if not isinstance(number, int) or not low <= number <= high:
        raise ValueError(f"{what}: {number!r}, and not {low} to {high}")
