"""What is asked for is looked for off the loop: what was waved away meanwhile is not given."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from lsprotocol import types

from assistant.settings import Settings
from lsp.documents import Workspace
from lsp.next_edit import EditFollower

URI = "file:///w/a.py"
TEXT = "data = fetch(url)\nother = 1\ndata = fetch(url)\n"


@pytest.mark.asyncio
@pytest.mark.parametrize("is_dismissed", [False, True])
async def test_an_answer_on_its_way_holds_no_edit_that_was_waved_away(
    monkeypatch: pytest.MonkeyPatch, is_dismissed: bool
) -> None:
    follower = EditFollower(lambda _: "")
    workspace = Workspace([], "utf-16", lambda _: None, follower.follow)
    document = type_timeout(workspace)
    (first,) = await follower.find(document, 1, "balanced")
    follower.note_offer(document, first)
    assert follower._edits is not None
    propose: Callable[..., Any] = follower._edits.propose

    def propose_and_wait(*arguments: object) -> Any:
        found = propose(*arguments)
        assert threading.current_thread() is not threading.main_thread()
        if is_dismissed:
            follower.dismiss()
        return found

    monkeypatch.setattr(follower._edits, "propose", propose_and_wait)
    found = await follower.find(document, 1, "balanced")
    assert [edit.proposal for edit in found] == ([] if is_dismissed else [first.proposal])


@pytest.mark.asyncio
async def test_of_many_open_documents_those_with_the_line_alone_are_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follower = EditFollower(lambda _: "")
    workspace = Workspace([], "utf-16", lambda _: None, follower.follow)
    document = type_timeout(workspace)
    for name, text in (("b", "    data = fetch(url)\n"), ("c", "data = fetch(urls)\n" * 9)):
        item = types.TextDocumentItem(f"file:///w/{name}.py", "python", 1, text)
        workspace.put_text_document(item)
    looked_through = []
    assert follower._edits is not None
    propose: Callable[..., Any] = follower._edits.propose

    def propose_and_tell(uri: str, *arguments: object) -> Any:
        looked_through.append(uri)
        return propose(uri, *arguments)

    monkeypatch.setattr(follower._edits, "propose", propose_and_tell)
    await follower.find_elsewhere(document, workspace, None, Settings())
    assert looked_through == ["file:///w/b.py"]


@pytest.mark.parametrize("rows", [(5, 0), (5, 4, 0), (5, 1, 0), (0, 1, 5), (5, 3, 2, 1)])
def test_changes_at_once_and_apart_are_no_edit_wherever_the_last_of_them_is(
    rows: tuple[int, ...],
) -> None:
    follower = EditFollower(lambda _: "")
    workspace = Workspace([], "utf-16", lambda _: None, follower.follow)
    workspace.put_text_document(types.TextDocumentItem(URI, "python", 1, "call(one)\n" * 9))
    for row in rows:
        span = types.Range(types.Position(row, 5), types.Position(row, 8))
        change = types.TextDocumentContentChangePartial(span, "two")
        workspace.update_text_document(types.VersionedTextDocumentIdentifier(2, URI), change)
    assert follower._edits is not None
    assert follower._edits.history.edits() == []


def type_timeout(workspace: Workspace) -> Any:
    """Open a document and add an argument to its first call."""
    workspace.put_text_document(types.TextDocumentItem(URI, "python", 1, TEXT))
    place = types.Position(0, 16)
    change = types.TextDocumentContentChangePartial(types.Range(place, place), ", timeout=5")
    name = types.VersionedTextDocumentIdentifier(2, URI)
    workspace.update_text_document(name, change)
    return workspace.opened(URI)
