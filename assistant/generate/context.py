"""What the model may see of a document: a window before the cursor and one behind it.

Typing must only append to the prefix, or cached keys and values are lost: the prefix begins at
borders that depend on nothing right of them and moves from one to the next in coarse steps. Sizes
are characters; tokens are not known here.
"""

from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from assistant.request import CompletionRequest

STEPS_PER_WINDOW = 4  # a step is this share of the prefix budget
PATH_PARTS = 3  # kept of an absolute path; the rest is private and was never trained on


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The model's view of a document around the cursor."""

    prefix: str  # ends at the cursor
    suffix: str  # begins at the cursor
    path: str  # with forward slashes; relative, or the last parts of an absolute path


def window(request: CompletionRequest, *, prefix_chars: int, suffix_chars: int) -> Window:
    """Cut the window around the request's cursor, at most that many characters on each side."""
    text, offset = request.text, request.offset
    prefix = text[window_start(text, offset, prefix_chars) : offset]
    return Window(
        prefix=prefix, suffix=_suffix(text, offset, suffix_chars), path=shown_path(request.path)
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
