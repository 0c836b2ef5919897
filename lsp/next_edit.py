"""The next edit in the protocol's terms: inline edits as Copilot's clients know them, code actions.

Finding one works on copies, off the event loop. An edit is given with the version of the text that
it is for, and not at all where that text is gone by the time it is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
from cattrs import BaseValidationError, Converter
from lsprotocol import types

from lsp.document_paths import local_path
from lsp.documents import Document, column_of, units_of

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.edits.history import Edit
    from assistant.edits.next_edit import NextEdits, ProposedEdit
    from assistant.index.folder_index import FolderIndex
    from assistant.settings import Settings
    from lsp.documents import Workspace

INLINE_EDIT = "textDocument/copilotInlineEdit"
MAX_AT_ONCE = 100  # places of one code action
_NOWHERE = -2  # a row that is apart from all: so are a notification's further changes
UNSEEN = "eager"  # the level of `show` for files that the user may not have in view
KINDS = [types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite]  # of code actions


@attrs.define
class InlineEditRequest:
    """A request that the protocol's own types do not have; sidekick.nvim and copilot.el send it."""

    id: int | str
    params: dict[str, Any]
    method: str = INLINE_EDIT
    jsonrpc: str = "2.0"


class EditFollower:
    """Follows what is typed in one client's documents, and says what is due next.

    `folder_of` names the workspace folder of a document's URI ("" outside all), None for one that
    is excluded or secret: that teaches nothing and is offered nothing.
    """

    def __init__(self, folder_of: Callable[[str], str | None]) -> None:
        self._folder = functools.lru_cache(4_096)(folder_of)  # by URI: not asked at each key
        self._edits: NextEdits | None = None
        self._last: tuple[str, int | None, int] = "", None, 0  # document, version, row of a change

    def follow(self, document: Document) -> None:
        """Take the last change of a document.

        Two at once and apart, as formatters make, are no person's.
        """
        if self._folder(document.uri) is None:
            return
        if self._edits is None:  # imported with the first edit
            from assistant.edits.next_edit import NextEdits

            self._edits = NextEdits()
        history, change = self._edits.history, document.last_change
        if change is None:
            history.interrupt(document.uri)
            return
        row, old, new = change
        uri, version, last_row = self._last
        is_same = (uri, version) == (document.uri, document.version)
        is_apart = is_same and abs(row - last_row) > 1
        self._last = document.uri, document.version, _NOWHERE if is_apart else row
        if is_apart:
            history.interrupt(document.uri)
            return
        self._edits.note(document.uri, row, old, new)
        history.surround(document.uri, document.line_at)

    def forget(self, uri: str) -> None:
        """Drop what is known of a document."""
        if self._edits is not None:
            self._edits.history.forget(uri)

    def forget_all(self) -> None:
        """Drop everything: other files may be excluded now."""
        self._folder.cache_clear()
        self._edits = None

    def dismiss(self) -> None:
        """The user waved the shown edit away."""
        if self._edits is not None:
            self._edits.dismiss()

    def note_offer(self, document: Document, edit: ProposedEdit) -> None:
        """Remember what is shown."""
        if self._edits is not None:
            self._edits.offered(document.uri, edit)

    async def find(self, document: Document, row: int, show: str) -> list[ProposedEdit]:
        """Return what is due in `document`, surest first; nothing if it changed meanwhile."""
        edits, made = self._edits, self._made(document)
        if edits is None or not made:
            return []
        version, lines = document.version, document.plain().split("\n")
        found = await asyncio.to_thread(edits.propose, document.uri, lines, row, made, show)
        if document.version != version or edits is not self._edits:
            return []
        return [edit for edit in found if edits.is_wanted(document.uri, edit.proposal)]

    async def finish(self, document: Document, position: types.Position, show: str) -> str:
        """Return the rest of a change begun at the cursor, "" where nothing is sure."""
        edits, made = self._edits, self._made(document)
        if edits is None or not made:
            return ""
        from assistant.edits.next_edit import find_begun

        row, line = position.line, document.line_at(position.line)
        begun = find_begun(document.uri, row, line, made)
        if begun is None:
            return ""
        version, lines = document.version, document.plain().split("\n")
        place = row, column_of(line, position.character, document.encoding)
        rest = await asyncio.to_thread(edits.finish, document.uri, lines, place, begun, show)
        return rest if document.version == version and edits is self._edits else ""

    async def find_elsewhere(
        self,
        document: Document,
        workspace: Workspace,
        index: FolderIndex | None,
        settings: Settings,
    ) -> list[tuple[Document, list[ProposedEdit]]]:
        """Return where the last edit is due in other files of the folder, open ones first."""
        edits, made = self._edits, self._made(document)
        if edits is None or not made or made[-1].path != document.uri or settings.show == "off":
            return []
        from assistant.edits.history import line_changes

        folder = self._folder(document.uri) or ""
        lines = [change.old for change in line_changes(made[-1])]  # elsewhere just these are due
        opened = map(workspace.completable, [*workspace.text_documents])
        others = [
            (other, other.version, text.split("\n"))
            for other in opened
            if other and other is not document and self._folder(other.uri) == folder
            for text in [other.plain()]
            if any(line in text for line in lines)
        ]
        its_files = [local_path(each.uri) for each in workspace.text_documents.values()]

        def search() -> list[tuple[Document, list[ProposedEdit]]]:
            files = [(other, lines) for other, _, lines in others]
            if index is not None:
                closed = _closed_files(index, folder, made[-1], settings.exclude, its_files)
                for uri, text in closed:
                    file = Document(uri, text, encoding=document.encoding)
                    files.append((file, file.plain().split("\n")))
            found = [
                (file, edits.propose(file.uri, lines, 0, made[-1:], UNSEEN))
                for file, lines in files
            ]
            return [(file, places) for file, places in found if places]

        found = await asyncio.to_thread(search)
        is_current = all(other.version == version for other, version, _ in others)
        return found if is_current and edits is self._edits else []

    def _made(self, document: Document) -> list[Edit]:
        """Return the edits made in the document's folder."""
        folder = self._folder(document.uri)
        if self._edits is None or folder is None:
            return []
        edits = self._edits.history.edits()
        return [edit for edit in edits if self._folder(edit.path) == folder]


def _closed_files(
    index: FolderIndex,
    folder: str,
    edit: Edit,
    exclude: tuple[str, ...],
    opened: Sequence[Path | None],
) -> Iterator[tuple[str, str]]:
    """Yield (URI, text) of files that hold what the edit changed and that no document shows.

    The index knows of the documents in its folder alone, and by one name: an open one may be in a
    folder inside, or behind a link, and what is on disk is not what its editor has.
    """
    root = local_path(folder)
    if root is None:
        return
    from assistant.index.folder_index import files_like

    shown = {os.path.realpath(file) for file in opened if file}
    for path, text in files_like(index, root, edit, exclude):
        if os.path.realpath(root / path) not in shown:
            with contextlib.suppress(UnicodeEncodeError):  # a name that URIs cannot say
                yield f"{folder.rstrip('/')}/{quote(path)}", text


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
        "range": {"start": attrs.asdict(change.range.start), "end": attrs.asdict(change.range.end)},
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
    document: Document,
    rows: range,
    found: Sequence[ProposedEdit],
    elsewhere: Sequence[tuple[Document, Sequence[ProposedEdit]]],
) -> list[types.CodeAction]:
    """Return what the editor's menu offers: the edit at the cursor, and all of the same kind."""
    here = [edit for edit in found if edit.proposal.row in rows][:1]
    actions = []
    if here:
        which = "the last" if here[0].proposal.is_of_last_edit else "an earlier"
        actions.append(_action(f"Repeat {which} edit here", [(document, here)], is_quick=True))
    due = apart(document, [edit for edit in found if edit.proposal.is_of_last_edit])
    if due and due != here:
        title = f"Repeat the last edit in {_count(len(due), 'place')} of this file"
        actions.append(_action(title, [(document, due)], is_quick=False))
    if elsewhere:
        others = [(other, apart(other, edits)) for other, edits in elsewhere]
        n_places = sum(len(edits) for _, edits in others)
        places, files = _count(n_places, "place"), _count(len(others), "other file")
        title = f"Repeat the last edit in {places} of {files}"
        actions.append(_action(title, others, is_quick=False))
    return actions


def apart(document: Document, edits: Sequence[ProposedEdit]) -> list[ProposedEdit]:
    """Return the first of the edits that can be made at once: no two change the same text."""
    kept: list[ProposedEdit] = []
    taken: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for edit in edits:
        span = text_edit(document, edit).range
        start, end = ((at.line, at.character) for at in (span.start, span.end))
        if not any(start < other_end and other_start < end for other_start, other_end in taken):
            taken.append((start, end))
            kept.append(edit)
        if len(kept) == MAX_AT_ONCE:
            break
    return kept


def kinds_among(
    wanted: Sequence[types.CodeActionKind | str] | None,
) -> list[types.CodeActionKind]:
    """Return our kinds of code actions that are, or are within, those `wanted`; none named: all."""
    within = tuple(kind + "." if kind else "" for kind in wanted or [""])
    return [kind for kind in KINDS if (kind + ".").startswith(within)]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n > 1)}"


def _action(
    title: str, files: Sequence[tuple[Document, Sequence[ProposedEdit]]], *, is_quick: bool
) -> types.CodeAction:
    changes = []
    for document, edits in files:  # a file that is not open has no version
        target = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
        ordered = sorted(edits, key=lambda edit: edit.proposal.row)
        its = [text_edit(document, edit) for edit in ordered]
        changes.append(types.TextDocumentEdit(target, its))
    kind = types.CodeActionKind.QuickFix if is_quick else types.CodeActionKind.RefactorRewrite
    return types.CodeAction(title, kind=kind, edit=types.WorkspaceEdit(document_changes=changes))


def read_inline_edit(
    params: dict[str, Any], converter: Converter
) -> tuple[types.OptionalVersionedTextDocumentIdentifier, types.Position, bool] | None:
    """Return what a request says, and whether it is by hand; None if its parameters are wrong."""
    try:
        document = converter.structure(
            params["textDocument"], types.OptionalVersionedTextDocumentIdentifier
        )
        position = converter.structure(params["position"], types.Position)
    except (BaseValidationError, KeyError, TypeError, ValueError):
        return None
    context = params.get("context")
    kind = context.get("triggerKind") if isinstance(context, Mapping) else None
    return document, position, kind == types.InlineCompletionTriggerKind.Invoked.value
