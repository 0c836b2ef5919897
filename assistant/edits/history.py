"""What a person just changed: keystrokes joined into edits, kept in memory only and bounded.

An edit is a run of changes whose lines touch; it lasts until a change elsewhere. A change that no
person types (a new text of the whole document, a formatter's or a branch switch's many lines) ends
the edit under way and is none itself.
"""

import dataclasses
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
class EditHistory:
    """The edits of a workspace, newest last. Used on one thread."""

    clock_s: Callable[[], float] = time.monotonic
    _done: deque[Edit] = field(default_factory=lambda: deque(maxlen=MAX_EDITS))
    _open: dict[str, Edit] = field(default_factory=dict)

    def note(self, path: str, row: int, old: Sequence[str], new: Sequence[str]) -> None:
        """Take a change of the document at `path`: `old` lines from `row` on are now `new`."""
        if list(old) == list(new):
            return
        if max(len(old), len(new)) > MAX_LINES or any(len(x) > MAX_LINE_CHARS for x in new):
            self.interrupt(path)
            return
        edit = self._open.get(path)
        if edit is not None and not (
            row <= edit.row + len(edit.new) and row + len(old) >= edit.row
        ):
            self._close(path)
            edit = None
        change = Edit(path=path, row=row, old=tuple(old), new=tuple(new), at_s=self.clock_s())
        edit = self._open[path] = change if edit is None else _extend(edit, change)
        if max(len(edit.old), len(edit.new)) > MAX_LINES:
            self.interrupt(path)

    def surround(self, path: str, lines: Callable[[int], str]) -> None:
        """Remember the lines around the edit under way; `lines` gives "" where there is none."""
        if edit := self._open.get(path):
            before, after = lines(edit.row - 1), lines(edit.row + len(edit.new))
            self._open[path] = dataclasses.replace(edit, before=before, after=after)

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
        under_way = sorted(self._open.values(), key=lambda edit: edit.at_s)
        edits = [*self._done, *map(_trim, under_way)]
        return [edit for edit in edits if edit.at_s >= oldest_s and edit.old != edit.new]

    def _close(self, path: str) -> None:
        edit = _trim(self._open.pop(path))
        if edit.old != edit.new:  # undone is nothing
            self._done.append(edit)


def _trim(edit: Edit) -> Edit:
    """Leave out what the edit's lines begin and end with both before and after it."""
    old, new, row = edit.old, edit.new, edit.row
    before, after = edit.before, edit.after
    while old and new and old[0] == new[0]:
        before, old, new, row = old[0], old[1:], new[1:], row + 1
    while old and new and old[-1] == new[-1]:
        after, old, new = old[-1], old[:-1], new[:-1]
    return dataclasses.replace(edit, row=row, old=old, new=new, before=before, after=after)


def _extend(edit: Edit, change: Edit) -> Edit:
    """Join a change to an edit: what it touches outside was the same in the old text."""
    row, old = change.row, change.old
    above = old[: max(0, edit.row - row)]
    below = old[len(old) - max(0, row + len(old) - edit.row - len(edit.new)) :]
    covered = above + edit.new + below
    start = min(row, edit.row)
    new = covered[: row - start] + change.new + covered[row - start + len(old) :]
    old = above + edit.old + below
    return dataclasses.replace(edit, row=start, old=old, new=new, at_s=change.at_s)
