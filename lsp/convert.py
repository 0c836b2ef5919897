"""Between the protocol's values and the assistant's: snapshots to requests, suggestions to items.

Every item gets a range on the cursor's line, inside the document that the client has: an editor
puts in text without one by its own guess, and one outside the buffer is an error in the user's
face. "Nothing to offer" is an empty list, never null, which would leave an old suggestion showing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lsprotocol import types

from assistant.request import Completion, CompletionRequest
from lsp.document_paths import place_in
from lsp.documents import Snapshot
from lsp.positions import units_of

LABEL_CHARS = 80  # of a menu entry


def request_of(
    snapshot: Snapshot, *, roots: Sequence[str], deadline_ms: int, n: int = 1
) -> CompletionRequest:
    """Return what the engine is asked."""
    return CompletionRequest(
        path=place_in(snapshot.uri, roots)[1],
        document=snapshot.uri,
        text=snapshot.text,
        offset=snapshot.offset,
        language=snapshot.language,
        n=n,
        deadline_ms=deadline_ms,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemOptions:
    """One suggestion in the client's terms."""

    text: str  # with the document's own line ends
    plain: str  # the same with LF
    range: types.Range  # what it replaces
    word: str  # the part of a word that stands before that
    word_start: types.Position


def offers(snapshot: Snapshot, completions: Sequence[Completion]) -> list[ItemOptions]:
    """Return the suggestions for the client that has the document of `snapshot`."""
    return [_offer(snapshot, completion) for completion in completions]


def _offer(snapshot: Snapshot, completion: Completion) -> ItemOptions:
    start, end = _columns(snapshot, completion)
    word_start = start
    while word_start and (
        snapshot.line[word_start - 1].isalnum() or snapshot.line[word_start - 1] == "_"
    ):
        word_start -= 1
    return ItemOptions(
        text=_own_line_ends(completion.text, snapshot),
        plain=completion.text,
        range=types.Range(start=_position(snapshot, start), end=_position(snapshot, end)),
        word=snapshot.line[word_start:start],
        word_start=_position(snapshot, word_start),
    )


def inline_list(found: Sequence[ItemOptions]) -> types.InlineCompletionList:
    """Return the result of textDocument/inlineCompletion."""
    return types.InlineCompletionList(
        [types.InlineCompletionItem(offer.text, range=offer.range) for offer in found]
    )


def menu_list(found: Sequence[ItemOptions]) -> types.CompletionList:
    """Return the same suggestions as the result of textDocument/completion.

    An entry begins with the word that is being typed: menus compare it with that word.
    """
    items = [
        types.CompletionItem(
            label=(offer.word + offer.plain).strip().partition("\n")[0][:LABEL_CHARS],
            kind=types.CompletionItemKind.Text,
            detail="foretype",
            documentation=offer.word + offer.plain,
            filter_text=offer.word + offer.plain,
            sort_text=f"{rank:04}",
            insert_text_format=types.InsertTextFormat.PlainText,
            text_edit=types.TextEdit(
                range=types.Range(start=offer.word_start, end=offer.range.end),
                new_text=offer.word + offer.text,
            ),
        )
        for rank, offer in enumerate(found)
    ]
    return types.CompletionList(is_incomplete=True, items=items)


def _columns(snapshot: Snapshot, completion: Completion) -> tuple[int, int]:
    """Return what is replaced of the cursor's line; never without the cursor."""
    line_start = snapshot.offset - snapshot.column
    start = min(max(completion.start - line_start, 0), snapshot.column)
    return start, min(max(completion.end - line_start, snapshot.column), len(snapshot.line))


def _position(snapshot: Snapshot, column: int) -> types.Position:
    return types.Position(snapshot.row, units_of(snapshot.line, column, snapshot.encoding))


def _own_line_ends(text: str, snapshot: Snapshot) -> str:
    return text if snapshot.eol == "\n" else text.replace("\n", snapshot.eol)
