"""The lower layer: packages that the repository imports, as installed in its own environment.

The environment is found by how a folder looks; nothing in it is run. Only what is imported is
taken, the most imported first, up to a size of its own.
"""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from assistant.index.builder import BuildLimits, refresh_layer
from assistant.index.file_filter import MAX_FILE_BYTES
from assistant.index.manifest import Stamp
from assistant.index.reader import IndexView
from assistant.index.writer import IndexWriter

MAX_TEXT_BYTES = 16 << 20
LAYER = "deps"
_ENVIRONMENTS = (".venv", "venv", ".env", "env")
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_SUFFIXES = (".py", ".pyi")
_LEFT_OUT = frozenset({"test", "tests", "__pycache__", "_vendor", "vendored"})


def refresh_dependencies(root: Path, folder: Path, limits: BuildLimits, *, is_wanted: bool) -> None:
    """Bring the lower layer up to date, or take it away if it is not wanted (any more)."""
    with IndexWriter(folder, root=str(root)) as writer:
        stamps: dict[str, Stamp] = {}
        packages = find_site_packages(root) if is_wanted else None
        if packages is not None:
            stamps = select_files(packages, count_imports(writer.view))
        elif not any(opened.ref.layer == LAYER for opened in writer.view.opened):
            return
        own = dataclasses.replace(limits, exclude=())
        refresh_layer(writer, LAYER, packages or root, stamps, own)
        writer.merge()


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


def select_files(packages: Path, names: Counter[str]) -> dict[str, Stamp]:
    """Return the files of the imported packages that there is room for."""
    room = MAX_TEXT_BYTES
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
