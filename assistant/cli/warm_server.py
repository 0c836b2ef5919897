"""`foretype complete --warm`, the side that answers: the same command, with engines that stay.

An engine is kept while nothing that it was made of has changed. Requests are taken one by one, each
with its own folder, environment and output; after a fault in one, who asked runs it.
"""

import contextlib
import io
import os
import select
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from assistant.cli import complete
from assistant.cli.command import plain_output
from assistant.errors import AssistantError
from assistant.generate.engine import Engine
from assistant.index.folder_index import FolderIndex
from assistant.models.registry import Registry
from assistant.models.selection import find_serving_model
from assistant.remote.settings import remote_settings_path
from assistant.settings import Settings
from assistant.warm import HERE, MAX_FILE_BYTES, lock, socket_in
from model.files import stamp_of
from model.lru import LRU

IDLE_S = 600.0  # then the process ends
REQUEST_S = 5.0  # for who asks, to say it and to take the answer
MAX_BYTES = MAX_FILE_BYTES + (4 << 20)  # with the environment
MAX_ENGINES = 4


def serve(descriptor: int, idle_s: float = IDLE_S) -> None:
    """Answer on a listening socket, in the folder that it is in, until idle or out of date."""
    home, started = Path.cwd(), time.time()
    place = Path(socket_in(str(home)))
    inode = place.stat().st_ino
    engines = KeptEngines()
    with socket.socket(fileno=descriptor) as listener:
        while True:
            if not select.select([listener], [], [], idle_s)[0]:
                with lock(str(home)):
                    if not any(select.select([listener], [], [], 0)):  # nobody came meanwhile
                        return _close(listener, place, inode)
            connection = listener.accept()[0]
            connection.settimeout(REQUEST_S)
            with connection, contextlib.suppress(Exception):  # who asked does it itself
                head, data = _read(connection)
                if head[0] != HERE or _is_changed(started):
                    with lock(str(home)):
                        return _close(listener, place, inode)
                connection.sendall(_run(head, data, engines))


def _close(listener: socket.socket, place: Path, inode: int) -> None:
    """Hear nobody any more, and take the socket away, if it is still this one's."""
    with contextlib.suppress(OSError):
        if place.stat().st_ino == inode:
            place.unlink()
    listener.close()


def _read(connection: socket.socket) -> tuple[list[str], bytes]:
    """Return the fields of a request, as `assistant.warm` writes them, and standard input."""
    received = bytearray()
    while data := connection.recv(1 << 16):
        received += data
        if len(received) > MAX_BYTES:
            raise ValueError("the request is too long")
    length, _, rest = bytes(received).partition(b"\n")
    head = rest[: int(length)]
    return [os.fsdecode(field) for field in head.split(b"\0")], rest[len(head) :]


def _is_changed(started: float) -> bool:
    """Say whether any of our modules that are loaded is no longer, or is newer than this process.

    So is whatever else an installation brings.
    """
    files = [getattr(module, "__file__", None) or "" for module in [*sys.modules.values()]]
    ours = (Path(file) for file in files if file.startswith(HERE))
    try:
        return any(file.stat().st_ctime > started for file in ours)
    except OSError:
        return True


def _run(head: list[str], data: bytes, engines: "KeptEngines") -> bytes:
    """Be the process that asks while the command runs; return its exit code and its output."""
    _, folder, encoding, is_terminal, n_words, *rest = head
    words, environment = rest[: int(n_words)], rest[int(n_words) :]
    os.environ.clear()
    os.environ.update(dict(line.split("=", 1) for line in environment))
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    out, error = (_Stream(encoding, is_terminal=bool(is_terminal)) for _ in range(2))
    with (
        contextlib.chdir(folder),  # left before who asked is told
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
        plain_output(),
    ):
        try:
            code = complete.main(["complete", *words], engine_for=engines.engine_for)
        except SystemExit as end:  # after --help
            code = int(end.code or 0)
    written = [stream.written() for stream in (out, error)]
    return b"%d %d %d\n" % (code, *map(len, written)) + b"".join(written)


class _Stream(io.TextIOWrapper):
    """Keeps what is written; a terminal if that of who asks is one."""

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def written(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


class KeptEngines:
    """The engines of what was asked about last."""

    def __init__(self) -> None:
        self._kept: LRU[object, Engine] = LRU(MAX_ENGINES)

    def engine_for(self, settings: Settings, file: Path, index: FolderIndex | None) -> Engine:
        """Return an engine for `file`, the same one while all that it was made of is the same."""
        remote = _stamps([remote_settings_path()])
        environment = tuple(os.environ.items()) if remote else ()  # it holds keys and proxies
        key = (settings, _model(settings, file), index and index.folder, remote, environment)
        engine = self._kept.use(key)
        if engine is None:
            if len(self._kept) == MAX_ENGINES:
                self._kept.popitem(last=False)[1].close(complete.CLOSE_S)
            engine = complete.open_engine(settings, file, index)
            self._kept.put(key, engine)
        return engine


def _model(settings: Settings, file: Path) -> object:
    """Return what is different for another model."""
    with contextlib.suppress(OSError, AssistantError):  # opening it says what is wrong
        if settings.model:
            return _stamps(Path(settings.model).expanduser().iterdir())
        entry = find_serving_model(Registry(), file)
        return entry and (entry.name, entry.content_hash)
    return None


def _stamps(files: Iterable[Path]) -> tuple[tuple[int, ...], ...]:
    """Return what is different after a change of any of these; nothing if there is none."""
    return tuple(filter(None, map(stamp_of, files)))
