"""Suggestions as the protocol's items.

Every item gets a range on the cursor's line, inside the document that the client has: an editor
puts in text without one by its own guess, and one outside the buffer is an error in the user's
face. "Nothing to offer" is an empty list, never null, which would leave an old suggestion showing.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from lsprotocol import types

from assistant.request import Completion
from lsp.documents import Snapshot, column_of, units_of

LABEL_CHARS = 80  # of a menu entry


def inline_items(
    snapshot: Snapshot, completions: Sequence[Completion]
) -> list[types.InlineCompletionItem]:
    """Return the items of textDocument/inlineCompletion."""
    items = []
    for completion in completions:
        start, end = columns(snapshot, completion)
        text = completion.text.replace("\n", snapshot.eol)
        items.append(types.InlineCompletionItem(text, range=_range(snapshot, start, end)))
    return items


def menu_items(snapshot: Snapshot, completions: Sequence[Completion]) -> list[types.CompletionItem]:
    """Return the same suggestions as items of textDocument/completion.

    An entry begins with the word that is being typed: menus compare it with that word.
    """
    items = []
    for rank, completion in enumerate(completions):
        start, end = columns(snapshot, completion)
        word_start = _word_start(snapshot.line, start)
        text = snapshot.line[word_start:start] + completion.text
        edit = types.TextEdit(_range(snapshot, word_start, end), text.replace("\n", snapshot.eol))
        item = types.CompletionItem(
            label=text.strip().partition("\n")[0][:LABEL_CHARS],
            kind=types.CompletionItemKind.Text,
            detail="foretype",
            documentation=text,
            filter_text=text,
            sort_text=f"{rank:04}",
            insert_text_format=types.InsertTextFormat.PlainText,
            text_edit=edit,
        )
        items.append(item)
    return items


def columns(snapshot: Snapshot, completion: Completion) -> tuple[int, int]:
    """Return what is replaced of the cursor's line; never without the cursor."""
    line_start = snapshot.offset - snapshot.column
    start = min(max(completion.start - line_start, 0), snapshot.column)
    return start, min(max(completion.end - line_start, snapshot.column), len(snapshot.line))


def _word_start(line: str, column: int) -> int:
    while column and (line[column - 1].isalnum() or line[column - 1] == "_"):
        column -= 1
    return column


def _range(snapshot: Snapshot, start: int, end: int) -> types.Range:
    columns = (units_of(snapshot.line, column, snapshot.encoding) for column in (start, end))
    return types.Range(*(types.Position(snapshot.row, column) for column in columns))


class MenuChoice(NamedTuple):
    """An entry that is selected in a menu of the editor, and the document with and without it.

    What follows is completed as if the entry stood there already: VS Code asks so while its own
    list is open, and shows only what begins with the entry.
    """

    after: Snapshot
    start: int  # offsets in the document of before, of what the entry replaces
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
    after = snapshot._replace(
        text=snapshot.text[:line_start] + line + snapshot.text[line_start + len(snapshot.line) :],
        offset=line_start + column,
        line=line,
        column=column,
    )
    return MenuChoice(after, line_start + start, line_start + end, selected.text)
