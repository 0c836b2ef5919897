"""Which files of a folder belong to the user's repository, by git or by looking.

With git: tracked files and untracked ones that are not ignored, in submodules and repositories
inside too. Without, or where git ignores the whole folder: a walk that leaves out hidden, installed
and built folders, and what `.gitignore` files name. Nothing of the folder's is run.
"""

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from assistant.git import GitError, decode_name, find_work_tree, git, has_git
from assistant.index.manifest import Stamp
from assistant.path_patterns import ignore_spec
from model.files import UnreadableFileError, read_regular

MAX_FILES = 200_000
_MAX_DEPTH = 8  # of repositories inside repositories
_MAX_IGNORE_BYTES = 1 << 20
_LEFT_OUT_FOLDERS = frozenset(
    "node_modules bower_components site-packages dist-packages __pycache__ __pypackages__ venv env"
    " virtualenv build dist target out bin obj vendor third_party third-party bazel-out htmlcov"
    " coverage eggs wheels".split()
)


def list_files(root: Path) -> dict[str, Stamp]:
    """Return the regular files that belong to `root`, relative with forward slashes.

    Links are left out: what they lead to may be anywhere. GitError if there is a git that cannot
    tell what it ignores.
    """
    return dict(itertools.islice(_look_at(root, _names(root)), MAX_FILES))


def _look_at(root: Path, names: Iterable[str], depth: int = 0) -> Iterator[tuple[str, Stamp]]:
    base = os.fspath(root)
    for path in names:
        try:
            info = os.lstat(f"{base}/{path}")  # pathlib takes four times as long
        except (OSError, ValueError):  # deleted, but still in git's index
            continue
        if stat.S_ISREG(info.st_mode):
            yield path, Stamp(size=info.st_size, mtime_ns=info.st_mtime_ns)
        elif stat.S_ISDIR(info.st_mode) and depth < _MAX_DEPTH and (root / path / ".git").exists():
            place = root / path  # a submodule, or a repository of its own
            with contextlib.suppress(GitError):
                for inner, stamp in _look_at(place, _ask_git(place, place), depth + 1):
                    yield f"{path.rstrip('/')}/{inner}", stamp


def _names(root: Path) -> Iterator[str]:
    top = find_work_tree(root)
    if top is None:
        return iter(()) if is_too_wide(root) else _walk(root)
    if not has_git():
        return _walk(root)
    return _ask_git(top, root)


def is_too_wide(root: Path) -> bool:
    """Say whether a folder without git is no project but somebody's home or a whole disk."""
    real = root.resolve()
    return real == real.parent or Path.home().resolve().is_relative_to(real)


def _ask_git(top: Path, root: Path) -> Iterator[str]:
    inside = root.relative_to(top).as_posix()
    only = [] if inside == "." else ["--", inside]
    prefix = "" if inside == "." else inside + "/"
    listing = git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *only)
    names = dict.fromkeys(decode_name(name) for name in listing.split(b"\0") if name)
    if prefix and not names and _is_ignored(top, inside):
        return _walk(root)
    return (name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _is_ignored(top: Path, inside: str) -> bool:
    """Say whether a folder is itself ignored, as all below a home kept in git may be."""
    ignored = ("--others", "--ignored", "--exclude-standard", "--directory")
    found = git(top, "ls-files", "-z", *ignored, "--", inside).split(b"\0")
    return any(os.fsencode(f"{inside}/").startswith(name) for name in found if name)


def _walk(root: Path) -> Iterator[str]:
    """Yield files that no `.gitignore` between `root` and them ignores."""
    base = os.fspath(root)
    specs: dict[str, GitIgnoreSpec] = {}  # by folder
    for folder, folders, files in os.walk(base):
        inside = folder[len(base) :].replace(os.sep, "/").strip("/")
        prefix = f"{inside}/" if inside else ""
        if ".gitignore" in files and (spec := _read_ignore_file(Path(folder, ".gitignore"))):
            specs[prefix] = spec
        folders[:] = sorted(
            name
            for name in folders
            if _is_own(name) and not (specs and _is_left_out(f"{prefix}{name}/", specs))
        )
        for name in sorted(files):
            if not (specs and _is_left_out(prefix + name, specs)):
                yield prefix + name


def _read_ignore_file(path: Path) -> GitIgnoreSpec | None:
    try:
        lines = read_regular(path, _MAX_IGNORE_BYTES, allow_links=False).decode().splitlines()
        return ignore_spec(lines)
    except (UnreadableFileError, UnicodeDecodeError):
        return None


def _is_left_out(path: str, specs: dict[str, GitIgnoreSpec]) -> bool:
    """Say what the nearest ignore file with a word on `path` says."""
    near = [prefix for prefix in specs if path.startswith(prefix)]
    for prefix in sorted(near, key=len, reverse=True):
        found = specs[prefix].check_file(path.removeprefix(prefix)).include
        if found is not None:
            return found
    return False


def _is_own(folder_name: str) -> bool:
    return not (
        folder_name.startswith(".")
        or folder_name.casefold() in _LEFT_OUT_FOLDERS
        or folder_name.endswith((".egg-info", ".dist-info"))
    )
