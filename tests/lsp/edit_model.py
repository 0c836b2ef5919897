"""A client's document as a list of UTF-16 units, and random edits of it.

Written without the server's code: it walks units one by one where the server uses codecs.
"""

import random
from dataclasses import dataclass
from typing import Any

WIDTHS = {"utf-8": (1, 2, 3, 4), "utf-16": (1, 1, 1, 2), "utf-32": (1, 1, 1, 1)}
EOLS = {"lf": ["\n"], "crlf": ["\r\n"], "cr": ["\r"], "mixed": ["\n", "\r\n", "\r"]}
SEPARATORS = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
PLAIN = [*"abc xyz_()", "def f(x):", "\t", "    "]
PASTE = "pasted " * 20
ODD = ["\x00", "\ufeff", "é", "漢", "e\u0301", "\u200f", "👩\u200d👩\u200d👧"]
ASTRAL = ["😀", "𐐀"]
HALVES = ["\ud83d", "\ude00", "\ude00\ud83d"]


@dataclass
class Point:
    index: int  # into the units
    line: int
    character: int  # in the client's encoding


class ClientDocument:
    """What an editor holds."""

    def __init__(self, text: str, encoding: str) -> None:
        self.units = to_units(text)
        self.widths = WIDTHS[encoding]

    @property
    def text(self) -> str:
        return b"".join(unit.to_bytes(2, "little") for unit in self.units).decode(
            "utf-16-le", "surrogatepass"
        )

    def lines(self) -> list[tuple[int, int]]:
        """Start and end (before the line end) of each line, as indices."""
        spans, start, i = [], 0, 0
        while i < len(self.units):
            if self.units[i] in (10, 13):
                spans.append((start, i))
                if self.units[i : i + 2] == [13, 10]:
                    i += 1
                start = i + 1
            i += 1
        return [*spans, (start, len(self.units))]

    def index(self, line: int, character: int) -> int:
        """The unit index of a position: clamped, rounded down to a character's start."""
        spans = self.lines()
        if line >= len(spans):
            return len(self.units)
        i, end = spans[line]
        while i < end:
            size, width = self._character(i, end)
            if character < width:
                return i
            character -= width
            i += size
        return end

    def points(self) -> list[Point]:
        """Every place where a cursor can stand."""
        places = []
        for line, (i, end) in enumerate(self.lines()):
            character = 0
            places.append(Point(i, line, 0))
            while i < end:
                size, width = self._character(i, end)
                i, character = i + size, character + width
                places.append(Point(i, line, character))
        return places

    def replace(self, start: int, end: int, text: str) -> None:
        start, end = sorted((start, end))
        self.units[start:end] = to_units(text)

    def _character(self, i: int, end: int) -> tuple[int, int]:
        """Units taken by the character at i, and its width for the client."""
        unit = self.units[i]
        is_pair = 0xD800 <= unit < 0xDC00 and i + 1 < end and 0xDC00 <= self.units[i + 1] < 0xE000
        if is_pair:
            return 2, self.widths[3]
        return 1, self.widths[0 if unit < 0x80 else 1 if unit < 0x800 else 2]


def to_units(text: str) -> list[int]:
    data = text.encode("utf-16-le", "surrogatepass")
    return [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]


class Typist:
    """Makes random edits, as LSP change events, and applies them to its own document."""

    def __init__(self, seed: int, encoding: str, eols: str, *, tame: bool = False) -> None:
        self.dice = random.Random(seed)
        self._words = [*PLAIN * 3, *EOLS[eols] * 8]
        if not tame:
            self._words += [*SEPARATORS, *ODD, *ASTRAL * 3, *HALVES, "\r", "\n"]
        self.document = ClientDocument(self.words(30), encoding)

    def words(self, most: int) -> str:
        return "".join(self.dice.choices(self._words, k=self.dice.randint(0, most)))

    def change(self) -> dict[str, Any]:
        if self.dice.random() < 0.02:
            text = self.words(40)
            self.document.replace(0, len(self.document.units), text)
            return {"text": text}
        start, end = self._position(), self._position()
        if self.dice.random() < 0.6:
            end = start  # plain typing
        elif self.dice.random() < 0.6:
            end = {"line": start["line"], "character": start["character"] + self.dice.randint(0, 3)}
        text = self.words(3) if self.dice.random() < 0.7 else ""
        if self.dice.random() < 0.005:
            text = PASTE
        self.document.replace(
            self.document.index(start["line"], start["character"]),
            self.document.index(end["line"], end["character"]),
            text,
        )
        return {"range": {"start": start, "end": end}, "text": text}

    def _position(self) -> dict[str, int]:
        """Mostly inside the text, at times past the end of the line or of the document."""
        spans = self.document.lines()
        line = self.dice.randint(0, len(spans) + (self.dice.random() < 0.1))
        start, end = spans[min(line, len(spans) - 1)]
        return {"line": line, "character": self.dice.randint(0, 2 * (end - start) + 3)}
