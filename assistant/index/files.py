"""Which files of a folder belong to the user's repository, and which of them are worth an index.

With git: tracked files and untracked ones that are not ignored, in submodules and repositories
inside too. Without, or where git ignores the whole folder: a walk that leaves out hidden, installed
and built folders, and what `.gitignore` files name. Nothing of the folder's is run. Worth an index
is source that somebody writes: by the name first, then by the bytes.
"""

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from assistant.git import GitError, decode_name, find_work_tree, git, has_git
from assistant.index.reader import Stamp
from assistant.path_patterns import ignore_spec
from assistant.source.languages import is_other_code, language_of
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
    real, home = Path(os.path.realpath(root)), Path(os.path.realpath(Path.home()))
    return real == real.parent or home.is_relative_to(real)


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


MAX_FILE_BYTES = 1 << 19
MAX_DATA_BYTES = 1 << 16  # of configuration and prose, which is seldom typed twice

_DATA = frozenset(".md .rst .toml .yaml .yml .cfg .ini .json .jsonc .xml .txt .tex".split())
_LOCKS = re.compile(r"(?i)(?:^|/)(?:package-lock\.json|[^/]*\.lock|[^/]*-lock\.ya?ml|go\.sum)$")
_BUILT = re.compile(
    r"(?i)[.-](?:min|bundle|chunk|generated|pb|g)\.[a-z]{1,4}$|_pb2(?:_grpc)?\.pyi?$"
)

_HEAD_BYTES = 8192
_MARK_BYTES = 2048
_GENERATED = re.compile(
    rb"(?i)@generated|code generated by|(?:auto-?|automatically )generated"
    rb"|generated[^\n]{0,80}do not (?:edit|modify)|do not edit[^\n]{0,40}generated"
)
_MAX_LINE_BYTES = 2000  # of the longest line; longer ones are data
_MAX_MEAN_LINE_BYTES = 160
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def rank(path: str) -> int | None:
    """Return how useful a file is by its name, 0 the most; None if it is not to be read."""
    if _LOCKS.search(path) or _BUILT.search(path):
        return None
    if language_of(path, "") is not None:
        return 0
    if is_other_code(path):
        return 1
    return 2 if PurePosixPath(path).suffix.lower() in _DATA else None


def max_bytes(file_rank: int) -> int:
    """Return the size up to which a file of this rank is read."""
    return MAX_DATA_BYTES if file_rank == 2 else MAX_FILE_BYTES


def decode_source(data: bytes) -> str | None:
    """Return the text of a file that a person wrote; None for anything else."""
    head = data[:_HEAD_BYTES]
    if b"\0" in data or len(head.translate(None, _CONTROL)) < len(head):
        return None
    lines = data.split(b"\n")
    is_odd = max(map(len, lines)) > _MAX_LINE_BYTES or len(data) > _MAX_MEAN_LINE_BYTES * len(lines)
    if is_odd or _GENERATED.search(data, 0, _MARK_BYTES):
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # old sources; what is ASCII in them is right
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
