"""The tree before a commit: what an index may know while the commit is being typed.

Code files of the parent commit, secret ones left out; files that do not change are read once for
all commits. Knows no task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from assistant.git import read_blobs
from assistant.privacy.exclusion import is_excluded
from assistant.source.languages import language_of
from training.data.filters import text_of
from training.data.sources import git_entries

MAX_FILE_BYTES = 1_000_000
_READ_TIMEOUT_S = 600.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
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
            commit=commit,
            files=tuple((path, text) for path, text in files if text),
        )
    return snapshots


def is_code(path: str) -> bool:
    """Say whether a file is of a known language and none that is kept secret."""
    return language_of(path) is not None and not is_excluded(path) and path.isprintable()
