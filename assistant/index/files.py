"""Which files of a folder belong to the user's repository, by git or by looking.

With git: tracked files and untracked ones that are not ignored. Without: a walk that leaves out
hidden, installed and built folders. Names only; no file is opened here, and nothing of the folder's
is run.
"""

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from assistant.git import GitError, git
from assistant.index.manifest import Stamp

MAX_FILES = 200_000
_LEFT_OUT_FOLDERS = frozenset(
    "node_modules bower_components site-packages dist-packages __pycache__ __pypackages__ venv env"
    " virtualenv build dist target out bin obj vendor third_party third-party bazel-out htmlcov"
    " coverage eggs wheels".split()
)


def stamps_of(root: Path) -> dict[str, Stamp]:
    """Return the regular files that belong to `root`, relative with forward slashes.

    Links are left out: what they lead to may be anywhere.
    """
    found: dict[str, Stamp] = {}
    base = os.fspath(root)
    for path in itertools.islice(_names(root), MAX_FILES):
        try:
            info = os.lstat(f"{base}/{path}")  # pathlib takes four times as long
        except (OSError, ValueError):  # deleted, but still in git's index
            continue
        if stat.S_ISREG(info.st_mode):
            found[path] = Stamp(size=info.st_size, mtime_ns=info.st_mtime_ns)
    return found


def _names(root: Path) -> Iterator[str]:
    top = _git_top(root)
    if top is None:
        return iter(()) if is_too_wide(root) else _walked(root)
    try:
        return iter(_from_git(top, root))
    except GitError:  # no git on this machine, or a repository that it refuses
        return _walked(root)


def is_too_wide(root: Path) -> bool:
    """Say whether a folder without git is no project but somebody's home or a whole disk."""
    real = root.resolve()
    return real == real.parent or Path.home().resolve().is_relative_to(real)


def _git_top(root: Path) -> Path | None:
    """Return the work tree that `root` is in."""
    return next((path for path in (root, *root.parents) if (path / ".git").exists()), None)


def _from_git(top: Path, root: Path) -> list[str]:
    inside = root.relative_to(top).as_posix()
    only = [] if inside == "." else ["--", inside]
    listing = git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *only)
    names = dict.fromkeys(os.fsdecode(name) for name in listing.split(b"\0") if name)
    prefix = "" if inside == "." else inside + "/"
    return [name[len(prefix) :] for name in names if name.startswith(prefix)]


def _walked(root: Path) -> Iterator[str]:
    base = os.fspath(root)
    for folder, folders, files in os.walk(base):
        folders[:] = sorted(name for name in folders if _is_own(name))
        inside = folder[len(base) :].replace(os.sep, "/").strip("/")
        for name in sorted(files):
            yield f"{inside}/{name}" if inside else name


def _is_own(folder_name: str) -> bool:
    return not (
        folder_name.startswith(".")
        or folder_name.casefold() in _LEFT_OUT_FOLDERS
        or folder_name.endswith((".egg-info", ".dist-info"))
    )
