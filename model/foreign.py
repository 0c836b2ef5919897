"""Models of others: a GGUF file, or a Hugging Face folder as others publish it.

Such a folder has no `foretype.json`, no checksums and its own markers. It is of the families that
our graph can run (`ModelConfig.from_hf`), with a byte-level BPE vocabulary; what is none of that is
refused, never guessed. Nothing in it is run.

The registry refers to models of others by a small folder. They are not copied: they are large, and
other programs use them too. What is kept is where one was, and sizes, times and SHA-256 then. One
whose sizes or times differ is read again to the end, and refused if it is another one. Knows
formats and checks, like `model.folder`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError, ModelConfig
from model.files import parse_json, read_regular, sha256_file
from model.fim import FimFormat, find_format
from model.folder import (
    RANKER,
    FolderInfo,
    ModelFolder,
    ModelFolderError,
    load_folder,
    read_end_id,
    read_table,
)
from model.gguf_file import GgufError, GgufHeader, read_header
from model.publish import publish_folder, write_atomically
from model.tokenizer import TokenizerError
from model.weights import WeightsError, WeightsFile, shards_of

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
_VALUE_BYTES = 2  # of cached keys and values; in a graph of ours twice as many
_MAX_CARD_BYTES = 4 << 20
_MAX_VOCABULARY_BYTES = 32 << 20  # twice the largest that is known
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


class PlainFolder(ModelFolder):
    """A checked folder of others."""

    family: str  # of its markers, "" without
    architecture: str

    def memory_bytes(self, max_len: int) -> int:
        """Return about what serving takes in 8 bits: weights, and the cache of `max_len` tokens."""
        config = self.config
        n_kept = 2 * config.n_layer * config.n_kv_head * config.head_dim * max_len
        return config.n_params + 2 * _VALUE_BYTES * n_kept


def is_plain_folder(path: Path) -> bool:
    """Say whether this looks like a folder of others."""
    return (path / "config.json").is_file() and not (path / "foretype.json").exists()


def list_files(path: Path) -> list[Path]:
    """Return the files of a folder that decide what the model is; ModelFolderError."""
    weights = _weights_place(path)
    try:
        shards = [] if weights.suffix == ".safetensors" else sorted(shards_of(weights))
    except (WeightsError, ConfigError, OSError) as error:
        raise ModelFolderError(f"model folder {path}: {weights.name}: {error}") from error
    rest = [path / "tokenizer.json", *(path / name for name in shards)]
    return [path / "config.json", weights, *rest]


def _weights_place(path: Path) -> Path:
    """Return the one file of weights, or else the index of several."""
    index, whole = path / "model.safetensors.index.json", path / "model.safetensors"
    return index if index.exists() and not whole.exists() else whole


def load_plain_folder(path: Path, content_hash: str = "") -> PlainFolder:
    """Check a folder as `load_folder` does; ModelFolderError says what is wrong with it.

    With `content_hash`, its files are known and not read again.
    """
    try:
        table = read_table(path, "config.json")
        config = ModelConfig.from_hf(table)
        weights = WeightsFile(_weights_place(path), config)
        form = find_format(_read_markers(path))
        sums = content_hash or "".join(sha256_file(file) for file in list_files(path))
    except WeightsError as error:
        raise ModelFolderError(f"model folder {path}: model.safetensors: {error}") from error
    except (ConfigError, TokenizerError, OSError) as error:
        raise ModelFolderError(f"model folder {path}: {error}") from error
    found = PlainFolder(
        path,
        config=config,
        info=foreign_info(form, path.name, _licence(path), config.block_size),
        content_hash=content_hash or hashlib.sha256(sums.encode()).hexdigest(),
        weights=weights,
    )
    found.end_id = read_end_id(table, config)
    if found.end_id is None:
        raise ModelFolderError(f"model folder {path}: config.json names no eos_token_id")
    found.family, found.architecture = form.family, str(table["model_type"])
    return found


def _licence(path: Path) -> str:
    """Return the licence field of the model card."""
    try:
        card = read_regular(path / "README.md", _MAX_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return "not stated"
    head = card.split("---", 2)[1] if card.startswith("---") else ""
    match = re.search(r"^license: *['\"]?([\w.+-]+)", head, re.MULTILINE)
    return match[1] if match else "not stated"


def _read_markers(path: Path) -> set[str]:
    """Return the texts that tokenizer.json adds.

    What our reader of it would not do as it was meant is refused.
    """
    name = "tokenizer.json"
    table = read_table(path, name, max_bytes=_MAX_VOCABULARY_BYTES)
    try:
        model, normalizer = table["model"], table.get("normalizer") or {}
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        ranks = [model["vocab"][left + right] for left, right in merges]
        is_bpe = model.get("type") == "BPE" and not model.get("byte_fallback")
        keeps_texts = normalizer.get("type", "NFC") == "NFC"  # as ours does
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TokenizerError(f"{name} is not a byte-level BPE: {error!r}") from error
    if not is_bpe:
        raise TokenizerError(f"{name} is not a byte-level BPE")
    if not keeps_texts:
        raise TokenizerError(f"{name} changes texts before it encodes them")
    if ranks != sorted(ranks):
        raise TokenizerError(f"{name} merges in another order than that of its ids")
    return {str(entry["content"]) for entry in table.get("added_tokens") or ()}


def load_model(path: Path) -> ModelFolder | GgufModel:
    """Check a model folder of ours or of others, a GGUF file, or a folder that refers to one."""
    if path.suffix == ".gguf" and not path.is_dir():
        return GgufModel(path, path, read_header(path))
    if (path / REFERENCE).is_file():
        return _load_reference(path)
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
    files = [place] if place.suffix == ".gguf" else list_files(place)
    return [[info.st_size, info.st_mtime_ns] for info in (file.stat() for file in files)]
