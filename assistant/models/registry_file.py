"""The registry's one file: which models are listed, which are arriving, which is served where.

It is replaced as a whole, so that a reader sees all of a change or nothing of it. Knows no model
folder and no lock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.errors import AssistantError
from assistant.git import GitError, git, git_directory
from model.files import MissingFileError, UnreadableFileError, parse_json, read_regular
from model.publish import write_atomically

_TIMEOUT_S = 120.0  # a history of a million commits is read to its beginning
BASE = "base"  # how people name the model that came with the program, or that the settings name
EVERYWHERE = ""  # instead of a repository's id: all that have no choice of their own
KINDS = ("full", "lora", "gguf", "plain")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,78}[a-z0-9])?")
_HEX = re.compile(r"[0-9a-f]{8,128}")
# Names of devices on Windows, with any ending.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
FILE_NAME = "registry.json"
MAX_BYTES = 16 << 20
MAX_HISTORY = 50  # choices that can be taken back
_FORMAT = 1


def repository_id(root: Path) -> str:
    """Return the id of the repository with the work tree `root`; ModelsError if it has none.

    A hash of the first commit, following first parents: the same in each clone, worktree and
    branch, and after another history has been merged in. A shallow clone does not know it.
    """
    try:
        if git(root, "rev-parse", "--is-shallow-repository").strip() == b"true":
            raise ModelsError(
                f"{root} is a shallow clone, so its first commit is not known;"
                " run `git fetch --unshallow` there"
            )
        line = git(
            root, "rev-list", "--first-parent", "--max-parents=0", "HEAD", timeout_s=_TIMEOUT_S
        )
    except GitError as error:
        raise ModelsError(f"{root} has no git history to tell it by: {error}") from error
    return hashlib.sha256(b"foretype repository\0" + line.split()[0]).hexdigest()[:32]


def repository_root(place: Path) -> Path | None:
    """Return the work tree that a file or folder is in; it need not exist itself. Asks no git."""
    try:
        real = place.resolve()
    except OSError:
        return None
    return next((path for path in (real, *real.parents) if git_directory(path) is not None), None)


class ModelsError(AssistantError, ValueError):
    """The user's models cannot be read or changed as asked; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One model folder of the registry."""

    name: str  # of its folder, e.g. "cadwyn-20261122-1"
    repository: str  # whose documents it may be served for, see `repository_id`; "": any
    root: str  # where that repository was when it was tuned; shown to people only
    content_hash: str  # ModelFolder.content_hash
    created: str  # ISO 8601, UTC
    kind: str  # "full" or "lora"; of others, elsewhere: "gguf", a file; "plain", a folder
    # What it was tuned from and on; of others that is not known.
    parent: str = ""  # content hash of a model
    data_hash: str = ""  # SHA-256 over the sorted (path, blob id)
    trained_to: str = ""  # the newest commit it has seen
    scores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.kind not in KINDS:
            raise ModelsError(f"kind of a model is none of {', '.join(KINDS)}: {self.kind!r}")
        if not _HEX.fullmatch(self.content_hash):
            raise ModelsError(f"content_hash of {self.name} is no hash: {self.content_hash!r}")
        if self.repository and not _HEX.fullmatch(self.repository):
            raise ModelsError(f"repository of {self.name} is no id: {self.repository!r}")

    def serves(self, repository: str) -> bool:
        """Say whether it may be served for documents of a repository."""
        return self.repository in ("", repository)


_TEXTS = tuple(item.name for item in dataclasses.fields(ModelEntry) if item.name != "scores")


def check_name(name: str) -> None:
    """Raise ModelsError unless `name` can be a model's: it becomes a folder's."""
    if name == BASE or _RESERVED.fullmatch(name) or not _NAME.fullmatch(name) or ".." in name:
        raise ModelsError(
            f"{name[:80]!r} cannot be the name of a model: use up to 80 of a-z, 0-9, '-', '_' and"
            f" '.', beginning and ending with a letter or digit, and not {BASE!r}"
        )


def slug(text: str) -> str:
    """Return the like of `text` that a model's name may begin with.

    >>> slug("My Project!")
    'my-project'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-")
    return plain or "model"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """What is served in one repository."""

    history: tuple[str, ...] = ()  # names, the one in use last; "": the base; empty: none chosen
    is_pinned: bool = False

    @property
    def name(self) -> str:
        """The model in use, "" for the base."""
        return self.history[-1] if self.history else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryFile:
    """All that the registry knows."""

    models: Mapping[str, ModelEntry] = field(default_factory=dict)  # by name
    arriving: Mapping[str, ModelEntry] = field(default_factory=dict)  # their folders are coming
    leaving: tuple[str, ...] = ()  # no longer listed; their folders are being deleted
    choices: Mapping[str, ModelChoice] = field(default_factory=dict)  # by repository

    def choice(self, repository: str) -> ModelChoice:
        """Return what was chosen for a repository."""
        return self.choices.get(repository, ModelChoice())

    def served(self) -> dict[str, ModelEntry]:
        """Return the chosen model of each repository that has one."""
        chosen = {key: self.models.get(choice.name) for key, choice in self.choices.items()}
        return {key: entry for key, entry in chosen.items() if entry and entry.serves(key)}

    def serving(self, repository: str) -> ModelEntry | None:
        """Return the model for documents of a repository; None: the base."""
        choice = self.choice(repository)
        if not choice.history:
            choice = self.choice(EVERYWHERE)
        entry = self.models.get(choice.name)
        return entry if entry is not None and entry.serves(repository) else None

    def serving_name(self, repository: str) -> str:
        """Return what people call the model for documents of a repository."""
        entry = self.serving(repository)
        return entry.name if entry is not None else BASE

    def with_choice(self, repository: str, choice: ModelChoice) -> RegistryFile:
        """Return a registry in which `choice` holds for a repository."""
        kept = dataclasses.replace(choice, history=choice.history[-MAX_HISTORY:])
        return dataclasses.replace(self, choices={**self.choices, repository: kept})

    def without(self, name: str) -> RegistryFile:
        """Return a registry in which a model is leaving and not chosen: what was before it is."""
        return dataclasses.replace(
            self,
            leaving=(*self.leaving, name),
            models={key: entry for key, entry in self.models.items() if key != name},
            choices={
                key: dataclasses.replace(choice, history=_drop_name(choice.history, name))
                for key, choice in self.choices.items()
            },
        )

    def is_used(self, name: str) -> bool:
        """Say whether a model is chosen anywhere."""
        return any(choice.name == name for choice in self.choices.values())


def _drop_name(history: tuple[str, ...], name: str) -> tuple[str, ...]:
    others = (item for item in history if item != name)
    return tuple(item for item, _ in itertools.groupby(others))  # once where it stands twice


def read_registry(folder: Path) -> RegistryFile:
    """Return the registry in `folder`, an empty one if there is none; ModelsError if damaged."""
    path = folder / FILE_NAME
    try:
        data = read_regular(path, MAX_BYTES, allow_links=False)
    except MissingFileError:
        return RegistryFile()
    except UnreadableFileError as error:
        raise ModelsError(f"{error}; {_say_how_to_mend(path)}") from error
    try:
        return _parse(parse_json(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelsError(f"{path} is damaged; {_say_how_to_mend(path)}") from error


def write_registry(folder: Path, book: RegistryFile) -> None:
    """Put `book` in force."""
    table = {
        "format": _FORMAT,
        "models": [dataclasses.asdict(entry) for entry in book.models.values()],
        "arriving": [dataclasses.asdict(entry) for entry in book.arriving.values()],
        "leaving": list(book.leaving),
        "choices": {
            key: {"history": list(choice.history), "pinned": choice.is_pinned}
            for key, choice in book.choices.items()
        },
    }
    write_atomically(folder / FILE_NAME, (json.dumps(table, indent=1) + "\n").encode())


def _say_how_to_mend(path: Path) -> str:
    return f"the base model is served until it is mended: restore {path.name}, or move it away"


def _parse(table: Any) -> RegistryFile:
    if table["format"] != _FORMAT:
        raise ValueError("another format")
    return RegistryFile(
        models=_parse_entries(table["models"]),
        arriving=_parse_entries(table["arriving"]),
        leaving=tuple(map(_parse_name, table["leaving"])),
        choices={key: _parse_choice(choice) for key, choice in table["choices"].items()},
    )


def _parse_choice(table: Any) -> ModelChoice:
    if not isinstance(table["pinned"], bool):
        raise TypeError("pinned")
    return ModelChoice(history=tuple(map(_parse_text, table["history"])), is_pinned=table["pinned"])


def _parse_entries(tables: Any) -> dict[str, ModelEntry]:
    found = {}
    for table in tables:
        texts = {name: _parse_text(table[name]) for name in _TEXTS}
        scores = {key: float(value) for key, value in table["scores"].items()}
        found[texts["name"]] = ModelEntry(**texts, scores=scores)
    return found


def _parse_name(name: Any) -> str:
    check_name(_parse_text(name))
    return _parse_text(name)


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
