"""What an index consists of at this moment: its segments, and what of them is no longer so.

The manifest is one small file, replaced as a whole: whoever reads it sees the index before a change
or after it, never half of one. Segments that it does not name do not count. Knows no file's text.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from model.files import MissingFileError, parse_json, read_regular
from model.publish import write_atomically

FILE_NAME = "manifest.json"
MAX_BYTES = 64 << 20
_FORMAT = 4  # also raised when more counts as a secret: what was written before is built anew


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentRef:
    """One segment in use."""

    name: str
    layer: str  # "repo" or "deps"
    dead: frozenset[int] = frozenset()  # numbers of its files that count no more


class Stamp(NamedTuple):
    """How a file looked from outside when it was last read."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The state of an index."""

    root: str = ""  # what it is the index of, for whoever lists indexes
    is_complete: bool = False  # False: the first build has not reached its end
    segments: tuple[SegmentRef, ...] = ()
    # Files (LAYER/PATH) that need not be read again, although no segment has their stamp: read and
    # found unfit, or touched without a change.
    seen: dict[str, Stamp] = field(default_factory=dict)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of an index, None if there is none.

    ManifestError if it is damaged, OSError if it cannot be read now: then it may be right.
    """
    path = folder / FILE_NAME
    try:
        data = read_regular(path, MAX_BYTES)
    except MissingFileError:
        return None
    try:
        return _parse(parse_json(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{path} is damaged") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put `manifest` in force, all of it or nothing."""
    table = {
        "format": _FORMAT,
        "root": manifest.root,
        "is_complete": manifest.is_complete,
        "segments": [[ref.name, ref.layer, sorted(ref.dead)] for ref in manifest.segments],
        "seen": manifest.seen,
    }
    text = json.dumps(table, separators=(",", ":"))
    write_atomically(folder / FILE_NAME, text.encode())


def _parse(table: Any) -> Manifest:
    if table["format"] != _FORMAT:
        raise ValueError("another format")
    return Manifest(
        root=str(table["root"]),
        is_complete=bool(table["is_complete"]),
        segments=tuple(
            SegmentRef(name=_parse_name(name), layer=str(layer), dead=frozenset(map(int, dead)))
            for name, layer, dead in table["segments"]
        ),
        seen={key: Stamp(int(size), int(mtime)) for key, (size, mtime) in table["seen"].items()},
    )


def _parse_name(name: str) -> str:
    """Return the name of a file in the index's own folder, nowhere else."""
    if Path(name).name != name:
        raise ValueError("not a file's name")
    return name
