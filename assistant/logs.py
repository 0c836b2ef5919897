"""Where log lines go, set up by entry points only: standard error or a rotating file.

Lines pass through a bounded queue to one writer thread, and are dropped when it is full. An editor
that never reads its server's standard error fills that pipe after 64 KiB, and the next line written
directly would stop the server for ever.
"""

import atexit
import contextlib
import logging
import logging.handlers
import os
import queue
import re
import threading
from io import TextIOWrapper
from pathlib import Path

from assistant.errors import SettingsError

QUEUE_LINES = 1_000
FILE_BYTES = 1 << 20
FILE_COPIES = 2
DRAIN_S = 0.5  # how long closing waits for a reader of standard error
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_STDERR = 2
_PACKAGES = ("assistant", "lsp", "model", "training")
LINE_START = re.compile(rb"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ (?:%s)\b" % "|".join(_PACKAGES).encode())


# Kept: tab, line feed, our four colours, and a carriage return with which a progress bar begins.
# Escaped: all other controls, what reorders text, and halves of characters.
_ODD = re.compile(
    "(\x1b\\[(?:0|3[123])m|\\A\r)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape_controls(text: str) -> str:
    r"""Return `text` with each control character as the escape that Python would write.

    >>> escape_controls("a\x1b]0;title\x07")
    'a\\x1b]0;title\\x07'
    """
    return _ODD.sub(lambda match: match[1] or ascii(match[0])[1:-1], text)


class LossyHandler(logging.handlers.QueueHandler):
    """Never blocks: a line that finds the queue full is lost, and the next one says so."""

    lost = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue one line, or count it as lost."""
        if self.lost:
            record.msg = f"({self.lost} lines lost) {record.msg}"
        try:
            self.queue.put_nowait(record)
            self.lost = 0
        except queue.Full:
            self.lost += 1


class _StderrHandler(logging.Handler):
    """Writes to the descriptor itself.

    A thread that waits inside Python's own stream holds its lock, on which the interpreter would
    abort when it ends.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        data = (escape_controls(self.format(record)) + "\n").encode("utf-8", "replace")
        while data:
            data = data[os.write(_STDERR, data) :]


class LogSession(contextlib.AbstractContextManager["LogSession"]):
    """Logging as configured, until closed."""

    def __init__(self, sink: logging.Handler, level: int) -> None:
        sink.setFormatter(logging.Formatter(_FORMAT))
        self._sink = sink
        self._queue: queue.Queue[logging.LogRecord | None] = queue.Queue(QUEUE_LINES)
        self._handler = LossyHandler(self._queue)
        # A daemon: a pipe that nobody reads must not keep the process alive either.
        self._writer = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._writer.start()
        for name in _PACKAGES:
            logger = logging.getLogger(name)
            logger.addHandler(self._handler)
            logger.setLevel(level)
            logger.propagate = False

    def _write(self) -> None:
        while (record := self._queue.get()) is not None:
            with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
                # Not `handle`: it would hold a lock that logging's own clean-up waits for at exit.
                self._sink.emit(record)

    def close(self) -> None:
        """Write what is queued, waiting `DRAIN_S` at most; closing twice is harmless."""
        for name in _PACKAGES:
            logger = logging.getLogger(name)
            logger.removeHandler(self._handler)
            logger.propagate = True
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=DRAIN_S)
        self._writer.join(DRAIN_S)
        if not self._writer.is_alive():
            self._sink.close()
        atexit.unregister(self.close)

    def __exit__(self, *_: object) -> None:
        self.close()


def configure(log_file: str = "", verbosity: int = 0) -> LogSession:
    """Send our log lines to `log_file`, or to standard error if it is empty.

    Verbosity 0 shows warnings on standard error and one line per completion in a file; 1 shows that
    line everywhere, 2 everything. SettingsError if the file cannot be opened.
    """
    levels = (logging.INFO if log_file else logging.WARNING, logging.INFO, logging.DEBUG)
    sink = _open_file(log_file) if log_file else _StderrHandler()
    session = LogSession(sink, levels[min(verbosity, 2)])
    logging.raiseExceptions = False  # a failing log line must not print a traceback of its own
    atexit.register(session.close)
    return session


class _FileSink(logging.handlers.RotatingFileHandler):
    """Writes to a file that only its owner can read, whatever the umask."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self.baseFilename, flags, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")

    def rotate(self, source: str, dest: str) -> None:
        """Rename a full file, or begin it anew: on Windows another server may have it open."""
        try:
            super().rotate(source, dest)
        except PermissionError:
            os.truncate(source, 0)


def _open_file(log_file: str) -> logging.Handler:
    path = Path(log_file).expanduser()
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"log_file {log_file!r} is not a regular file")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _FileSink(path, maxBytes=FILE_BYTES, backupCount=FILE_COPIES, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write log_file {log_file!r}: {error.strerror}") from error
