"""From text around a cursor to the ids the network is asked with, fitted to its trained context.

Written so that typing only appends ids. The suffix is cut from its far end, so it is the same ids
for as long as the text after the cursor is the same, and changes as soon as the rest of the
cursor's line does, unless that is closers only. The prefix begins at a line border that moves in
coarse steps of the document, never with a keystroke. Both depend on the document alone, not on what
was asked before, so a reused cache and a fresh one see the same prompt.
"""

import time
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple, cast

from assistant.request import Cancel, CompletionRequest
from assistant.source.brackets import CLOSERS
from model import fim
from model.fim import Snippet
from model.folder import FolderInfo
from model.healing import encode_again, split
from model.tokenizer import Tokenizer

STEPS_PER_WINDOW = 4  # a step is this share of the prefix budget
PATH_PARTS = 3  # kept of an absolute path; the rest is private and was never trained on
MAX_PATH_CHARS = 96  # of the file's path, from its end
N_MARKERS = 3  # special tokens between header, suffix and prefix
_CLOSERS = "".join(CLOSERS) + "\"'`"  # what editors put behind the cursor as one types
_CHARS_PER_TOKEN = 3.6  # of snippets, paths counted
_PREFIX_CHARS_PER_TOKEN = 6  # more text before the cursor than fits: the tokenizer decides
_SUFFIX_CHARS_PER_TOKEN = 12  # of the suffix, more than code needs; what is cut is not even encoded


class Prompt(NamedTuple):
    """What to append, the bytes that generation has to spell again, and the text shown."""

    ids: list[int]
    tail: bytes  # of the text before the cursor, from the last safe token border on
    prefix: str = ""  # the window's text before the cursor
    suffix: str = ""  # and after it
    n_snippets: int = 0  # of other files

    @property
    def sizes(self) -> dict[str, int]:
        """How long its parts are, in words for `foretype why`."""
        return {
            "all": len(self.ids),
            "snippets shown": self.n_snippets,
            "bytes to spell again": len(self.tail),
        }


class GenerationJob(NamedTuple):
    """What to generate, and when to give up."""

    prompt: Prompt
    n: int  # distinct texts wanted
    max_new_tokens: int
    deadline: float  # time.monotonic() seconds
    cancel: Cancel

    def should_stop(self) -> bool:
        """Say whether nobody wants more tokens, or the time is up."""
        return self.cancel.is_set() or time.monotonic() >= self.deadline


def build_prompt(
    tokenizer: Tokenizer,
    info: FolderInfo,
    request: CompletionRequest,
    *,
    max_new_tokens: int,
    snippets: Sequence[Snippet] = (),
) -> Prompt:
    """Return the prompt for the request's cursor, as the model described by `info` was trained.

    Serving, evaluation and calibration all ask with this. `snippets`, the best one last, should
    stay the same while a person types: they stand before all else.
    """
    n_prompt = prompt_tokens(info.block_size, max_new_tokens)
    prefix, suffix = window(
        request,
        prefix_chars=_PREFIX_CHARS_PER_TOKEN * n_prompt,
        suffix_chars=_SUFFIX_CHARS_PER_TOKEN * info.suffix_tokens,
    )
    stable, tail = split(tokenizer, prefix)
    path, repository = (
        _shorten_path(shown_path(each)) for each in (request.path, request.repository)
    )
    header_ids = fim.repository_header(tokenizer, repository)
    header_ids += snippet_header(tokenizer, path, snippets, info.snippet_tokens)
    suffix_ids: list[int] = []
    if info.fim_layout != "left":
        seen = without_closers(suffix) if info.languages else suffix  # not measured with others'
        suffix_ids = encode_again(tokenizer, seen)[: info.suffix_tokens]
    n_markers = N_MARKERS + len(tokenizer.start_ids)
    room = n_prompt - len(header_ids) - len(suffix_ids) - n_markers
    prefix_ids = _fit(tokenizer, stable, request.offset - len(prefix), max(room, 0))
    layout = cast(fim.Layout, info.fim_layout)
    ids = fim.prompt(tokenizer, header_ids, prefix_ids, suffix_ids, layout)
    return Prompt(ids=ids, tail=tail, prefix=prefix, suffix=suffix, n_snippets=len(snippets))


def window(request: CompletionRequest, *, prefix_chars: int, suffix_chars: int) -> tuple[str, str]:
    """Return what the model may see before and behind the cursor, at most so many characters.

    The prefix begins at borders that move in coarse steps: typing must only append to it, or cached
    keys and values are lost. The suffix is cut behind the last line that fits.
    """
    text, offset = request.text, request.offset
    suffix = text[offset : offset + suffix_chars]
    if len(text) - offset > suffix_chars:
        suffix = suffix[: suffix.rfind("\n") + 1] or suffix
    return text[window_start(text, offset, prefix_chars) : offset], suffix


def without_closers(suffix: str) -> str:
    """Return `suffix` without the rest of the cursor's line, where that is closers and quotes only.

    Most often the editor has put them there. The suffix stands before all that was typed, which
    would have to be read anew for each of them; and the rules know what stands behind the cursor.

    >>> without_closers(")]\\nend")
    '\\nend'
    """
    rest, newline, below = suffix.partition("\n")
    return suffix if rest.strip(_CLOSERS) else newline + below


def window_start(text: str, offset: int, n_chars: int) -> int:
    """Return where a window of at most `n_chars` before `offset` begins.

    Borders stand at the first line start behind each multiple of the step (at the multiple itself
    in a line longer than a step), so they depend only on what is left of them.

    >>> window_start("one\\n" * 25, 90, 40)
    52
    """
    step = max(1, n_chars // STEPS_PER_WINDOW)
    border, multiple = 0, max(step, (offset - n_chars) // step * step)
    while offset - border > n_chars:
        border = _line_from(text, multiple, step)
        multiple += step
    return min(border, offset)


def shown_path(path: str) -> str:
    """Return the path as the model sees it.

    >>> shown_path("/home/someone/project/pkg/module.py")
    'project/pkg/module.py'
    """
    path = path.encode("utf-8", "replace").decode()  # a name that is no UTF-8 is no text either
    windows = PureWindowsPath(path)
    pure: PurePath = windows if windows.drive or "\\" in path else PurePosixPath(path)
    return "/".join(pure.parts[1:][-PATH_PARTS:] if pure.anchor else pure.parts)


def prompt_tokens(block_size: int, max_new_tokens: int) -> int:
    """Return the prompt's share of the trained context, in tokens; at least a quarter of it."""
    return max(block_size - max_new_tokens, block_size // 4)


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
    path = _shorten_path(snippet.path)
    lines = snippet.text.split("\n")
    while lines:
        ids = fim.header(tokenizer, path, "\n".join(lines))
        if len(ids) <= room:
            return ids
        lines.pop()
    return []


def _shorten_path(path: str) -> str:
    return " ".join(path.split())[-MAX_PATH_CHARS:]


def _fit(tokenizer: Tokenizer, text: str, offset: int, room: int) -> list[int]:
    """Encode the end of `text` (which begins at `offset`) that fits, from a stable border."""
    ids = encode_again(tokenizer, text)
    # A power of two near a quarter of the room (a token is about four characters of code).
    step = 1 << max(room, 16).bit_length() - 1
    start = 0
    while len(ids) > room:
        excess = tokenizer.decode_bytes(ids[: len(ids) - room])
        minimum = start + max(1, len(excess.decode("utf-8", "ignore")))
        multiple = -(-(offset + minimum) // step) * step  # counted in the document
        start = _line_from(text, multiple - offset, step)
        ids = encode_again(tokenizer, text[start:])
    return ids


def _line_from(text: str, at: int, step: int) -> int:
    """Return the first line start from `at` on; `at` itself in a line longer than a step."""
    newline = text.find("\n", at - 1, at - 1 + step)
    return at if newline < 0 else newline + 1
