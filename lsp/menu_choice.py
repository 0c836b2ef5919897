"""Completes after the entry that is selected in a menu of the editor, as if it stood there already.

VS Code asks so while its own list is open, and shows only what begins with the selected entry.
"""

import dataclasses
from collections.abc import Sequence

from lsprotocol import types

from assistant.request import Completion
from lsp.documents import Snapshot
from lsp.positions import column_of


@dataclasses.dataclass(frozen=True, slots=True)
class MenuChoice:
    """The entry, and the document with and without it."""

    before: Snapshot
    after: Snapshot
    start: int  # offsets in `before` of what the entry replaces
    end: int
    text: str

    def continued(self, completions: Sequence[Completion]) -> list[Completion]:
        """Return completions of `after` as completions of `before`, the entry first."""
        return [
            dataclasses.replace(
                item,
                text=self.text + item.text,
                start=self.start,
                end=self.end + item.end - self.after.offset,
            )
            for item in completions
            if item.start == self.after.offset
        ]


def choose(snapshot: Snapshot, selected: types.SelectedCompletionInfo | None) -> MenuChoice | None:
    """Put the selected entry into `snapshot`; None if none is, or not on the cursor's line."""
    if selected is None or not selected.text.isprintable():  # one line of whole characters
        return None
    first, last = selected.range.start, selected.range.end
    if not first.line == last.line == snapshot.row:
        return None
    start, end = (
        column_of(snapshot.line, place.character, snapshot.encoding) for place in (first, last)
    )
    if not start <= snapshot.column <= end:
        return None
    line_start = snapshot.offset - snapshot.column
    line = snapshot.line[:start] + selected.text + snapshot.line[end:]
    column = start + len(selected.text)
    after = dataclasses.replace(
        snapshot,
        text=snapshot.text[:line_start] + line + snapshot.text[line_start + len(snapshot.line) :],
        offset=line_start + column,
        line=line,
        column=column,
    )
    return MenuChoice(snapshot, after, line_start + start, line_start + end, selected.text)
