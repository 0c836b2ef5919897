"""The next edit in the protocol's terms: inline edits as Copilot's clients know them, code actions.

Finding one works on copies, off the event loop. An edit is given with the version of the text that
it is for, and not at all where that text is gone by the time it is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types

from lsp.documents import Document
from lsp.positions import column_of, units_of

if TYPE_CHECKING:
    from assistant.edits.next_edit import NextEdits, ProposedEdit

INLINE_EDIT = "textDocument/copilotInlineEdit"
INVOKED = types.InlineCompletionTriggerKind.Invoked.value
ASKED = "asked"  # the level of what a menu may hold
MAX_AT_ONCE = 100  # places of one code action


@attrs.define
class InlineEditRequest:
    """A request that the protocol's own types do not have; sidekick.nvim and copilot.el send it."""

    id: int | str
    params: dict[str, Any]
    method: str = INLINE_EDIT
    jsonrpc: str = "2.0"


class EditFollower:
    """Follows what is typed in one client's documents, and says what is due next."""

    def __init__(self) -> None:
        self._edits: NextEdits | None = None
        self._last: tuple[str, int | None, int] = "", None, 0  # document, version, row of a change

    @property
    def edits(self) -> NextEdits:
        """What is known of the last edits; imported when there is one."""
        if self._edits is None:
            from assistant.edits.next_edit import NextEdits

            self._edits = NextEdits()
        return self._edits

    def follow(self, document: Document) -> None:
        """Take the last change of a document. Two at once and apart, as formatters make, do not
        count: they are no person's.
        """
        change = document.last_change
        history = self.edits.history
        if change is None:
            history.interrupt(document.uri)
            return
        row, old, new = change
        uri, version, last_row = self._last
        self._last = document.uri, document.version, row
        if (uri, version) == (document.uri, document.version) and abs(row - last_row) > 1:
            history.interrupt(document.uri)
            return
        self.edits.note(document.uri, row, old, new)
        history.surround(document.uri, document.line_at)

    def forget(self, uri: str) -> None:
        """Drop what is known of a document."""
        if self._edits is not None:
            self._edits.history.forget(uri)

    def dismiss(self) -> None:
        """The user waved the shown edit away."""
        if self._edits is not None:
            self._edits.dismiss()

    async def find(self, document: Document, row: int, show: str) -> list[ProposedEdit]:
        """Return what is due in `document`, surest first; nothing if it changed meanwhile."""
        made = self.edits.history.edits() if self._edits is not None else []
        if not made:
            return []
        version, lines = document.version, document.plain().split("\n")
        propose = self.edits.propose
        found = await asyncio.to_thread(propose, document.uri, lines, row, made, show)
        return found if document.version == version else []


def is_typing_word(document: Document, position: types.Position) -> bool:
    """Say whether the last change was a key, and the cursor stands behind it at a word's end."""
    change = document.last_change
    if change is None:
        return False
    row, _, new = change
    line = document.line_at(position.line)
    column = column_of(line, position.character, document.encoding)
    is_word = column > 0 and (line[column - 1].isalnum() or line[column - 1] == "_")
    is_there = row <= position.line < row + len(new)
    return is_there and is_word and document.last_column == column


def inline_edit(document: Document, edit: ProposedEdit) -> dict[str, Any]:
    """Return an edit as the answer of `textDocument/copilotInlineEdit` holds it."""
    change = text_edit(document, edit)
    return {
        "text": change.new_text,
        "range": {
            "start": attrs.asdict(change.range.start),
            "end": attrs.asdict(change.range.end),
        },
        "textDocument": {"uri": document.uri, "version": document.version},
    }


def text_edit(document: Document, edit: ProposedEdit) -> types.TextEdit:
    """Return the edit with the document's own line ends; whole lines, the last one's end kept."""
    proposal = edit.proposal
    row, end_row = proposal.row, proposal.row + len(proposal.old)
    text = document.eol.join(proposal.new)
    last_row = len(document.lines) - 1
    if row > last_row:  # behind a last line without an end
        last = document.line_at(last_row)
        at = types.Position(last_row, units_of(last, len(last), document.encoding))
        return types.TextEdit(types.Range(at, at), document.eol + text)
    if not proposal.old or not proposal.new:  # lines come or go with their ends
        text = "".join(line + document.eol for line in proposal.new)
        end = types.Position(end_row, 0)
    else:
        last = document.line_at(end_row - 1)
        end = types.Position(end_row - 1, units_of(last, len(last), document.encoding))
    return types.TextEdit(types.Range(types.Position(row, 0), end), text)


def code_actions(
    document: Document, rows: range, found: Sequence[ProposedEdit]
) -> list[types.CodeAction]:
    """Return what the editor's menu offers: the edit at the cursor, and all of the same kind."""
    here = [edit for edit in found if edit.proposal.row in rows]
    actions = []
    if here:
        actions.append(_action(document, "Repeat the last edit here", here[:1], is_quick=True))
    if len(found) > 1 or (found and not here):
        found = found[:MAX_AT_ONCE]
        n_places = f"{len(found)} place{'s' * (len(found) > 1)}"
        title = f"Repeat the last edit in {n_places} of this file"
        actions.append(_action(document, title, found, is_quick=False))
    return actions


def _action(
    document: Document, title: str, edits: Sequence[ProposedEdit], *, is_quick: bool
) -> types.CodeAction:
    target = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    ordered = sorted(edits, key=lambda edit: edit.proposal.row)
    change = types.TextDocumentEdit(target, [text_edit(document, edit) for edit in ordered])
    kind = types.CodeActionKind.QuickFix if is_quick else types.CodeActionKind.RefactorRewrite
    return types.CodeAction(title, kind=kind, edit=types.WorkspaceEdit(document_changes=[change]))


def show_for(params: Mapping[str, Any], show: str) -> str:
    """Return how sure an edit must be: whoever asks by hand looks at what there is."""
    context = params.get("context")
    kind = context.get("triggerKind") if isinstance(context, Mapping) else None
    return show if show == "off" or kind != INVOKED else ASKED


def read_inline_edit(params: Mapping[str, Any]) -> tuple[str, int | None, types.Position] | None:
    """Return document, version and position of a request's parameters; None if they are wrong."""
    document, position = params.get("textDocument"), params.get("position")
    if not isinstance(document, Mapping) or not isinstance(position, Mapping):
        return None
    uri, version = document.get("uri"), document.get("version")
    line, character = position.get("line"), position.get("character")
    if not isinstance(uri, str) or type(line) is not int or type(character) is not int:
        return None
    if line < 0 or character < 0:
        return None
    return uri, version if type(version) is int else None, types.Position(line, character)
