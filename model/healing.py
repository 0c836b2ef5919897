"""Token healing: take the end of a prefix back, and make generation spell it again.

A cursor stands inside a token more often than not. Encoding the text up to it gives a last token
that training never saw in that place, so the model answers badly. Here the last pre-token is taken
off the prompt, and decoding may only choose tokens that re-spell those bytes (and may run on past
them). Knows bytes and token ids; nothing of models, prompts or files.

A text that grows is encoded again at each key. Whatever the split pattern, no pre-token runs from a
letter or digit across the line break behind it. So the pieces between such places can be encoded
alone, each once: all but the last one are the same as at the last key.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.tokenizer import Tokenizer

# Longest tail worth re-spelling. Longer ones are cut, since every token more costs a decoding step
# and their last bytes decide what comes next anyway. White space is spared the first limit: a deep
# indentation is many bytes but few tokens.
MAX_TAIL_BYTES = 32
MAX_TAIL_TOKENS = 8
MAX_KEPT_PIECES = 2_048  # some thousand lines
MAX_KEPT_CHARS = 4_096  # a longer piece is data, and would fill the memory
_BORDER = re.compile(r"\n(?<=[0-9A-Za-z]\n)")
_LOOK_BACK_CHARS = 256  # enough to find the last pre-token; the split pattern never runs over more

Ids = NDArray[np.int64]


def split(tokenizer: Tokenizer, prefix: str) -> tuple[str, bytes]:
    """Return `prefix` up to a border that further typing cannot move, and the bytes after it.

    White space before the cursor goes as a whole, line breaks included: what is typed next decides
    how the split pattern groups it ("\\n    " and "x" become "\\n   " and " x", for example).
    """
    near = prefix[-_LOOK_BACK_CHARS:]
    near = near[last_border(near) :]
    tail = tokenizer.last_pretoken(near)
    while tail.isspace() and len(tail) < len(near):
        before = tokenizer.last_pretoken(near[: len(near) - len(tail)])
        if not before.isspace():
            break
        tail = before + tail
    stable = near[: len(near) - len(tail)]
    # Patterns part a run of white space from the word behind it, but not one that ends the text.
    if len(stable) > 1 and not stable[-2:].strip():
        ids = tokenizer.encode(stable)
        if tokenizer.encode(near)[: len(ids)] != ids:
            tail = near[len(stable.rstrip()) :]
    tail = _cap_tail(tokenizer, tail)
    # A lone surrogate (an editor may send one) keeps the bytes that the tokenizer gives it.
    return prefix[: len(prefix) - len(tail)], tail.encode("utf-8", "surrogatepass")


def _cap_tail(tokenizer: Tokenizer, tail: str) -> str:
    """Cut `tail` from the left, at characters, to both limits."""
    if len(tail.encode("utf-8", "surrogatepass")) <= MAX_TAIL_TOKENS:
        return tail  # a token is a byte at least
    if not tail.isspace():
        while len(tail.encode("utf-8", "surrogatepass")) > MAX_TAIL_BYTES:
            tail = tail[1:]
    while len(tail) > 1 and len(tokenizer.encode(tail)) > MAX_TAIL_TOKENS:
        tail = tail[1:]
    return tail


def last_border(text: str) -> int:
    """Return the last place at which `text` may be cut: before a line break, or 0.

    >>> last_border("import os\\nprint(")
    9
    """
    end = text.rfind("\n")
    while end > 0 and not _BORDER.match(text, end):
        end = text.rfind("\n", 0, end)
    return max(end, 0)


def encode_again(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of `tokenizer.encode(text)`, from memory where a piece was seen before."""
    border = last_border(text)
    return [*_head(tokenizer, text[:border]), *_piece(tokenizer, text[border:])]


def forget_pieces() -> None:
    """Let go of all that is kept, and of the vocabularies behind it: one is out of use."""
    _head.cache_clear()
    _kept.cache_clear()


@lru_cache(maxsize=16)  # the same while one types in a line
def _head(tokenizer: Tokenizer, text: str) -> "array[int]":
    ids = array("i")
    start = 0
    for match in _BORDER.finditer(text):
        ids.extend(_piece(tokenizer, text[start : match.start()]))
        start = match.start()
    ids.extend(_piece(tokenizer, text[start:]))
    return ids


def _piece(tokenizer: Tokenizer, piece: str) -> "array[int] | list[int]":
    if len(piece) > MAX_KEPT_CHARS:
        return tokenizer.encode(piece)
    return _kept(tokenizer, piece)


@lru_cache(maxsize=MAX_KEPT_PIECES)
def _kept(tokenizer: Tokenizer, piece: str) -> "array[int]":
    return array("i", tokenizer.encode(piece))  # four bytes an id; in a tuple forty


class TokenTable:
    """The ordinary tokens' bytes in sorted order: all tokens with one beginning are one slice.

    Built once for a tokenizer; a look-up costs two binary searches, not a scan of the vocabulary.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.end_id = tokenizer.end_id
        self.n_tokens = tokenizer.vocab_size
        self.bytes_of = [tokenizer.token_bytes(id_) for id_ in range(self.n_tokens)]
        ordinary = [
            id_ for id_, data in enumerate(self.bytes_of) if data and not tokenizer.is_special(id_)
        ]
        ordinary.sort(key=self.bytes_of.__getitem__)
        self._keys = [self.bytes_of[id_] for id_ in ordinary]
        self._ids: Ids = np.array(ordinary, dtype=np.int64)
        emitted = set(ordinary) | {self.end_id}
        #: scores worth looking at: up to the last id that may be generated
        self.n_scored = max(emitted) + 1
        #: ids among them that may not: special tokens other than the end (in our vocabularies none)
        self.forbidden: Ids = np.array(
            [id_ for id_ in range(self.n_scored) if id_ not in emitted], dtype=np.int64
        )

    def beginning_with(self, head: bytes) -> Ids:
        """Return the ids of the ordinary tokens whose bytes begin with `head`."""
        first = bisect_left(self._keys, head)
        after = _successor(head)
        last = len(self._keys) if after is None else bisect_left(self._keys, after, lo=first)
        return self._ids[first:last]

    def inside(self, rest: bytes) -> Ids:
        """Return the ids of the tokens that are a proper, non-empty prefix of `rest`."""
        runs = []
        for length in range(1, len(rest)):
            head = rest[:length]
            first = bisect_left(self._keys, head)
            runs.append(self._ids[first : bisect_right(self._keys, head, lo=first)])
        return np.concatenate(runs) if runs else self._ids[:0]


def _successor(head: bytes) -> bytes | None:
    """Return the smallest bytes above all that begin with `head`; None if there are none."""
    stripped = head.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
