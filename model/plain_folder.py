"""A Hugging Face folder as others publish it: no `foretype.json`, no checksums, their own markers.

Of the families that our graph can run (`ModelConfig.from_hf`), with a byte-level BPE vocabulary;
what is none of that is refused, never guessed. Nothing in it is run.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.config import ConfigError, ModelConfig
from model.files import read_regular, sha256_file
from model.fim import find_format
from model.folder import ModelFolder, ModelFolderError, _parse_json, _read_json, read_end_id
from model.gguf_model import foreign_info
from model.tokenizer import TokenizerError
from model.weights import WeightsError, WeightsFile, shards_of

_MAX_CARD_BYTES = 4 << 20
_MAX_VOCABULARY_BYTES = 32 << 20  # twice the largest that is known
_VALUE_BYTES = 4  # of cached keys and values


class PlainFolder(ModelFolder):
    """A checked folder of others."""

    family: str  # of its markers, "" without
    architecture: str

    def memory_bytes(self, max_len: int) -> int:
        """Return about what serving takes in 8 bits: weights, and the cache of `max_len` tokens."""
        config = self.config
        n_kept = 2 * config.n_layer * config.n_kv_head * config.head_dim * max_len
        return config.n_params + _VALUE_BYTES * n_kept


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
        table = _read_json(path, "config.json", allow_links=True)
        config = ModelConfig.from_hf(table)
        _check_attention(table)
        weights = WeightsFile(_weights_place(path), config)
        form = find_format(_added(_read_tokenizer(path)))
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


def _check_attention(table: Mapping[str, Any]) -> None:
    kinds = table.get("layer_types") or []
    if table.get("use_sliding_window") or set(kinds) - {"full_attention"}:
        raise ConfigError("config.json: attention over a sliding window is not supported")


def _read_tokenizer(path: Path) -> Any:
    """Read tokenizer.json; what its reader would not do as it was meant is refused."""
    name = "tokenizer.json"
    table = _parse_json(name, read_regular(path / name, _MAX_VOCABULARY_BYTES))
    try:
        model, normalizer = table["model"], table.get("normalizer") or {}
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        ranks = [model["vocab"][left + right] for left, right in merges]
        if model.get("type") != "BPE" or model.get("byte_fallback"):
            raise TokenizerError(f"{name} is not a byte-level BPE")
        if normalizer.get("type", "NFC") != "NFC":  # ours keeps a text as it is
            raise TokenizerError(f"{name} changes texts before it encodes them")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, TokenizerError):
            raise
        raise TokenizerError(f"{name} is not a byte-level BPE: {error!r}") from error
    if ranks != sorted(ranks):
        raise TokenizerError(f"{name} merges in another order than that of its ids")
    return table


def _added(table: Any) -> set[str]:
    return {str(entry["content"]) for entry in table.get("added_tokens") or ()}
