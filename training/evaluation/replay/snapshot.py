"""The tree before a commit: what an index may know while the commit is being typed.

Code files of the parent commit, secret ones left out; files that do not change are read once for
all commits. Says of a line whether it can be copied from the tree, and of a file whether the tree
holds one like it. Knows no task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.git import git, read_blobs
from assistant.privacy.exclusion import is_excluded
from assistant.source.languages import language_of
from training.data.filters import text_of
from training.data.word_runs import WordRunHasher, words_of

MAX_FILE_BYTES = 1_000_000
NEAR_DUPLICATE = 0.8  # Jaccard similarity of runs of five words
_SHINGLE_WORDS = 5
_READ_TIMEOUT_S = 600.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
    """The code of a commit's parent; many tasks share one, so one index serves them all."""

    commit: str  # the commit that is replayed
    parent: str  # the commit whose tree this is
    files: tuple[tuple[str, str], ...]  # (path, text) by path, LF only

    def without(self, path: str) -> list[tuple[str, str]]:
        """Return all files but one."""
        return [(name, text) for name, text in self.files if name != path]


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
            text = None if content is None else text_of(content)
            if (
                text is not None
                and content is not None
                and text.count("\n") != content.count(b"\n")
            ):
                text = None  # lone carriage returns: git's line numbers would not be ours
            self._texts[name] = text
        return {name: self._texts[name] for name in wanted}


def read_snapshots(
    repository: Path, commits: Mapping[str, str], blobs: BlobTexts
) -> dict[str, Snapshot]:
    """Return the snapshot of each commit; `commits` maps it to its parent."""
    listings = {commit: _code_files(repository, parent) for commit, parent in commits.items()}
    texts = blobs.read(name for listing in listings.values() for name in listing.values())
    snapshots = {}
    for commit, listing in listings.items():
        files = ((path, texts[name]) for path, name in sorted(listing.items()))
        snapshots[commit] = Snapshot(
            commit=commit,
            parent=commits[commit],
            files=tuple((path, text) for path, text in files if text),
        )
    return snapshots


def is_code(path: str) -> bool:
    """Say whether a file is of a known language and none that is kept secret."""
    return language_of(path) is not None and not is_excluded(path) and path.isprintable()


def _code_files(repository: Path, commit: str) -> dict[str, str]:
    """Return path -> object of the code files of a commit."""
    files = {}
    for record in git(repository, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        head, _, name = record.partition(b"\t")
        path = name.decode("utf-8", "replace")
        if head.startswith((b"100644", b"100755")) and is_code(path):
            files[path] = head.split()[2].decode()
    return files


class SeenLines:
    """Where each of some lines stands verbatim, white space around it aside."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._wanted = frozenset(line.strip() for line in wanted)
        self._of_text: dict[int, frozenset[str]] = {}  # by id(): the snapshots keep the texts

    def holds(self, line: str, snapshot: Snapshot, *, but: str) -> bool:
        """Say whether a file of the snapshot other than `but` has the line."""
        return any(
            line.strip() in self._lines(text) for path, text in snapshot.files if path != but
        )

    def _lines(self, text: str) -> frozenset[str]:
        found = self._of_text.get(id(text))
        if found is None:
            found = self._wanted.intersection(line.strip() for line in text.split("\n"))
            self._of_text[id(text)] = found
        return found


class NearFiles:
    """Says whether a text is nearly a file of a snapshot."""

    def __init__(self) -> None:
        self._hasher = WordRunHasher(_SHINGLE_WORDS)
        self._of_text: dict[int, NDArray[np.uint64]] = {}

    def holds(self, text: str, snapshot: Snapshot, *, but: str) -> bool:
        """Say whether a file of the snapshot other than `but` shares most of its runs of words."""
        runs = np.unique(self._hasher.hashes(words_of(text)))
        if not len(runs):
            return False
        others = (other for path, other in snapshot.files if path != but)
        return any(_jaccard(runs, self._runs(other)) >= NEAR_DUPLICATE for other in others)

    def _runs(self, text: str) -> NDArray[np.uint64]:
        runs = self._of_text.get(id(text))
        if runs is None:
            runs = self._of_text[id(text)] = np.unique(self._hasher.hashes(words_of(text)))
        return runs


def _jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """Return the similarity of two sorted sets; 0 at once if their sizes alone rule it out."""
    if min(len(left), len(right)) < NEAR_DUPLICATE * max(len(left), len(right)):
        return 0.0
    n_common = len(np.intersect1d(left, right, assume_unique=True))
    return n_common / (len(left) + len(right) - n_common)


def lines_of(text: str) -> Sequence[str]:
    """Split at LF only, as git counts lines; the last one is empty if the text ends with LF."""
    return text.split("\n")
