"""An index as a reader has it: the segments that the manifest names, opened and checked.

The manifest is one small file, replaced as a whole: whoever reads it sees the index before a change
or after it, never half of one. Segments that it does not name do not count. A reader needs no lock.
A segment that goes away between the manifest and its opening means that there is a newer manifest;
a damaged one is left out with one line, and the next writer replaces it.
"""

import errno
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from assistant.index.segment import Segment, SegmentEntry, SegmentError, SegmentSource
from model.files import MissingFileError, parse_json, read_regular, stamp_of
from model.paths import find_exposure

FILE_NAME = "manifest.json"
MAX_BYTES = 64 << 20
FORMAT = 4  # also raised when more counts as a secret: what was written before is built anew
_TRIES = 20

log = logging.getLogger(__name__)

Version = tuple[int, int, int]  # of a manifest's file


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names it."""


class SegmentRef(NamedTuple):
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


def _parse(table: Any) -> Manifest:
    if table["format"] != FORMAT:
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


def version_of(folder: Path) -> Version | None:
    """Return what tells one manifest's file from the next; None if there is none."""
    return stamp_of(folder / FILE_NAME)


class OpenSegment:
    """A segment in use."""

    def __init__(self, segment: Segment, ref: SegmentRef) -> None:
        self.segment = segment
        self.ref = ref
        self._dead = sorted(dead for dead in ref.dead if 0 <= dead < len(segment.entries))
        self.files = {
            entry.path: number
            for number, entry in enumerate(segment.entries)
            if number not in ref.dead
        }

    def source(self, context: bytes, hidden: Collection[str]) -> SegmentSource:
        """Return the segment's places, without those of files of the names `hidden`."""
        files = self.files
        more = [files[path] for path in hidden if path in files]
        dead = sorted((*self._dead, *more)) if more else self._dead
        return SegmentSource(self.segment, context, layer=self.ref.layer, dead=dead)

    @property
    def live_bytes(self) -> int:
        """Bytes of text that count."""
        return self.segment.size_of(list(self.files.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexView:
    """All of an index, at one moment."""

    manifest: Manifest = field(default_factory=Manifest)
    version: Version | None = None
    opened: tuple[OpenSegment, ...] = ()
    damaged: tuple[str, ...] = ()  # names of segments that the manifest has and that are no good

    def entries(self, layer: str) -> dict[str, SegmentEntry]:
        """Return the files of a layer that count, by path."""
        return {
            path: opened.segment.entries[number]
            for opened in self.opened
            if opened.ref.layer == layer
            for path, number in opened.files.items()
        }


def open_view(folder: Path, before: IndexView | None = None) -> IndexView:
    """Open the index in `folder`; an empty view if there is none. OSError if it cannot be read now.

    Segments that the view `before` has are not opened again.
    """
    known = {item.segment.name: item.segment for item in before.opened} if before else {}
    for _ in range(_TRIES):
        version = version_of(folder)
        if exposure := find_exposure(folder.parent, folder, folder / FILE_NAME):
            log.warning("index: %s; it is not used", exposure)
            return IndexView(version=version)
        try:
            manifest = read_manifest(folder)
        except ManifestError as error:
            log.warning("index: %s; it will be built again", error)
            return IndexView(version=version)
        if manifest is None:
            return IndexView()
        opened, damaged = _open_segments(folder, manifest, known)
        if opened is not None:
            return IndexView(
                manifest=manifest, version=version, opened=opened, damaged=tuple(damaged)
            )
    raise OSError(errno.EAGAIN, "it does not stop changing", str(folder))


def _open_segments(
    folder: Path, manifest: Manifest, known: Mapping[str, Segment]
) -> tuple[tuple[OpenSegment, ...] | None, list[str]]:
    opened: list[OpenSegment] = []
    damaged: list[str] = []
    for ref in manifest.segments:
        path = folder / ref.name
        try:
            opened.append(OpenSegment(known.get(ref.name) or Segment(path), ref))
        except SegmentError as error:
            if not path.exists() and read_manifest(folder) != manifest:
                return None, []
            log.warning("index: %s; its files will be read again", error)
            damaged.append(ref.name)
    return tuple(opened), damaged
