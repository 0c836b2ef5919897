"""The one way to call git: fixed overrides, a time limit, an output cap.

A repository is data from strangers. Its `.git/config` can name programs (fsmonitor, hooks, external
diff, textconv, gpg, pagers, ssh) that plain `git status` or `git diff` would run. So only commands
that read are allowed here, every such setting is overridden, and nothing is fetched. Works on bare
repositories too. Knows nothing of what the caller does with the answer.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

_Check = Callable[[], None]

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_BYTES = 64 << 20

# Commands that only read objects, refs and the index. `status` and work-tree `diff` are absent on
# purpose: they run the clean filters that a repository's configuration names, and nothing can
# switch those off.
READING_COMMANDS = frozenset(
    {
        "cat-file",
        "config",
        "diff-tree",
        "for-each-ref",
        "log",
        "ls-files",
        "ls-tree",
        "rev-list",
        "rev-parse",
        "show",
    }
)
_DIFFING_COMMANDS = frozenset({"diff-tree", "log", "show"})
_REFUSED_OPTIONS = (
    "--ext-diff",
    "--textconv",
    "--filters",
    "--show-signature",
    "--output",  # writes a file
    "--modified",  # compares with the work tree, through clean filters
    "--upload-pack",
    "--exec",
)
_OVERRIDES = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.pager=cat",
    "core.untrackedCache=false",
    "diff.external=",
    "diff.trustExitCode=false",
    "log.showSignature=false",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    "maintenance.auto=false",
)


class GitError(RuntimeError):
    """Git could not answer; the message is fit for a user."""


def git(
    repository: Path,
    *args: str,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> bytes:
    """Return what `git ARGS` prints for `repository` (a work tree or a bare git directory)."""
    with _running(repository, args, timeout_s=timeout_s) as (output, check):
        text = output.read(max_bytes + 1)
        if len(text) > max_bytes:
            raise GitError(f"git {args[0]} in {repository}: more than {max_bytes} bytes of output")
        check()
    return text


def read_blobs(
    repository: Path,
    objects: Iterable[str],
    *,
    max_blob_bytes: int,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Iterator[bytes | None]:
    """Yield each object's content, in order; None for one that is missing, no blob, or too large.

    One `cat-file --batch` process serves them all, and one blob at a time is in memory.
    """
    names = list(objects)
    if bad := [name for name in names if not name or any(char.isspace() for char in name)]:
        raise GitError(f"not an object name: {bad[0]!r}")
    request = "".join(f"{name}\n" for name in names).encode()
    args = ("cat-file", "--batch", "--buffer")
    with _running(repository, args, timeout_s=timeout_s, request=request) as (output, check):
        for _ in names:
            yield _read_blob(output, max_blob_bytes, check)
        check()


def git_directory(path: Path) -> Path | None:
    """Return the git directory of a work tree or bare repository; None if `path` is neither."""
    if (path / ".git").exists():
        return path / ".git"
    if (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir():
        return path
    return None


def _read_blob(output: IO[bytes], max_blob_bytes: int, check: _Check) -> bytes | None:
    line = output.readline(4096)
    if not line:
        check()
        raise GitError("git cat-file ended before its last object")
    fields = line.split()
    if fields[-1] == b"missing" or len(fields) != 3:
        return None
    kind, size = fields[1], int(fields[2])
    if kind != b"blob" or size > max_blob_bytes:
        left = size + 1  # the newline after the content
        while left > 0 and (skipped := output.read(min(left, 1 << 20))):
            left -= len(skipped)
        return None
    content = output.read(size)
    if len(content) != size or output.read(1) != b"\n":
        check()
        raise GitError("git cat-file ended in the middle of an object")
    return content


@contextlib.contextmanager
def _running(
    repository: Path, args: tuple[str, ...], *, timeout_s: float, request: bytes = b""
) -> Iterator[tuple[IO[bytes], _Check]]:
    """Start git; kill it when the block ends or the time is over.

    Yields its output, and what raises GitError if it timed out or failed, once that has ended.
    """
    command = _command(repository, args)
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(request)  # a file, not a pipe: no side can wait for the other
        stdin.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - argv list, fixed overrides, reading commands only
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=_environment()
            )
        except OSError as error:
            raise GitError(f"cannot run git: {error.strerror or error}") from error
        assert process.stdout is not None
        has_timed_out = threading.Event()

        def give_up() -> None:
            has_timed_out.set()
            process.kill()

        def check() -> None:
            status, what = process.wait(), f"git {args[0]} in {repository}"
            if has_timed_out.is_set():
                raise GitError(f"{what}: no answer within {timeout_s:g} s")
            if status != 0:
                stderr.seek(0)
                said = stderr.read(4096).decode("utf-8", "replace").strip()
                raise GitError(f"{what}: {(said or f'exit status {status}').splitlines()[-1]}")

        timer = threading.Timer(timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield process.stdout, check
        finally:
            timer.cancel()
            process.kill()
            process.stdout.close()
            process.wait()


def _command(repository: Path, args: tuple[str, ...]) -> list[str]:
    if not args or args[0] not in READING_COMMANDS:
        known = ", ".join(sorted(READING_COMMANDS))
        raise GitError(
            f"git {args[0] if args else ''!r} is not one of the reading commands: {known}"
        )
    for arg in args[1:]:
        if arg == "--":
            break
        if arg.startswith(_REFUSED_OPTIONS) or (args[0] == "ls-files" and arg == "-m"):
            raise GitError(f"git {args[0]} {arg} is refused: it can run programs or write files")
    if args[0] == "config" and "--get" not in args[1:2]:
        raise GitError("git config is allowed only as `config --get NAME`")
    directory = git_directory(repository)
    if directory is None:
        raise GitError(f"{repository} is not a git repository")
    where = repository.absolute()
    # Owned by another user is no risk here: nothing that the repository configures is run.
    settings = [
        *_OVERRIDES,
        f"safe.directory={where}",
        f"safe.directory={directory.absolute()}",
        "safe.bareRepository=all",
    ]
    options = [part for setting in settings for part in ("-c", setting)]
    guards = ("--no-ext-diff", "--no-textconv") if args[0] in _DIFFING_COMMANDS else ()
    location = [f"--git-dir={where}"] if directory == repository else ["-C", str(where)]
    return [
        "git",
        "--no-pager",
        "--no-optional-locks",
        "--literal-pathspecs",
        *options,
        *location,
        args[0],
        *guards,
        *args[1:],
    ]


def _environment() -> dict[str, str]:
    """Return an environment in which only our overrides decide what git does."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_"))
    }
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",  # a missing object of a partial clone must not start a transport
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
    }
