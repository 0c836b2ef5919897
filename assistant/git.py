"""The one way to call git: fixed overrides, a time limit, an output cap.

A repository is data from strangers. Its `.git/config` can name programs (fsmonitor, hooks, external
diff, textconv, gpg, pagers, ssh) that plain `git status` or `git diff` would run. So only commands
that read are allowed here, every such setting is overridden, and nothing is fetched. Of the user's
own configuration one value counts, the ignore file that it names. Works on bare repositories too.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from model.files import UnreadableFileError, read_regular

_Check = Callable[[], None]

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_BYTES = 64 << 20
_QUESTION_S = 5.0  # for one value of the configuration
_MAX_NAME_BYTES = 4096
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows opens one for each program
# Without Apple's tools, their git only opens a window that offers to install them.
_APPLES: str | None = "/usr/bin/git" if sys.platform == "darwin" else None
_HAS_TOOLS = ("/usr/bin/xcode-select", "--print-path")

# Commands that only read objects, refs and the index. `status` and work-tree `diff` are absent on
# purpose: they run the clean filters that a repository's configuration names, and nothing can
# switch those off.
READING_COMMANDS = frozenset(
    "cat-file config diff-tree for-each-ref log ls-files ls-tree rev-list rev-parse show".split()
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

_GUARDS = {
    "GIT_ALLOW_PROTOCOL": "",  # none: stronger than `protocol.NAME.allow` of a repository
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",  # a missing object of a partial clone must not start a transport
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}


class GitError(RuntimeError):
    """Git could not answer; the message is fit for a user."""


def has_git() -> bool:
    """Say whether there is a git to ask."""
    found = shutil.which("git")
    if found is None or found != _APPLES:
        return found is not None
    return subprocess.run(_HAS_TOOLS, capture_output=True, check=False).returncode == 0  # noqa: S603


def decode_name(name: bytes) -> str:
    """Return a file's name as git tells it; one that no text holds, as `os.fsdecode` would.

    That itself refuses such a name on Windows.
    """
    return name.decode(sys.getfilesystemencoding(), "surrogateescape")


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


def _ignore_file_override(repository: Path) -> list[str]:
    """Return the setting that puts the user's own ignore file back, if one is named."""
    ask = ("config", "--get", "--type=path", "--default=", "core.excludesFile")
    with _running(repository, ask, timeout_s=_QUESTION_S, is_users=True) as (output, check):
        name = decode_name(output.read(_MAX_NAME_BYTES).strip(b"\n"))
        check()
    path = repository / name
    if name and path.exists() and not path.is_file():
        raise GitError(f"the ignore file {path} is not a regular file")
    return [f"core.excludesFile={name}"] if name else []


def find_work_tree(place: Path) -> Path | None:
    """Return the nearest folder around `place`, itself included, that git keeps; asks no git."""
    return next((path for path in (place, *place.parents) if os.path.exists(path / ".git")), None)  # noqa: PTH110 - any name may be asked for


def is_second_work_tree(place: Path, top: Path) -> bool:
    """Say whether `place` is a worktree of the repository whose work tree is `top`: it once more.

    GitError if either is none.
    """
    its, tops = (os.path.realpath(_git_folders(path / ".git")[-1]) for path in (place, top))
    return its == tops


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
    repository: Path,
    args: tuple[str, ...],
    *,
    timeout_s: float,
    request: bytes = b"",
    is_users: bool = False,  # by the user's own configuration too
) -> Iterator[tuple[IO[bytes], _Check]]:
    """Start git; kill it when the block ends or the time is over.

    Yields its output, and what raises GitError if it timed out or failed, once that has ended.
    """
    command, environment = _command(repository, args), _environment(is_users=is_users)
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(request)  # a file, not a pipe: no side can wait for the other
        stdin.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - argv list, fixed overrides, reading commands only
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=environment,
                creationflags=NO_WINDOW,
            )  # fmt: skip
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
                raise GitError(_gist(said or f"exit status {status}", what, repository))

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


def _gist(said: str, what: str, repository: Path) -> str:
    """Return the line that matters most, or the last one; of a missing commit, plain words."""
    if "revision" in said and "'HEAD'" in said:
        return f"HEAD of {repository} names no commit yet"
    lines = said.splitlines()[::-1]
    return f"{what}: {max(lines, key=lambda line: line.startswith('fatal: '))}"


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
    if not has_git():
        raise GitError("cannot run git: there is none")
    directory = git_directory(repository)
    if directory is None:
        raise GitError(f"{repository} is not a git repository")
    if trap := _find_trap(directory):
        raise GitError(f"{trap} is no file to read: whoever opens it may wait for ever")
    where = repository.absolute()
    # Owned by another user is no risk here: nothing that the repository configures is run.
    settings = [
        *_OVERRIDES,
        f"safe.directory={where.as_posix()}",  # git writes slashes on Windows, too
        f"safe.directory={directory.absolute().as_posix()}",
        "safe.bareRepository=all",
        *(_ignore_file_override(repository) if "--exclude-standard" in args else ()),
    ]
    options = [part for setting in settings for part in ("-c", setting)]
    guards = ("--no-ext-diff", "--no-textconv") if args[0] in _DIFFING_COMMANDS else ()
    location = [f"--git-dir={where}"] if directory == repository else ["-C", str(where)]
    calm = ("--no-pager", "--no-optional-locks", "--literal-pathspecs")
    return ["git", *calm, *options, *location, args[0], *guards, *args[1:]]


def _find_trap(directory: Path) -> str:
    """Return a FIFO or device below a git directory; "" if there is none.

    Folders behind links are not looked into: there the time limit has to do.
    """
    folders = [os.fspath(place) for place in _git_folders(directory)]
    while folders:
        with (
            contextlib.suppress(FileNotFoundError, PermissionError),
            os.scandir(folders.pop()) as it,
        ):
            for entry in it:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):  # a link that leads nowhere
                        mode = entry.stat().st_mode
                        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                            return entry.path
    return ""


def _git_folders(directory: Path) -> list[Path]:
    """Return where git reads: of a worktree or submodule, `.git` is a file that names it."""
    folders = [directory]
    try:
        if not directory.is_dir():
            named = decode_name(read_regular(directory, _MAX_NAME_BYTES))
            folders = [directory.parent / named.removeprefix("gitdir:").strip()]
        common = folders[0] / "commondir"
        if os.path.lexists(common):
            folders.append(folders[0] / decode_name(read_regular(common, _MAX_NAME_BYTES)).strip())
    except UnreadableFileError as error:
        raise GitError(str(error)) from error
    for folder in folders:  # a file may name the whole disk
        if not os.path.lexists(folder / "HEAD"):
            raise GitError(f"{folder} is not a git directory")
    return folders


def _environment(*, is_users: bool) -> dict[str, str]:
    """Return an environment in which only our overrides decide what git does.

    With `is_users`, the user's configuration is read: only to ask for a value of it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "SSH_")) or (is_users and name.startswith("GIT_CONFIG"))
    }
    blanked = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return kept | ({} if is_users else blanked) | _GUARDS
