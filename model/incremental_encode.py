"""Encoding a text again and again while it grows: cut where no token can cross, each cut once.

Whatever the split pattern, no pre-token runs from a letter or digit across the line break behind
it. So the pieces between such places can be encoded alone, and all but the last one are the same
as at the last keystroke. Knows text and ids; nothing of prompts.
"""

import re
from functools import lru_cache

from model.tokenizer import Tokenizer

MAX_KEPT_PIECES = 2_048  # some thousand lines
MAX_KEPT_CHARS = 4_096  # a longer piece is data, and would fill the memory
_BORDER = re.compile(r"\n(?<=[0-9A-Za-z]\n)")


def last_border(text: str) -> int:
    """Return the last place at which `text` may be cut: before a line break, or 0.

    >>> last_border("import os\\nprint(")
    9
    """
    end = text.rfind("\n")
    while end > 0 and not _BORDER.match(text, end):
        end = text.rfind("\n", 0, end)
    return max(end, 0)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of `tokenizer.encode(text)`, from memory where a piece was seen before."""
    border = last_border(text)
    return [*_head(tokenizer, text[:border]), *_piece(tokenizer, text[border:])]


def forget() -> None:
    """Let go of all that is kept, and of the vocabularies behind it: one is out of use."""
    _head.cache_clear()
    _kept.cache_clear()


@lru_cache(maxsize=16)  # the same while one types in a line
def _head(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    ids: list[int] = []
    start = 0
    for match in _BORDER.finditer(text):
        ids += _piece(tokenizer, text[start : match.start()])
        start = match.start()
    ids += _piece(tokenizer, text[start:])
    return tuple(ids)


def _piece(tokenizer: Tokenizer, piece: str) -> tuple[int, ...] | list[int]:
    if len(piece) > MAX_KEPT_CHARS:
        return tokenizer.encode(piece)
    return _kept(tokenizer, piece)


@lru_cache(maxsize=MAX_KEPT_PIECES)
def _kept(tokenizer: Tokenizer, piece: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(piece))
