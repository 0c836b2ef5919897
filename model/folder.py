"""The model folder: the one interface between training and serving.

A Hugging Face folder (`config.json`, `model.safetensors` in bfloat16, `tokenizer.json` and
`tokenizer_config.json`) plus
`foretype.json`, the model card `README.md` and `SHA256SUMS`. Nothing in it is executed; a folder
from a stranger can at worst be refused. Knows formats and checks, neither networks nor runtimes.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from model.config import ConfigError, ModelConfig, from_table
from model.files import open_regular, read_regular, sha256_file
from model.fim import Layout, find_format
from model.publish import publish_folder
from model.tokenizer import Tokenizer, TokenizerError
from model.weights import MAX_WEIGHTS_BYTES, WeightsError, WeightsFile, write_weights

FORMAT_VERSION = 1
BUNDLED = Path(__file__).parent / "bundled" / "python"  # beside it: of other languages

_SUMS = "SHA256SUMS"
_CARD = "README.md"
_MAX_BYTES = {  # the known files, in the order of SHA256SUMS
    "config.json": 1 << 20,
    "foretype.json": 4 << 20,
    "model.safetensors": MAX_WEIGHTS_BYTES,
    "tokenizer.json": 64 << 20,
    "tokenizer_config.json": 1 << 20,
    _CARD: 4 << 20,
}
RANKER = "ranker.json"  # how the assistant ranks and gates with this model; a folder may lack it
_OPTIONAL_BYTES = {RANKER: 8 << 20}
_MAX_SUMS_BYTES = 1 << 16
_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\\0]+)")
_COPY_AGAIN = "copy the folder again from where it came, or export it anew"


class ModelFolderError(ValueError):
    """A model folder cannot be used or written; the message says why and how to mend it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FolderInfo:
    """What `foretype.json` says: how the model wants to be asked, and where it comes from."""

    name: str
    block_size: int  # trained tokens
    suffix_tokens: int  # budget of the text after the cursor
    snippet_tokens: int  # budget of all cross-file snippets together
    languages: tuple[str, ...]
    licence: str
    format_version: int = FORMAT_VERSION
    fim_layout: str = "spm"
    parent: str = ""  # content hash of the model that this one was tuned from

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ConfigError(
                f"format_version is {self.format_version}; this program reads {FORMAT_VERSION}"
            )
        if self.fim_layout not in get_args(Layout):
            raise ConfigError(f"fim_layout must be spm or psm, got {self.fim_layout!r}")
        if not 8 <= self.block_size <= 131_072:
            raise ConfigError(f"block_size must be in 8..131072, got {self.block_size}")
        for name in ("suffix_tokens", "snippet_tokens"):
            if not 0 <= (value := getattr(self, name)) < self.block_size:
                raise ConfigError(
                    f"{name} must be in 0..{self.block_size - 1} (block_size), got {value}"
                )

    def serves(self, language: str) -> bool:
        """Say whether documents in a language are for this model; of some nobody says which."""
        return not self.languages or language in self.languages


class ModelFolder:
    """A checked folder; weights and vocabulary are read when asked for."""

    def __init__(
        self,
        path: Path,
        *,
        config: ModelConfig,
        info: FolderInfo,
        content_hash: str,
        weights: WeightsFile,
        ranker: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.config = config
        self.info = info
        # of config, foretype.json, weights and vocabulary; not of the card
        self.content_hash = content_hash
        self.ranker = ranker  # what ranker.json says; None without one
        self.end_id: int | None = None  # as config.json says
        self._weights = weights

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Return one weight as float32, by its Hugging Face name."""
        try:
            values = self._weights.tensor(name)
        except (WeightsError, OSError) as error:
            raise ModelFolderError(_trouble(self.path, f"model.safetensors: {error}")) from error
        if not np.isfinite(values).all():
            raise ModelFolderError(_trouble(self.path, f"{name} holds values that are no numbers"))
        return values

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return all weights as float32, by their Hugging Face names."""
        return {name: self.tensor(name) for name in self._weights.names()}

    def tokenizer(self) -> Tokenizer:
        """Load the vocabulary; the markers of others go by this program's names."""
        try:
            tokenizer = Tokenizer.from_table(read_table(self.path, "tokenizer.json"))
            names = find_format(tokenizer.special_names).names
            ends = {} if self.end_id is None else {"<|end|>": self.end_id}
            tokenizer.add_names(
                ends | {ours: tokenizer.special_id(theirs) for ours, theirs in names.items()}
            )
        except (TokenizerError, ConfigError, OSError) as error:
            raise ModelFolderError(_trouble(self.path, str(error))) from error
        if tokenizer.vocab_size > self.config.vocab_size:
            allowed = self.config.vocab_size
            problem = f"tokenizer.json has {tokenizer.vocab_size} tokens, config.json {allowed}"
            raise ModelFolderError(_trouble(self.path, problem))
        return tokenizer


def bundled_folders() -> list[Path]:
    """Return the models that came with the package, the one for Python first."""
    return [BUNDLED, *sorted(path for path in BUNDLED.parent.glob("*") if path != BUNDLED)]


@functools.cache
def bundled_for(language: str) -> Path:
    """Return the bundled model whose languages hold this one; for others the one for Python."""
    for path in bundled_folders():
        with contextlib.suppress(ConfigError, OSError):  # who loads it says what is wrong
            if language in from_table(FolderInfo, read_table(path, "foretype.json")).languages:
                return path
    return BUNDLED


def load_folder(path: Path) -> ModelFolder:
    """Check everything about a folder but the vocabulary; ModelFolderError says what is wrong.

    Only the known names are looked at, and they must be plain files: no links, which could make
    us read other files of the user. Installers link the files of packages, so bundled models may
    have them.
    """
    allow_links = path.absolute().parent == BUNDLED.parent
    if not path.is_dir():
        raise ModelFolderError(f"there is no model folder at {path}; check the path")
    try:
        hashes = _read_sums(path, allow_links)
        for name in hashes:
            _check_sum(path / name, hashes[name], allow_links)
        read = functools.partial(read_table, path, allow_links=allow_links)
        table = read("config.json")
        config = ModelConfig.from_hf(table)
        info = from_table(FolderInfo, read("foretype.json"), "foretype.json: ")
        _check_context(info, config)
        weights = WeightsFile(path / "model.safetensors", config, allow_links=allow_links)
        ranker = read(RANKER) if RANKER in hashes else None
    except WeightsError as error:
        raise ModelFolderError(_trouble(path, f"model.safetensors: {error}")) from error
    except (ConfigError, OSError) as error:
        raise ModelFolderError(_trouble(path, str(error))) from error
    identity = "".join(f"{hashes[name]}  {name}\n" for name in _MAX_BYTES if name != _CARD)
    content_hash = hashlib.sha256(identity.encode()).hexdigest()
    found = ModelFolder(
        path, config=config, info=info, content_hash=content_hash, weights=weights,
        ranker=ranker,
    )  # fmt: skip
    found.end_id = read_end_id(table, config)
    return found


def read_end_id(table: Mapping[str, Any], config: ModelConfig) -> int | None:
    """Return the id that ends a text as `config.json` says; None if it names none that is known."""
    end = table.get("eos_token_id")
    end = end[0] if isinstance(end, list) and end else end
    return end if type(end) is int and 0 <= end < config.vocab_size else None


def save_folder(  # noqa: PLR0913  (the parts of a folder, each named by its caller)
    path: Path,
    *,
    config: ModelConfig,
    tensors: Mapping[str, NDArray[np.float32]],
    tokenizer_json: str,
    info: FolderInfo,
    card: str,
    ranker: Mapping[str, Any] | None = None,
    end_id: int | None = None,
) -> None:
    """Write a folder aside, check it as `load_folder` would, then rename it into place.

    `end_id` ends a text where the vocabulary is of others (None: "<|end|>" does).

    After a crash at any point `path` is the old folder, the new one, or absent: never a mixture.
    Readable by its owner only, since tuned weights hold parts of private code.
    """
    _check_finite(tensors)
    end_id, named = _name_ends(tokenizer_json, end_id)
    texts = {
        "config.json": json.dumps(config.to_hf() | {"eos_token_id": end_id}, indent=2) + "\n",
        "foretype.json": json.dumps(dataclasses.asdict(info), indent=2) + "\n",
        "tokenizer.json": tokenizer_json,
        "tokenizer_config.json": json.dumps(named, indent=2) + "\n",
        **_texts(card=card, ranker=ranker),
    }
    with publish_folder(path) as aside:
        write_weights(aside / "model.safetensors", tensors)
        _complete(aside, texts, 0o600)
        load_folder(aside).tokenizer()


def copy_folder(
    source: Path, target: Path, *, ranker: Mapping[str, Any] | None = None, card: str | None = None
) -> None:
    """Copy the model folder `source` to `target` (or replace it there) with another ranker or card.

    The copy is written aside, checked and renamed into place, as by `save_folder`.
    """
    names = list(_MAX_BYTES) if load_folder(source).ranker is None else [*_MAX_BYTES, RANKER]
    texts = _texts(card=card, ranker=ranker)
    with publish_folder(target) as aside:
        for name in names:
            if name not in texts:
                shutil.copyfile(source / name, aside / name)
        _complete(aside, texts, source.joinpath("config.json").stat().st_mode & 0o777)
        aside.chmod(source.stat().st_mode & 0o777)
        load_folder(aside)


def _texts(*, card: str | None, ranker: Mapping[str, Any] | None) -> dict[str, str]:
    texts = {} if card is None else {_CARD: card}
    if ranker is not None:
        texts[RANKER] = json.dumps(ranker, separators=(",", ":")) + "\n"
    return texts


def _complete(folder: Path, texts: Mapping[str, str], mode: int) -> None:
    """Write the texts of a folder, then the checksums of all that is in it; set who may read it."""
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8", newline="\n")
    names = [name for name in (*_MAX_BYTES, RANKER) if (folder / name).exists()]
    sums = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in names)
    (folder / _SUMS).write_text(sums, "utf-8", newline="\n")
    for file in folder.iterdir():
        file.chmod(mode)


def _check_finite(tensors: Mapping[str, NDArray[np.float32]]) -> None:
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise ModelFolderError(
                f"cannot save the model: tensor {name} holds values that are not finite; training "
                "has diverged: go back to an earlier checkpoint"
            )


def _name_ends(tokenizer_json: str, end_id: int | None) -> tuple[int, dict[str, Any]]:
    """Return the id at which other servers should stop generating, and tokenizer_config.json."""
    try:
        tokenizer = Tokenizer.from_table(_parse_table("tokenizer.json", tokenizer_json))
        end_id = tokenizer.end_id if end_id is None else end_id
    except (TokenizerError, ConfigError) as error:
        raise ModelFolderError(
            f"cannot save the model: {error}; train the tokenizer anew"
        ) from error
    end = {tokenizer.special_id(name): name for name in tokenizer.special_names}.get(end_id)
    return end_id, {  # without it transformers guesses and adds tokens of its own
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": "<|fim_pad|>" if tokenizer.has_special("<|fim_pad|>") else end,
        "clean_up_tokenization_spaces": False,
    }


def _check_context(info: FolderInfo, config: ModelConfig) -> None:
    if info.block_size > config.block_size:
        sizes = f"{info.block_size} exceeds the {config.block_size} of config.json"
        raise ConfigError(f"foretype.json: block_size {sizes}")


def _read_sums(path: Path, allow_links: bool) -> dict[str, str]:
    """Return name -> SHA-256 as `SHA256SUMS` lists them: the known files, optional ones or not."""
    data = read_regular(path / _SUMS, _MAX_SUMS_BYTES, allow_links=allow_links)
    hashes: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        match = _SUM_LINE.fullmatch(line)
        if match is None or match[2] in hashes:
            raise ConfigError(f"{_SUMS} has a line that is not 'hash  name': {line[:80]!r}")
        hashes[match[2]] = match[1]
    if wrong := sorted((hashes.keys() - _OPTIONAL_BYTES) ^ _MAX_BYTES.keys()):
        state = "does not list" if wrong[0] in _MAX_BYTES else "lists the unknown file"
        raise ConfigError(f"{_SUMS} {state} {wrong[0]}")
    return hashes


def _check_sum(path: Path, expected: str, allow_links: bool) -> None:
    os.close(open_regular(path, _limit(path.name), allow_links=allow_links))
    if sha256_file(path) != expected:
        raise ConfigError(
            f"{path.name} is not the file that {_SUMS} describes: damaged, cut off or changed"
        )


def _limit(name: str) -> int:
    return (_MAX_BYTES | _OPTIONAL_BYTES)[name]


def read_table(
    path: Path, name: str, *, allow_links: bool = True, max_bytes: int = 0
) -> Mapping[str, Any]:
    """Return what a file of a model folder says; ConfigError or UnreadableFileError."""
    max_bytes = max_bytes or _limit(name)
    return _parse_table(name, read_regular(path / name, max_bytes, allow_links=allow_links))


def _parse_table(name: str, data: bytes | str) -> Mapping[str, Any]:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{name} is not a JSON object")
    return table


def _trouble(path: Path, problem: str) -> str:
    return f"model folder {path}: {problem}; {_COPY_AGAIN}"
