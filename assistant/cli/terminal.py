"""What a terminal is shown: no control characters but those that we mean.

Names of files, branches and models are chosen by others. A sequence in one could move the cursor,
hide what follows or set the title, and what no encoding holds would end the command.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

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
