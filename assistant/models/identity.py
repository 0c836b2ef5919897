"""Which repository a file belongs to, by an id that outlives moves and is shared by worktrees.

Runs git once for each question: callers keep the answer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from assistant.git import GitError, git, git_directory
from assistant.models.entry import ModelsError

_TIMEOUT_S = 120.0  # a history of a million commits is read to its beginning


def repository_id(root: Path) -> str:
    """Return the id of the repository with the work tree `root`; ModelsError if it has none.

    A hash of the first commit, following first parents: the same in each clone, worktree and
    branch, and after another history has been merged in. A shallow clone does not know it.
    """
    try:
        if git(root, "rev-parse", "--is-shallow-repository").strip() == b"true":
            raise ModelsError(
                f"{root} is a shallow clone, so its first commit is not known;"
                " run `git fetch --unshallow` there"
            )
        line = git(
            root, "rev-list", "--first-parent", "--max-parents=0", "HEAD", timeout_s=_TIMEOUT_S
        )
    except GitError as error:
        raise ModelsError(f"{root} has no git history to tell it by: {error}") from error
    return hashlib.sha256(b"foretype repository\0" + line.split()[0]).hexdigest()[:32]


def repository_root(place: Path) -> Path | None:
    """Return the work tree that a file or folder is in; it need not exist itself. Asks no git."""
    try:
        real = place.resolve()
    except OSError:
        return None
    return next((path for path in (real, *real.parents) if git_directory(path) is not None), None)
