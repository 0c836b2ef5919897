"""From text around a cursor to the ids the network is asked with, fitted to its trained context.

Written so that typing only appends ids. The suffix is cut from its far end, so it is the same ids
for as long as the text after the cursor is the same, and changes as soon as the rest of the
cursor's line does. The prefix begins at a line border that moves in coarse steps of the document,
never with a keystroke. Both depend on the document alone, not on what was asked before, so a
reused cache and a fresh one see the same prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from assistant.generate.context import Window
from model import fim
from model import incremental_encode as pieces
from model.fim import Snippet
from model.healing import split
from model.tokenizer import Tokenizer

MAX_PATH_CHARS = 96  # of the file's path, from its end
N_MARKERS = 3  # special tokens between header, suffix and prefix
_CHARS_PER_TOKEN = 3.6  # of snippets, paths counted
_MAX_CHARS_PER_TOKEN = 12  # of the suffix, more than code needs; what is cut is not even encoded


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How the trained context is divided, in tokens."""

    block_size: int
    suffix_tokens: int
    max_new_tokens: int
    snippet_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """What is left for the prompt; at least a quarter of the context."""
        return max(self.block_size - self.max_new_tokens, self.block_size // 4)

    @property
    def prefix_chars(self) -> int:
        """More text before the cursor than can fit, so that the tokenizer decides, not a guess."""
        return 6 * self.prompt_tokens

    @property
    def suffix_chars(self) -> int:
        """Likewise after the cursor."""
        return _MAX_CHARS_PER_TOKEN * self.suffix_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What to append, and the bytes before the cursor that generation has to spell again."""

    ids: list[int]
    tail: bytes


def build(
    tokenizer: Tokenizer,
    budget: Budget,
    window: Window,
    *,
    prefix_start: int = 0,
    layout: str = "spm",
    snippets: Sequence[Snippet] = (),
) -> Prompt:
    """Return the prompt for the cursor in `window`.

    `prefix_start` is the offset in the document at which the window's prefix begins. `snippets`,
    the best one last, should stay the same while a person types: they stand before all else.
    """
    stable, tail = split(tokenizer, window.prefix)
    path = " ".join(window.path.split())[-MAX_PATH_CHARS:]
    header_ids = snippet_header(tokenizer, path, snippets, budget.snippet_tokens)
    suffix_ids = pieces.encode(tokenizer, window.suffix)[: budget.suffix_tokens]
    room = budget.prompt_tokens - len(header_ids) - len(suffix_ids) - N_MARKERS
    prefix_ids = _fit(tokenizer, stable, prefix_start, max(room, 0))
    ids = fim.prompt(tokenizer, header_ids, prefix_ids, suffix_ids, cast(fim.Layout, layout))
    return Prompt(ids=ids, tail=tail)


def snippet_chars(snippet_tokens: int) -> int:
    """Return about how many characters of snippets fill so many tokens."""
    return round(_CHARS_PER_TOKEN * snippet_tokens)


def snippet_header(
    tokenizer: Tokenizer, path: str, snippets: Sequence[Snippet], snippet_tokens: int
) -> list[int]:
    """Return the header for `path` with snippets, the best one last, that take so many tokens.

    What is too much is taken from the end of the first ones. Training makes its examples with this.
    """
    own = fim.header(tokenizer, path)
    room = snippet_tokens
    shown: list[int] = []
    for snippet in reversed(snippets):
        ids = _snippet_ids(tokenizer, snippet, room)
        shown = ids + shown
        room -= len(ids)
    return shown + own


def _snippet_ids(tokenizer: Tokenizer, snippet: Snippet, room: int) -> list[int]:
    """Return the ids of a snippet, or of as many of its lines as there is room for."""
    file_sep = tokenizer.special_id("<|file_sep|>")
    path = " ".join(snippet.path.split())[-MAX_PATH_CHARS:]
    lines = snippet.text.split("\n")
    while lines:
        ids = [file_sep, *tokenizer.encode(f"{path}\n" + "\n".join(lines))]
        if len(ids) <= room:
            return ids
        lines.pop()
    return []


def _fit(tokenizer: Tokenizer, text: str, offset: int, room: int) -> list[int]:
    """Encode the end of `text` (which begins at `offset`) that fits, from a stable border."""
    ids = pieces.encode(tokenizer, text)
    # A power of two near a quarter of the room (a token is about four characters of code).
    step = 1 << max(room, 16).bit_length() - 1
    start = 0
    while len(ids) > room:
        excess = tokenizer.decode_bytes(ids[: len(ids) - room])
        minimum = start + max(1, len(excess.decode("utf-8", "ignore")))
        start = _next_start(text, offset, minimum, step)
        ids = pieces.encode(tokenizer, text[start:])
    return ids


def _next_start(text: str, offset: int, minimum: int, step: int) -> int:
    """Return the first line start in `text` from the first multiple of `step` after `minimum`.

    Multiples are counted in the document, where `text` begins at `offset`. A line longer than a
    step is cut at the multiple itself.
    """
    border = -(-(offset + minimum) // step) * step - offset
    newline = text.find("\n", border - 1, border - 1 + step)
    return border if newline < 0 else newline + 1
