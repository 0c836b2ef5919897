"""A repository's later commits: the tree before each, and what it changed as hunks of line numbers.

Works on bare repositories and on work trees; only the history is read, never a file of the work
tree. Of a tree an index may know the code files, secret ones left out; files that do not change are
read once for all commits. Knows no task.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from assistant.git import GitError, git, git_directory, read_blobs
from assistant.privacy.exclusion import is_excluded
from assistant.source.languages import LANGUAGES, language_of
from training.data.filters import text_of
from training.data.sources import git_entries

CODE = f"code (of {', '.join(LANGUAGES)})"  # as a message says it
LATER_FRAC = 0.2  # of the first-parent history: what is replayed unless a range is given
MIN_LATER = 10  # commits, where a short history has as many
_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_FILE = b"\ndiff --git "
_DIFF = (
    "-r", "-z", "-M", "--raw", "-p", "-U0", "--inter-hunk-context=0", "--full-index",
    "--diff-algorithm=histogram", "--indent-heuristic", "--no-color",
)  # fmt: skip
MAX_FILE_BYTES = 1_000_000
_READ_TIMEOUT_S = 600.0


class ReplayError(ValueError):
    """A repository cannot be replayed; the message says why and how to mend it."""


class Commit(NamedTuple):
    """A commit and the one that it is compared with."""

    id: str
    parent: str  # the first one: a merge is judged by all that it brought


class Hunk(NamedTuple):
    """Lines [old_start, old_end) of the parent's file gave way to [new_start, new_end)."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


class FileChange(NamedTuple):
    """One file that a commit changed."""

    status: str  # "A" added, "M" modified, "D" deleted, "R" renamed, "T" of another type
    path: str  # after the commit
    old_object: str  # zeros for an added file
    new_object: str  # zeros for a deleted one
    is_text: bool  # regular files on both sides, as far as there are two
    hunks: tuple[Hunk, ...]


def later_commits(repository: Path, revisions: str | None = None) -> list[Commit]:
    """Return the commits to replay, oldest first: of a range such as `v1.0..`, or the later ones.

    First parents only. ReplayError if there are none.
    """
    _require_history(repository)
    if revisions is not None and (revisions.startswith("-") or not revisions.strip()):
        raise ReplayError(f"{revisions!r} is not a range of commits, such as v1.0..HEAD")
    try:
        options = ("--first-parent", "--parents", revisions or "HEAD", "--")
        listed = git(repository, "rev-list", *options).decode()
    except GitError as error:
        if revisions is not None:
            raise ReplayError(f"{revisions} names no commits of {repository}: {error}") from error
        raise ReplayError(f"{repository} has no commits yet: there is nothing to replay") from error
    rows = [line.split() for line in listed.splitlines()]
    commits = [Commit(id=row[0], parent=row[1]) for row in rows if len(row) > 1]
    if not commits:
        where = repository if revisions is None else f"{revisions} of {repository}"
        raise ReplayError(f"{where} has no history: no commit there has a parent")
    if revisions is None:
        n_later = max(math.ceil(LATER_FRAC * len(commits)), MIN_LATER)
        commits = commits[:n_later]
    return commits[::-1]


def _require_history(repository: Path) -> None:
    if not repository.is_dir() or git_directory(repository) is None:
        raise ReplayError(f"{repository} is not a git repository (give the folder that holds .git)")
    try:
        is_shallow = git(repository, "rev-parse", "--is-shallow-repository").strip() == b"true"
    except GitError as error:
        raise ReplayError(str(error)) from error
    if is_shallow:
        raise ReplayError(
            f"{repository} is a shallow clone, its history is cut off;"
            " complete it with: git fetch --unshallow"
        )


def changes(repository: Path, commit: Commit) -> list[FileChange]:
    """Return what a commit changed, by path; GitError if a part of it is not there."""
    output = git(repository, "diff-tree", *_DIFF, commit.parent, commit.id)
    raw, _, patch = output.partition(b"\0\0")
    patches, found = _hunks(patch), []
    for change in _raw_changes(raw):
        hunks = next(patches, None)
        if change.status == "T":  # shown as one file that goes and one that comes
            hunks = None if next(patches, None) is None else []
        if hunks is None:
            raise GitError("git diff-tree: a changed file has no patch")
        found.append(change._replace(hunks=tuple(hunks)))
    if next(patches, None) is not None:
        raise GitError("git diff-tree: a patch belongs to no changed file")
    return found


def _raw_changes(raw: bytes) -> Iterator[FileChange]:
    """Parse `:MODE MODE OBJECT OBJECT STATUS NUL PATH [NUL NEW PATH]` records."""
    fields = iter(raw.split(b"\0") if raw else ())
    for head in fields:
        old_mode, new_mode, old_object, new_object, status = head.lstrip(b":").split()
        path = next(fields)
        if status[:1] in b"RC":
            path = next(fields)
        modes = {old_mode, new_mode} - {b"000000"}
        yield FileChange(
            status=status[:1].decode(),
            path=path.decode("utf-8", "replace"),
            old_object=old_object.decode(),
            new_object=new_object.decode(),
            is_text=modes <= {b"100644", b"100755"},
            hunks=(),
        )


def _hunks(patch: bytes) -> Iterator[list[Hunk]]:
    """Yield the hunks of each file; lines of content begin with + - or a backslash."""
    for part in (b"\n" + patch).split(_FILE)[1:]:
        hunks = []
        for match in _HUNK.finditer(part):
            old, n_old, new, n_new = (int(group or 1) for group in match.groups())
            # An empty side is named by the line before it.
            old_start, new_start = old - (n_old > 0), new - (n_new > 0)
            hunks.append(Hunk(old_start, old_start + n_old, new_start, new_start + n_new))
        yield hunks


class Snapshot(NamedTuple):
    """The code of a commit's parent; many tasks share one, so one index serves them all."""

    commit: str  # the commit that is replayed, on the tree of its parent
    files: tuple[tuple[str, str], ...]  # (path, text) by path, LF only


class BlobTexts:
    """Texts of blobs, each read and decoded once; None for what is no clean text or too large."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._texts: dict[str, str | None] = {}

    def read(self, objects: Iterable[str]) -> dict[str, str | None]:
        """Return the texts of these objects."""
        wanted = list(dict.fromkeys(objects))
        missing = [name for name in wanted if name not in self._texts]
        contents = read_blobs(
            self._repository, missing, max_blob_bytes=MAX_FILE_BYTES, timeout_s=_READ_TIMEOUT_S
        )
        for name, content in zip(missing, contents, strict=True):
            text = text_of(content or b"")
            if text is None or content is None or text.count("\n") != content.count(b"\n"):
                text = None  # lone carriage returns, too: git's line numbers would not be ours
            self._texts[name] = text
        return {name: self._texts[name] for name in wanted}


def read_snapshots(
    repository: Path, commits: Mapping[str, str], blobs: BlobTexts
) -> dict[str, Snapshot]:
    """Return the snapshot of each commit; `commits` maps it to its parent."""
    listings = {
        commit: {
            entry.path: entry.object_id
            for entry in git_entries(repository, parent)
            if is_code(entry.path)
        }
        for commit, parent in commits.items()
    }
    texts = blobs.read(name for listing in listings.values() for name in listing.values())
    snapshots = {}
    for commit, listing in listings.items():
        files = ((path, texts[name]) for path, name in sorted(listing.items()))
        snapshots[commit] = Snapshot(
            commit=commit, files=tuple((path, text) for path, text in files if text)
        )
    return snapshots


def is_code(path: str) -> bool:
    """Say whether a file is of a known language and none that is kept secret."""
    return language_of(path) is not None and not is_excluded(path) and path.isprintable()
