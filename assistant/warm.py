"""`foretype complete --warm`, the side that asks: a process that stays answers, in milliseconds.

It serves one user over a local socket in a folder that is theirs alone, starts when it is first
asked and leaves when it is idle. Whoever starts one makes the socket, under a lock, and hands it
on: there is never a second, and nobody waits for it to be ready. Where it cannot answer, the
command does it itself; so it does on Windows, where Python has no such sockets.

Imports nothing that takes time: `_socket` is what `socket` is made of, less half of the start.
"""

# ruff: noqa: PTH103, PTH108, PTH109, PTH112, PTH116, PTH117, PTH118, PTH120, PTH123
import _socket
import io
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
MAX_FILE_BYTES = 16 << 20
ANSWER_S = 60.0  # then the command does it itself
_SERVE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from assistant.cli.warm_server import serve; "
    "serve(int(sys.argv[2]))"
)


def ask(argv: list[str]) -> int | None:
    """Have `foretype complete` run with `argv`, write what it writes; None: it must be run here."""
    talks = any(word.startswith(("-v", "--verb")) for word in argv)  # its log is not passed on
    if not has_sockets() or talks:
        return None
    data = b""
    if any(word.startswith("-:") for word in argv):
        data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        sys.stdin = io.TextIOWrapper(io.BytesIO(data))  # for us, if nobody answers
    try:
        os.makedirs(runtime_folder(), 0o700, exist_ok=True)
        folder = _checked(runtime_folder())
        message = _message(argv, data)
        answer = _exchange(folder, message)
        if not answer:
            _start(folder)
            answer = _exchange(folder, message)
    except OSError:
        return None
    head, _, written = answer.partition(b"\n")
    code, n_out, n_error = map(int, head.split() or (0, 0, -1))
    if len(written) != n_out + n_error:  # it died
        return None
    sys.stdout.buffer.write(written[:n_out])
    sys.stdout.flush()
    sys.stderr.buffer.write(written[n_out:])
    sys.stderr.flush()
    return code


def runtime_folder() -> str:
    """Return the folder of the socket and the lock; it need not exist."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    user = os.getuid() if hasattr(os, "getuid") else -1
    if os.path.isabs(given) and os.path.isdir(given) and os.stat(given).st_uid == user:
        return os.path.join(given, "foretype")
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"foretype-{user}")  # noqa: S108


def has_sockets() -> bool:
    """Say whether this system has sockets that are files."""
    return os.name == "posix" and hasattr(_socket, "AF_UNIX")


def is_running() -> bool:
    """Say whether a process waits to be asked."""
    try:
        return has_sockets() and _is_open(socket_in(_checked(runtime_folder())))
    except OSError:
        return False


def leave() -> None:
    """Have the process that waits, if there is one, end; it takes the socket along."""
    if is_running():
        _exchange(runtime_folder(), b"0\n")


def socket_in(folder: str) -> str:
    """Return the place of the socket."""
    return os.path.join(folder, "complete.socket")


def lock(folder: str) -> "BinaryIO":
    """Keep others from making or taking away the socket until what is returned is closed."""
    import fcntl

    file = open(os.path.join(folder, "complete.lock"), "wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _checked(folder: str) -> str:
    """Return a folder that is nobody else's: who answers there is shown the user's code."""
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise PermissionError(f"{folder} is open to others")
    return folder


def _message(argv: list[str], data: bytes) -> bytes:
    """Return what a process must know to be this one; first, which foretype is asked."""
    is_terminal = "terminal" if sys.stdout.isatty() else ""
    place = [HERE, os.getcwd(), sys.stdout.encoding, is_terminal, str(len(argv)), *argv]
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    head = b"\0".join(os.fsencode(text) for text in (*place, *environment))
    return b"%d\n%b%b" % (len(head), head, data)


def _exchange(folder: str, message: bytes) -> bytes:
    """Return the whole answer, b"" if nobody is there or it breaks off before the end."""
    client = _socket.socket(_socket.AF_UNIX)
    try:
        client.settimeout(ANSWER_S)
        client.connect(socket_in(folder))
        client.sendall(message)
        client.shutdown(_socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))
    except (ConnectionError, FileNotFoundError):
        return b""
    finally:
        client.close()


def _is_open(path: str) -> bool:
    client = _socket.socket(_socket.AF_UNIX)
    try:
        return client.connect_ex(path) == 0
    finally:
        client.close()


def _start(folder: str) -> None:
    import socket
    import subprocess

    path = socket_in(folder)
    with lock(folder), socket.socket(socket.AF_UNIX) as listener:
        if _is_open(path):  # somebody else was faster
            return
        if os.path.lexists(path):
            os.unlink(path)  # of a process that was killed
        listener.bind(path)
        listener.listen()
        number = listener.fileno()
        null = subprocess.DEVNULL
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", _SERVE, HERE, str(number)],
            pass_fds=[number], cwd=folder, stdin=null, stdout=null, stderr=null,
            start_new_session=True,
        )  # fmt: skip
