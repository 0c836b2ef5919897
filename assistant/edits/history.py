"""What a person just changed: keystrokes joined into edits, kept in memory only and bounded.

An edit is a run of changes whose lines touch; it lasts until a change elsewhere. A change that no
person types (a new text of the whole document, a formatter's or a branch switch's many lines) ends
the edit under way and is none itself. Knows lines and rows; knows neither protocol nor files.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MAX_EDITS = 24  # remembered of a workspace
MAX_AGE_S = 1_800.0
MAX_LINES = 40  # of one edit; more is not a person's
MAX_LINE_CHARS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change of a person: `old` lines became `new` ones at `row`; lines have no ends."""

    path: str
    row: int  # of the first line, after the edit
    old: tuple[str, ...]
    new: tuple[str, ...]
    before: str = ""  # the line above, and the one below
    after: str = ""
    at_s: float = 0.0


@dataclass(eq=False, slots=True)
class _Open:
    """The edit under way in a document."""

    row: int
    old: list[str]
    new: list[str]
    before: str = ""
    after: str = ""
    at_s: float = 0.0  # of its last change


@dataclass(eq=False, slots=True)
class EditHistory:
    """The edits of a workspace, newest last. Used on one thread."""

    clock_s: Callable[[], float] = time.monotonic
    _done: deque[Edit] = field(default_factory=lambda: deque(maxlen=MAX_EDITS))
    _open: dict[str, _Open] = field(default_factory=dict)

    def note(self, path: str, row: int, old: Sequence[str], new: Sequence[str]) -> None:
        """Take a change of the document at `path`: `old` lines from `row` on are now `new`."""
        if list(old) == list(new):
            return
        if max(len(old), len(new)) > MAX_LINES or any(len(x) > MAX_LINE_CHARS for x in new):
            self.interrupt(path)
            return
        edit = self._open.get(path)
        if edit is not None and not _touches(edit, row, len(old)):
            self._close(path)
            edit = None
        if edit is None:
            edit = self._open[path] = _Open(row, list(old), list(new))
        else:
            _extend(edit, row, list(old), list(new))
        edit.at_s = self.clock_s()
        if max(len(edit.old), len(edit.new)) > MAX_LINES:
            self.interrupt(path)

    def surround(self, path: str, lines: Callable[[int], str]) -> None:
        """Remember the lines around the edit under way; `lines` gives "" where there is none."""
        if edit := self._open.get(path):
            edit.before, edit.after = lines(edit.row - 1), lines(edit.row + len(edit.new))

    def interrupt(self, path: str) -> None:
        """The document changed as no person changes it: what is under way there is no edit."""
        self._open.pop(path, None)

    def forget(self, path: str) -> None:
        """Drop all that is known of the document at `path`."""
        self._open.pop(path, None)
        kept = [edit for edit in self._done if edit.path != path]
        self._done.clear()
        self._done.extend(kept)

    def edits(self) -> list[Edit]:
        """Return the edits, oldest first, those under way among them."""
        oldest_s = self.clock_s() - MAX_AGE_S
        under_way = sorted(self._open.items(), key=lambda item: item[1].at_s)
        edits = [*self._done, *(self._edit(path, edit) for path, edit in under_way)]
        return [edit for edit in edits if edit.at_s >= oldest_s and edit.old != edit.new]

    def _close(self, path: str) -> None:
        edit = self._edit(path, self._open.pop(path))
        if edit.old != edit.new:  # undone is nothing
            self._done.append(edit)

    @staticmethod
    def _edit(path: str, edit: _Open) -> Edit:
        old, new, row = edit.old, edit.new, edit.row
        before, after = edit.before, edit.after
        while old and new and old[0] == new[0]:
            before, old, new, row = old[0], old[1:], new[1:], row + 1
        while old and new and old[-1] == new[-1]:
            after, old, new = old[-1], old[:-1], new[:-1]
        return Edit(
            path=path,
            row=row,
            old=tuple(old),
            new=tuple(new),
            before=before,
            after=after,
            at_s=edit.at_s,
        )


def _touches(edit: _Open, row: int, n_old: int) -> bool:
    return row <= edit.row + len(edit.new) and row + n_old >= edit.row


def _extend(edit: _Open, row: int, old: list[str], new: list[str]) -> None:
    """Join a change to the edit: what it touches outside was the same in the old text."""
    above = old[: max(0, edit.row - row)]
    end = edit.row + len(edit.new)
    n_below = max(0, row + len(old) - end)
    below = old[len(old) - n_below :]
    covered = above + edit.new + below
    start = min(row, edit.row)
    offset = row - start
    edit.new = covered[:offset] + new + covered[offset + len(old) :]
    edit.old = above + edit.old + below
    edit.row = start
