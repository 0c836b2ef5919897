"""Where source files come from: git repositories (work tree or bare) and folders.

A source has a name (owner/name), a commit where there is one, and entries that are listed without
being read. Knows no licence, no filter and no corpus.
"""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from assistant.git import GitError, git, git_directory, read_blobs
from model.files import UnreadableFileError, from_root, read_regular
from training.errors import TrainingError
from training.recipe import expand

_BLOB_MODES = (b"100644", b"100755")  # no symbolic links, no submodules
_VERSION = re.compile(r"-v?\d+(\.\w+)*$")  # of an unpacked archive's folder
_REMOTE = re.compile(r"[/:]([^/:]+)/([^/:]+?)(?:\.git)?/?$")


class SourceEntry(NamedTuple):
    """One file of a source, not yet read."""

    path: str  # within the source, with /
    n_bytes: int
    object_id: str = ""  # of the git blob; empty in a folder


class Source(NamedTuple):
    """A repository or folder that files can be read from."""

    name: str  # owner/name, or a bare name
    root: Path
    commit: str = ""  # none of a folder that is no repository

    def entries(self) -> list[SourceEntry]:
        """Return all regular files, by path."""
        if self.commit:
            listed = git_entries(self.root, self.commit)
        else:
            listed = _folder_entries(self.root)
        return sorted(listed, key=lambda entry: entry.path)

    def read(self, entries: Sequence[SourceEntry], *, max_bytes: int) -> Iterator[bytes | None]:
        """Yield the contents of `entries` in their order; None where there is none to read."""
        if self.commit:
            names = [entry.object_id for entry in entries]
            yield from read_blobs(self.root, names, max_blob_bytes=max_bytes, timeout_s=600)
        else:
            for entry in entries:
                try:
                    yield read_regular(self.root / entry.path, max_bytes, inside=self.root)
                except UnreadableFileError:
                    yield None


def find_sources(specs: Sequence[str]) -> list[Source]:
    """Open the sources that `GLOB` or `owner/name=GLOB` specs name, sorted by name."""
    found: dict[str, Source] = {}
    for spec in specs:
        name, _, pattern = spec.rpartition("=")
        for path in expand((pattern,), "sources"):
            if path.is_dir():
                source = open_source(path, name)
                known = found.setdefault(source.name, source)
                if known.root != source.root:
                    raise TrainingError(
                        f"{known.root} and {source.root} are both {source.name};"
                        " name them with NAME=PATH"
                    )
    return [found[name] for name in sorted(found)]


def open_source(path: Path, name: str = "") -> Source:
    """Open one repository or folder; the name is found if not given."""
    path = from_root(path)
    if not path.is_dir():
        raise TrainingError(f"{path} is not a folder")
    if git_directory(path) is None:
        return Source(name=name or _name_of_folder(path), root=path)
    try:
        commit = git(path, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    except GitError as error:
        raise TrainingError(f"{path} has no commit to read: {error}") from error
    return Source(name=name or _name_of_repository(path), root=path, commit=commit)


def normalise(name: str) -> str:
    """Return the name as package indexes compare them: lower case, runs of - _ . as one -."""
    return re.sub(r"[-_.]+", "-", name.strip().lower())


def names_to_check(name: str) -> list[str]:
    """Return the normalised forms in which a list may name this source.

    >>> names_to_check("Some.Owner/my_lib-1.2")
    ['some-owner/my-lib-1-2', 'my-lib-1-2', 'some-owner/*', 'some-owner/my-lib', 'my-lib']
    """
    owner, _, bare = name.rpartition("/")
    forms: list[str] = []
    for candidate in (bare, _VERSION.sub("", bare)):
        forms += [f"{owner}/{candidate}", candidate, f"{owner}/*"] if owner else [candidate]
    return list(dict.fromkeys(normalise(form) for form in forms))


def name_hash(normalised: str) -> str:
    """Return the SHA-256 under which a never-train list keeps a normalised name."""
    return hashlib.sha256(normalised.encode()).hexdigest()


def _name_of_folder(path: Path) -> str:
    folder = path.parent.name if path.name in {"repo", "repo.git", ".git"} else path.name
    return folder.removesuffix(".git").replace("+", "/", 1)


def _name_of_repository(path: Path) -> str:
    folder = _name_of_folder(path)
    if "/" in folder:
        return folder
    try:
        url = git(path, "config", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
    except GitError:  # no such remote
        return folder
    match = _REMOTE.search(url)
    is_remote = "://" in url or "@" in url  # a local path says nothing of an owner
    return f"{match[1]}/{match[2]}" if match and is_remote else folder


def git_entries(root: Path, commit: str) -> Iterator[SourceEntry]:
    """Yield the regular files of a commit's tree."""
    for line in git(root, "ls-tree", "-r", "-l", "-z", "--full-tree", commit).split(b"\0"):
        if not line:
            continue
        fields, _, path = line.partition(b"\t")
        mode, _, object_id, size = fields.split()
        if mode in _BLOB_MODES and size.isdigit():  # "BAD": a snapshot without its large blobs
            name = path.decode("utf-8", "surrogateescape")
            if name.isprintable():  # else we could neither show it nor train on it
                yield SourceEntry(path=name, n_bytes=int(size), object_id=object_id.decode())


def _folder_entries(root: Path) -> Iterator[SourceEntry]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            relative = path.relative_to(root).as_posix()
            if stat.S_ISREG(status.st_mode) and relative.isprintable():
                yield SourceEntry(path=relative, n_bytes=status.st_size)


def refuse_namesakes(names: Iterable[str]) -> None:
    """Raise TrainingError where two repositories of a report have one name: they would be one."""
    for name, n in Counter(names).items():
        if n > 1:
            raise TrainingError(f"{n} of the repositories are called {name}; ask about one of them")
