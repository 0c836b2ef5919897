"""A file as the command line meets it: bytes in, LF text out, and back to its own line ends.

Lines and columns count from 1, columns in characters, as editors show them.
"""

import io
from pathlib import Path
from typing import NamedTuple

from assistant.cli.command import UsageError
from assistant.warm import MAX_FILE_BYTES
from model.files import UnreadableFileError, read_regular

_BOM = "\ufeff"


class SourceFile(NamedTuple):
    """The text of one file with LF line ends only, and the line end it had."""

    path: str
    text: str
    eol: str

    @classmethod
    def read(cls, name: str) -> "SourceFile":
        """Read a file; UsageError says what is wrong with it."""
        try:
            return cls.from_bytes(name, read_regular(Path(name), MAX_FILE_BYTES))
        except UnreadableFileError as error:
            raise UsageError(str(error)) from error

    @classmethod
    def from_bytes(cls, path: str, data: bytes) -> "SourceFile":
        """Decode UTF-8; UsageError for anything else. A byte order mark is dropped."""
        if b"\0" in data:
            raise UsageError(f"{path}: is a binary file (it contains a NUL byte)")
        try:
            raw = data.decode("utf-8").removeprefix(_BOM)
        except UnicodeDecodeError as error:
            byte = data[error.start]
            raise UsageError(
                f"{path}: is not UTF-8 text (byte {byte:#04x} at offset {error.start})"
            ) from None
        text = raw.replace("\r\n", "\n").replace("\r", "\n")
        line = io.StringIO(raw, newline="").readline()
        return cls(path=path, text=text, eol=line[len(line.rstrip("\r\n")) :] or "\n")

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a 1-based position; UsageError gives the valid range."""
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines):
            raise UsageError(f"{self.path}: line {line} is outside the file (1..{len(lines)})")
        length = len(lines[line - 1])
        if not 1 <= column <= length + 1:
            raise UsageError(
                f"{self.path}: column {column} is outside line {line} (1..{length + 1})"
            )
        return sum(len(text) + 1 for text in lines[: line - 1]) + column - 1

    def position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column of an offset."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        return self.text.count("\n", 0, offset) + 1, offset - line_start + 1

    def restore(self, text: str) -> str:
        """Return `text` with the file's own line ends."""
        return text.replace("\n", self.eol)


def split_place(place: str) -> tuple[str, int, int]:
    """Cut FILE:LINE:COL at its last two colons; the file's name may hold more of them."""
    name, *numbers = place.rsplit(":", 2)
    if len(numbers) != 2 or not name:
        raise UsageError(f"FILE:LINE:COL is needed, got {place!r}")
    for what, text in zip(("LINE", "COL"), numbers, strict=True):
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise UsageError(f"{what} must be a whole number from 1 on, got {text!r} in {place!r}")
    return name, int(numbers[0]), int(numbers[1])
