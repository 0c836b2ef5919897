"""Builds an index and brings it up to date: only files that have changed are read.

A file counts as changed if its size or time differs, and as the same after all if its bytes have
the same digest. What is excluded or secret by its name is not read, and secrets inside files are
replaced before anything is written. Stopped or killed at any moment, the next run goes on.

Below the repository's own layer may lie one of the packages that it imports, as installed in its
environment. That is found by how a folder looks; nothing in it is run. The most imported packages
are taken first, up to a size of their own.
"""

import hashlib
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from assistant.index.files import MAX_FILE_BYTES, decode_source, list_files, max_bytes, rank
from assistant.index.reader import IndexView, Stamp
from assistant.index.segment import FileContent, SegmentEntry, encode_text
from assistant.index.writer import IndexWriter
from assistant.privacy.exclusion import is_excluded
from assistant.privacy.redaction import redact
from assistant.privacy.unfinished import edited_at, without_open_secret
from model.files import UnreadableFileError, read_regular

INDEX_BYTES_PER_TEXT_BYTE = 5.1  # the text, four bytes for each of its suffixes, the files' names
_RACY_NS = 2_000_000_000  # a file changed so shortly ago may change again without a newer time
_RACY = -1

log = logging.getLogger(__name__)
MAX_DEPENDENCY_BYTES = 16 << 20
LAYER = "deps"
_ENVIRONMENTS = (".venv", "venv", ".env", "env")
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_SUFFIXES = (".py", ".pyi")
_LEFT_OUT = frozenset({"test", "tests", "__pycache__", "_vendor", "vendored"})


class BuildLimits(NamedTuple):
    """What a refresh may do, and how it is watched."""

    exclude: tuple[str, ...] = ()
    max_text_bytes: int = 100 << 20
    on_progress: Callable[[int, int], None] = lambda *_: None  # bytes looked at, of bytes


@dataclass(kw_only=True, slots=True)
class BuildReport:
    """What a refresh did."""

    n_read: int = 0  # files opened
    n_added: int = 0  # files whose text is new in the index
    n_dropped: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> files

    @property
    def reasons(self) -> str:
        """How many files were left out for which reason, in words."""
        return ", ".join(f"{n} {why}" for why, n in sorted(self.left_out.items())) or "none"


def build_from_texts(folder: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Make `folder` the index of exactly these (path, text); for evaluation.

    The texts are taken as they are: nothing is left out and nothing replaced.
    """
    contents = (
        FileContent(SegmentEntry(path, len(data), 0, _digest(data)), data)
        for path, text in texts
        for data in [encode_text(text)]
    )
    with IndexWriter(folder, timeout_s=60.0) as writer:
        writer.clear()
        writer.add(contents, "repo")
        writer.commit(is_complete=True)


def refresh(root: Path, folder: Path, limits: BuildLimits | None = None) -> BuildReport:
    """Bring the index in `folder` up to date with the files of `root`.

    BusyError if another process is at it; OSError if the disk does not take it.
    """
    limits = limits or BuildLimits()
    with IndexWriter(folder, root=str(root)) as writer:
        found = list_files(root)
        stamps, left_out = select_files(found, limits, root)
        report = refresh_layer(writer, "repo", root, stamps, limits)
        report.left_out += left_out
        if left_out["excluded"]:
            writer.forget([path for path in found if _is_excluded(root, path, limits)], "repo")
        while writer.merge():
            pass
    log.info(
        "index: %d files read, %d taken up, %d dropped; left out: %s",
        report.n_read,
        report.n_added,
        report.n_dropped,
        report.reasons,
    )
    return report


def select_files(
    stamps: Mapping[str, Stamp], limits: BuildLimits, root: Path
) -> tuple[dict[str, Stamp], Counter[str]]:
    """Return the files to remember, the most useful first, and why others are not."""
    left_out: Counter[str] = Counter()
    ranked: list[tuple[int, int, str]] = []
    for path, stamp in stamps.items():
        file_rank = rank(path)
        if file_rank is None:
            left_out["not source"] += 1
        elif stamp.size > max_bytes(file_rank):
            left_out["too large"] += 1
        elif _is_excluded(root, path, limits):
            left_out["excluded"] += 1
        else:
            ranked.append((file_rank, stamp.size, path))
    ranked.sort()  # code before data, and many small files before a few large ones
    room = limits.max_text_bytes
    kept: list[str] = []
    for _, size, path in ranked:
        room -= size + 1
        if room < 0:
            n_left = left_out["no room"] = len(ranked) - len(kept)
            warning = "index: full; %d of %d files are left out (setting index_mb)"
            log.warning(warning, n_left, len(ranked))
            break
        kept.append(path)
    return {path: stamps[path] for path in sorted(kept)}, left_out


def _is_excluded(root: Path, path: str, limits: BuildLimits) -> bool:
    return is_excluded(f"{root.name}/{path}", limits.exclude)


def refresh_layer(
    writer: IndexWriter, layer: str, root: Path, stamps: Mapping[str, Stamp], limits: BuildLimits
) -> BuildReport:
    """Make one layer of an index that of these files."""
    reader = _LayerReader(writer, layer, root)
    gone = reader.known.keys() - stamps.keys()
    writer.drop(gone, layer)
    reader.report.n_dropped = len(gone)
    changed = {path: stamp for path, stamp in stamps.items() if not reader.is_known(path, stamp)}
    writer.add(reader.read_all(changed, limits.on_progress), layer, stepwise=True)
    here = f"{layer}/"
    seen = {
        key: stamp
        for key, stamp in reader.seen.items()
        if not key.startswith(here) or key.removeprefix(here) in stamps
    }
    writer.commit(is_complete=True, seen=seen)
    return reader.report


class _LayerReader:
    """Reads the files of one layer that may have changed."""

    def __init__(self, writer: IndexWriter, layer: str, root: Path) -> None:
        self._writer = writer
        self._layer = layer
        self._root = root
        self.known = writer.view.entries(layer)
        self.seen = dict(writer.view.manifest.seen)
        self.report = BuildReport()

    def is_known(self, path: str, stamp: Stamp) -> bool:
        """Say whether what the index has of a file is still right, by its stamp."""
        entry = self.known.get(path)
        is_indexed = entry is not None and (entry.size, entry.mtime_ns) == stamp
        return is_indexed or self.seen.get(f"{self._layer}/{path}") == stamp

    def read_all(
        self, changed: Mapping[str, Stamp], on_progress: Callable[[int, int], None]
    ) -> Iterator[FileContent]:
        """Yield the contents that are new, reporting progress."""
        of_bytes = sum(stamp.size for stamp in changed.values())
        n_bytes = 0
        for path, stamp in changed.items():
            content = self._read(path, stamp)
            n_bytes += stamp.size
            on_progress(n_bytes, of_bytes)
            if content is not None:
                yield content

    def _read(self, path: str, stamp: Stamp) -> FileContent | None:
        """Return the text of a file if it is new; None if it is not."""
        key = f"{self._layer}/{path}"
        now_ns = time.time_ns()
        self.report.n_read += 1
        self.seen.pop(key, None)
        try:
            data = read_regular(self._root / path, MAX_FILE_BYTES, inside=self._root)
        except UnreadableFileError:
            self._writer.drop([path], self._layer)
            self.report.left_out["unreadable"] += 1
            return None
        is_racy = len(data) != stamp.size or now_ns - stamp.mtime_ns < _RACY_NS
        stamp = Stamp(size=len(data), mtime_ns=_RACY if is_racy else stamp.mtime_ns)
        digest = _digest(data)
        entry = self.known.get(path)
        if entry is not None and entry.digest == digest:
            self.seen[key] = stamp
            return None
        before = self._text_before(path)
        self._writer.drop([path], self._layer)
        text = decode_source(data)
        if text is None:
            self.seen[key] = stamp
            self.report.left_out["no source text"] += 1
            return None
        self.report.n_added += 1
        clean = redact(text)[0]  # and without what may be a secret that is being typed and saved
        clean = without_open_secret(clean, edited_at(before, clean))
        new = SegmentEntry(path, stamp.size, stamp.mtime_ns, digest)
        return FileContent(new, encode_text(clean))

    def _text_before(self, path: str) -> str:
        """Return the text of a file as the index has it, "" if it has none."""
        for opened in self._writer.view.opened:
            if opened.ref.layer == self._layer and path in opened.files:
                return opened.segment.text_of(opened.files[path]).decode("utf-8", "replace")
        return ""


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def refresh_dependencies(root: Path, folder: Path, limits: BuildLimits, *, is_wanted: bool) -> None:
    """Bring the lower layer up to date, or take it away if it is not wanted (any more)."""
    with IndexWriter(folder, root=str(root)) as writer:
        stamps: dict[str, Stamp] = {}
        packages = find_site_packages(root) if is_wanted else None
        if packages is not None:
            stamps = select_dependencies(packages, count_imports(writer.view))
        elif not any(opened.ref.layer == LAYER for opened in writer.view.opened):
            return
        refresh_layer(writer, LAYER, packages or root, stamps, limits)


def find_site_packages(root: Path) -> Path | None:
    """Return where the project's environment has its packages, if it has one."""
    for name in _ENVIRONMENTS:
        environment = root / name
        if not (environment / "pyvenv.cfg").is_file():
            continue
        places = [environment / "Lib" / "site-packages"]
        places += sorted((environment / "lib").glob("python3*/site-packages"))
        for place in places:
            if place.is_dir() and not place.is_symlink():
                return place
    return None


def count_imports(view: IndexView) -> Counter[str]:
    """Return how many files of the repository import each top-level name."""
    names: Counter[str] = Counter()
    for opened in view.opened:
        if opened.ref.layer != LAYER:
            for path, number in opened.files.items():
                if path.endswith(_SUFFIXES):
                    found = set(_IMPORT.findall(opened.segment.text_of(number)))
                    names.update(name.decode() for name in found)
    return names


def select_dependencies(packages: Path, names: Counter[str]) -> dict[str, Stamp]:
    """Return the files of the imported packages that there is room for."""
    room = MAX_DEPENDENCY_BYTES
    stamps: dict[str, Stamp] = {}
    for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0])):
        for path in _files(packages, name):
            info = (packages / path).lstat()
            if info.st_size > MAX_FILE_BYTES:
                continue
            room -= info.st_size + 1
            if room < 0:
                return stamps
            stamps[path] = Stamp(size=info.st_size, mtime_ns=info.st_mtime_ns)
    return stamps


def _files(packages: Path, name: str) -> Iterator[str]:
    base = os.fspath(packages)
    for single in (f"{name}.py", f"{name}.pyi"):
        if _is_plain(packages / single):
            yield single
    for top in (f"{name}-stubs", name):
        for folder, folders, files in os.walk(packages / top):
            folders[:] = sorted(item for item in folders if item not in _LEFT_OUT)
            inside = folder[len(base) :].replace(os.sep, "/").strip("/")
            for file in sorted(files):
                if file.endswith(_SUFFIXES) and _is_plain(Path(folder, file)):
                    yield f"{inside}/{file}"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
