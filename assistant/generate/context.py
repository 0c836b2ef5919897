"""What the model may see of a document: a window before the cursor and one behind it.

Typing must only append to the prefix, or cached keys and values are lost: the prefix begins at
borders that depend on nothing right of them and moves from one to the next in coarse steps. Sizes
are characters; tokens are not known here.
"""

import functools
import re
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from assistant.request import CompletionRequest
from assistant.source import blocks
from assistant.source.languages import LANGUAGES, Language, language_of
from assistant.source.syntax import Scope, imports, parse_head, scopes_at, text_scopes

STEPS_PER_WINDOW = 4  # a step is this share of the prefix budget
SKELETON_FRAC = 0.25  # of the prefix budget, once the file is longer than that
MAX_TREE_CHARS = 30_000  # a longer head gets its skeleton by text rules: parsing takes too long
PARSE_LIMIT_S = 0.25
MAX_IMPORT_CHARS = 20_000  # where imports are looked for by text rules
PATH_PARTS = 3  # kept of an absolute path; the rest is private and was never trained on

_IMPORT = re.compile(r"(?:import|from|use|using|#\s*include)\b.*", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The model's view of a document around the cursor."""

    prefix: str  # ends at the cursor
    suffix: str  # begins at the cursor
    path: str  # with forward slashes; relative, or the last parts of an absolute path


def window(
    request: CompletionRequest, *, prefix_chars: int, suffix_chars: int, skeleton: bool = True
) -> Window:
    """Cut the window around the request's cursor, at most that many characters on each side.

    With `skeleton`, a prefix that does not begin at the file's start is led by the imports and the
    headers of the scopes that the window begins in, as if the code between had been folded away.
    """
    text, offset = request.text, request.offset
    if offset <= prefix_chars:
        prefix = text[:offset]
    elif skeleton:
        room = int(prefix_chars * SKELETON_FRAC)
        start = window_start(text, offset, prefix_chars - room)
        language = language_of(request.path, request.language)
        prefix = _skeleton(text, start, room, language) + text[start:offset]
    else:
        prefix = text[window_start(text, offset, prefix_chars) : offset]
    return Window(
        prefix=prefix,
        suffix=_suffix(text, offset, suffix_chars),
        path=shown_path(request.path),
    )


def window_start(text: str, offset: int, n_chars: int) -> int:
    """Return where a window of at most `n_chars` before `offset` begins.

    Borders stand at the first line start behind each multiple of the step (at the multiple itself
    in a line longer than a step), so they depend only on what is left of them, and the window's
    start stays the same for about a step of typing.

    >>> window_start("one\\n" * 25, 90, 40)
    52
    """
    if offset <= n_chars:
        return 0
    step = max(1, n_chars // STEPS_PER_WINDOW)
    index = (offset - n_chars) // step
    while True:
        border = _border(text, index * step, step)
        if offset - border <= n_chars:
            return min(border, offset)
        index += 1


def _border(text: str, multiple: int, step: int) -> int:
    """Return the first line start in [multiple, multiple + step), else `multiple`."""
    if multiple == 0:
        return 0
    newline = text.find("\n", multiple - 1, multiple + step - 1)
    return multiple if newline < 0 else newline + 1


def _suffix(text: str, offset: int, n_chars: int) -> str:
    """Return what follows the cursor, cut behind the last line that fits."""
    if len(text) - offset <= n_chars:
        return text[offset:]
    cut = text[offset : offset + n_chars]
    return cut[: cut.rfind("\n") + 1] or cut


def shown_path(path: str) -> str:
    """Return the path as the model sees it.

    >>> shown_path("/home/someone/project/pkg/module.py")
    'project/pkg/module.py'
    """
    path = path.encode("utf-8", "replace").decode()  # a name that is no UTF-8 is no text either
    windows = PureWindowsPath(path)
    pure: PurePath = windows if windows.drive or "\\" in path else PurePosixPath(path)
    parts = pure.parts
    if pure.anchor:
        parts = parts[1:][-PATH_PARTS:]
    return "/".join(parts)


def _skeleton(text: str, start: int, n_chars: int, language: Language | None) -> str:
    """Return imports and scope headers that lead to `start`, in the order of the file.

    Depends only on the text left of `start` and on the indentation there, so it is stable too.
    """
    first = next((line for _, line in _lines_from(text, start) if line.strip()), "")
    name = language.name if language else None
    return _folded(text[:start], blocks.indent_of(first), n_chars, name)


def _lines_from(text: str, start: int) -> list[tuple[int, str]]:
    """Return the line at `start` and a few below it."""
    lines = [(start, text[start : blocks.line_end(text, start)])]
    for _, found in zip(range(3), blocks.lines_below(text, start), strict=False):
        lines.append(found)
    return lines


@functools.lru_cache(maxsize=16)  # typing asks for the same one until the window moves
def _folded(head: str, indent: str, n_chars: int, language_name: str | None) -> str:
    language = LANGUAGES[language_name] if language_name else None
    text = head + indent
    tree, place = None, 0
    if len(head) <= MAX_TREE_CHARS:
        parsed = parse_head(text, len(head), language, limit_s=PARSE_LIMIT_S)
        tree, place = parsed.tree, parsed.place
    if tree is None:
        scopes = text_scopes(text, len(head), language)
        found = [(match.start(), match.group()) for match in _import_lines(head)]
    else:
        scopes = scopes_at(tree, place) or text_scopes(text, len(head), language)
        found = [(span.start, head[span.start : span.end].rstrip()) for span in imports(tree)]
    headers = [(scope.header_start, scope.header) for scope in _distinct(scopes)]
    return _join(_fitting(headers, found, n_chars))


def _distinct(scopes: tuple[Scope, ...]) -> list[Scope]:
    """Return the scopes without those whose header is already another's line."""
    starts = {scope.header_start: scope for scope in reversed(scopes)}
    return [starts[start] for start in sorted(starts)]


def _import_lines(head: str) -> list[re.Match[str]]:
    lines = _IMPORT.finditer(head, 0, min(len(head), MAX_IMPORT_CHARS))
    return [match for match in lines if match.start() == blocks.line_start(head, match.start())]


def _fitting(
    headers: list[tuple[int, str]], found: list[tuple[int, str]], n_chars: int
) -> list[tuple[int, str]]:
    """Return the pieces that fit, in file order; headers go first, the innermost before all."""
    room = n_chars
    pieces = []
    for piece in [*reversed(headers), *found]:
        cost = len(piece[1]) + 3  # its line end and a blank line around it
        if cost > room:
            if piece in headers:
                continue
            break
        room -= cost
        pieces.append(piece)
    return sorted(pieces)


def _join(pieces: list[tuple[int, str]]) -> str:
    """Write the pieces as code: imports together, a blank line before the first header."""
    text = ""
    was_import = False
    for _, piece in pieces:
        is_import = bool(_IMPORT.match(piece))
        if was_import and not is_import:
            text += "\n"
        text += piece + "\n"
        was_import = is_import
    return text + "\n" if was_import else text
