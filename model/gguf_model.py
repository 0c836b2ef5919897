"""A model in a GGUF file, and the small folder by which the registry refers to models of others.

Those are not copied: they are large, and other programs use them too. What is kept is where one
was, and sizes, times and SHA-256 then. One whose sizes or times differ is read again to the end,
and refused if it is another one. Knows formats and checks, like `model.folder`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.files import parse_json, read_regular, sha256_file
from model.fim import FimFormat, find_format
from model.folder import RANKER, FolderInfo, ModelFolder, load_folder
from model.gguf_file import GgufError, GgufHeader, read_header
from model.publish import publish_folder, write_atomically

if TYPE_CHECKING:
    from model.runtime_gguf import GgufNetwork
    from model.tokenizer import Tokenizer

REFERENCE = "elsewhere.json"
# Of a prompt, whatever the network was trained for: on a processor more takes seconds to read.
BLOCK_TOKENS = 1_024
SUFFIX_TOKENS, SUFFIX_TOKENS_READ_AGAIN = 96, 32  # the fewer where each key has it read again
SNIPPET_TOKENS = 256  # where the family marks files
_MAX_BYTES = 8 << 20  # of REFERENCE and RANKER
_AGAIN = "remove the model, and `foretype models add` it again"
_VALUE_BYTES = 2  # of cached keys and values
_BLOCK = 32  # numbers of a cache in q8_0 that share a scale


def foreign_info(form: FimFormat, name: object, licence: object, n_context: int) -> FolderInfo:
    """Return how a network of others is asked: within the context that it was trained for."""
    block_size = max(8, min(BLOCK_TOKENS, n_context))
    n_suffix = SUFFIX_TOKENS_READ_AGAIN if form.layout == "psm" else SUFFIX_TOKENS
    has_files = "<|file_sep|>" in form.names
    return FolderInfo(
        name=str(name)[:80],
        block_size=block_size,
        suffix_tokens=min(n_suffix, block_size // 4),
        snippet_tokens=min(SNIPPET_TOKENS, block_size // 4) if has_files else 0,
        languages=(),  # nobody says which it was trained on
        licence=str(licence)[:80],
        fim_layout=form.layout,
    )


class GgufModel:
    """A checked file; weights and vocabulary are loaded when asked for."""

    def __init__(
        self, path: Path, file: Path, header: GgufHeader, *, content_hash: str = ""
    ) -> None:
        self.path = path  # by which it was named: the file, or a folder that refers to it
        self.file = file
        self.header = header
        self.content_hash = content_hash or header.digest
        self.ranker: Mapping[str, Any] | None = None
        self._network: GgufNetwork | None = None
        form = find_format(header.tokens)
        self.family = form.family
        name, licence = (header.metadata.get(f"general.{key}") for key in ("name", "license"))
        self.info = foreign_info(
            form, name or file.stem, licence or "not stated", header.number("context_length")
        )

    def network(self, gpu_layers: int) -> GgufNetwork:
        """Load the weights, so many layers of them on the GPU; once."""
        from model.runtime_gguf import OFFSET_KINDS, OFFSET_TOKENS, GgufNetwork

        if self._network is None:
            self._network = GgufNetwork(self.file, gpu_layers=gpu_layers)
            if self.header.kinds & OFFSET_KINDS:
                self._network.at_once_tokens = OFFSET_TOKENS
        return self._network

    def tokenizer(self) -> Tokenizer:
        """Load the vocabulary: that of the loaded network, if it is."""
        from model.runtime_gguf import GgufNetwork, GgufTokenizer

        network = self._network or GgufNetwork(self.file, vocabulary_only=True)
        return GgufTokenizer(network, self.header)

    def memory_bytes(self, max_len: int) -> int:
        """Return about what serving takes: weights, and the cache of `max_len` tokens."""
        header = self.header
        n_heads = header.number("attention.head_count", 1)
        n_kept = header.number("attention.head_count_kv", n_heads) * sum(self._head_widths())
        return header.n_bytes + header.number("block_count") * max_len * n_kept * _VALUE_BYTES

    def check_blocks(self) -> None:
        """Raise GgufError unless heads are whole blocks of q8_0: the library would end us."""
        for width in self._head_widths():
            if width % _BLOCK:
                raise GgufError(f"kv_cache q8_0 needs heads of {_BLOCK}, {self.file} has {width}")

    def _head_widths(self) -> list[int]:
        """Return the numbers that a head keeps of a token: of its key, and of its value."""
        n_heads = self.header.number("attention.head_count", 1)
        width = self.header.number("embedding_length") // max(1, n_heads)
        return [self.header.number(f"attention.{part}_length", width) for part in ("key", "value")]


def load_model(path: Path) -> ModelFolder | GgufModel:
    """Check a model folder of ours or of others, a GGUF file, or a folder that refers to one."""
    if path.suffix == ".gguf" and not path.is_dir():
        return GgufModel(path, path, read_header(path))
    if (path / REFERENCE).is_file():
        return _load_reference(path)
    from model.plain_folder import is_plain_folder, load_plain_folder

    return load_plain_folder(path) if is_plain_folder(path) else load_folder(path)


def write_reference(folder: Path, place: Path) -> ModelFolder | GgufModel:
    """Make a folder that refers to a model of others, file or folder, and return the model."""
    place = place.resolve()
    stamps = _stamps(place)
    found = load_model(place)
    is_file = isinstance(found, GgufModel)
    table = {
        "format_version": 1,
        "path": str(place),
        "files": stamps,
        "sha256": sha256_file(place) if is_file else found.content_hash,
    }
    with publish_folder(folder) as aside:
        (aside / REFERENCE).write_text(json.dumps(table, indent=1) + "\n", "utf-8", newline="\n")
        (aside / REFERENCE).chmod(0o600)
    return _load_reference(folder)


def check_reference(folder: Path) -> None:
    """Raise GgufError unless a folder refers to a model of others."""
    if not (folder / REFERENCE).is_file():
        raise GgufError(f"{folder} refers to no model of others: `foretype models add` it first")


def write_ranker(folder: Path, table: Mapping[str, Any]) -> None:
    """Put what was fitted for a model into the folder that refers to it."""
    check_reference(folder)
    write_atomically(folder / RANKER, json.dumps(table, separators=(",", ":")).encode() + b"\n")


def _load_reference(folder: Path) -> ModelFolder | GgufModel:
    from model.plain_folder import load_plain_folder

    place = folder / REFERENCE
    try:
        table = parse_json(read_regular(place, _MAX_BYTES, allow_links=False))
        path, digest = Path(table["path"]), str(table["sha256"])
        known = table["files"]
        ranker = None
        if os.path.lexists(folder / RANKER):
            ranker = parse_json(read_regular(folder / RANKER, _MAX_BYTES, allow_links=False))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GgufError(f"{place} is damaged ({error}); {_AGAIN}") from error
    try:
        is_file, is_known = path.suffix == ".gguf", _stamps(path) == known
        now = sha256_file(path) if is_file and not is_known else digest
    except OSError as error:
        raise GgufError(f"cannot read {path}: {error.strerror or error}; {_AGAIN}") from error
    found: ModelFolder | GgufModel
    if is_file:
        found = GgufModel(folder, path, read_header(path), content_hash=now)
    else:
        found = load_plain_folder(path, digest if is_known else "")
    if found.content_hash != digest:
        raise GgufError(f"{path} is not the model that was added; {_AGAIN}")
    found.ranker = ranker
    return found


def _stamps(place: Path) -> list[list[int]]:
    """Return sizes and times of a model's files."""
    from model.plain_folder import list_files

    files = [place] if place.suffix == ".gguf" else list_files(place)
    return [[info.st_size, info.st_mtime_ns] for info in (file.stat() for file in files)]
