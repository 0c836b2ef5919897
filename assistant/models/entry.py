"""What is known of one model of the user's own. Knows no file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from assistant.errors import AssistantError

BASE = "base"  # how people name the model that came with the program, or that the settings name
EVERYWHERE = ""  # instead of a repository's id: all that have no choice of their own
KINDS = ("full", "lora", "gguf", "plain")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,78}[a-z0-9])?")
_HEX = re.compile(r"[0-9a-f]{8,128}")
# Names of devices on Windows, with any ending.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")


class ModelsError(AssistantError, ValueError):
    """The user's models cannot be read or changed as asked; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One model folder of the registry."""

    name: str  # of its folder, e.g. "cadwyn-20261122-1"
    repository: str  # whose documents it may be served for, see `repository_id`; "": any
    root: str  # where that repository was when it was tuned; shown to people only
    content_hash: str  # ModelFolder.content_hash
    parent: str  # content hash of the model it was tuned from
    data_hash: str  # SHA-256 over the sorted (path, blob id) of what it was trained on
    trained_to: str  # the newest commit it has seen
    created: str  # ISO 8601, UTC
    kind: str  # "full" or "lora"; of others, elsewhere: "gguf", a file; "plain", a folder
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
