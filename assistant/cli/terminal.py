"""What a terminal is shown: no control characters but those that we mean.

Names of files, branches and models are chosen by others. A sequence in one could move the cursor,
hide what follows or set the title, and what no encoding holds would end the command.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from assistant.logs import escape_controls


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Let what is printed meanwhile pass through `escape_controls`."""
    with contextlib.ExitStack() as stack:
        if sys.stdout is not None:
            stack.enter_context(contextlib.redirect_stdout(_plain(sys.stdout)))
        if sys.stderr is not None:
            stack.enter_context(contextlib.redirect_stderr(_plain(sys.stderr)))
        yield


class _PlainStream:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        shown = escape_controls(text).encode(encoding, "backslashreplace").decode(encoding)
        return self._stream.write(shown)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _plain(stream: TextIO) -> TextIO:
    return cast("TextIO", _PlainStream(stream))
