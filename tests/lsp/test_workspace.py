"""The client's documents and folders followed, wrong edits survived."""

import logging
from typing import Any

import pytest
from lsprotocol import types

from lsp.documents import MAX_CHARS, Workspace

URI = "file:///w/a.py"
PLACE = types.Position(0, 0)


def whole(text: str) -> types.TextDocumentContentChangeEvent:
    return types.TextDocumentContentChangeWholeDocument(text)


def insertion(text: str) -> types.TextDocumentContentChangeEvent:
    return types.TextDocumentContentChangePartial(range=types.Range(PLACE, PLACE), text=text)


def identifier(version: int, uri: str = URI) -> types.VersionedTextDocumentIdentifier:
    return types.VersionedTextDocumentIdentifier(uri=uri, version=version)


def with_open(text: str, **options: Any) -> Workspace:
    workspace = Workspace(**options)
    workspace.put_text_document(types.TextDocumentItem(URI, "python", 1, text))
    return workspace


def source(workspace: Workspace, uri: str = URI) -> str | None:
    document = workspace.completable(uri)
    return None if document is None else document.source


def test_failed_edit_silences_the_document_until_its_full_text() -> None:
    workspace = with_open("one")
    without_range: Any = None
    bad = types.TextDocumentContentChangePartial(range=without_range, text="x")
    with pytest.raises(AttributeError):
        workspace.update_text_document(identifier(2), bad)
    assert source(workspace) is None
    workspace.update_text_document(identifier(3), insertion("x"))
    assert source(workspace) is None
    workspace.update_text_document(identifier(4), whole("two"))
    assert source(workspace) == "two"


def test_distrusted_document_is_silent_until_its_full_text() -> None:
    workspace = with_open("one")
    workspace.distrust("file:///w/other.py")
    assert source(workspace) == "one"
    workspace.distrust(URI)
    assert source(workspace) is None
    workspace.update_text_document(identifier(2), whole("two"))
    assert source(workspace) == "two"


def test_change_of_an_unopened_document_is_refused() -> None:
    with pytest.raises(KeyError):
        Workspace().update_text_document(identifier(2), whole("x"))


def test_opening_twice_replaces_and_closing_twice_is_harmless() -> None:
    workspace = with_open("one")
    workspace.put_text_document(types.TextDocumentItem(URI, "python", 7, "two"))
    assert source(workspace) == "two"
    workspace.remove_text_document(URI)
    workspace.remove_text_document(URI)
    assert source(workspace) is None


def test_two_spellings_of_a_uri_are_one_document() -> None:
    workspace = with_open("one")
    assert source(workspace, "file:///w/%61.py") == "one"
    assert source(workspace, "file:///w/A.py") is None


def test_same_and_older_versions_are_applied_in_order() -> None:
    workspace = with_open("one")
    workspace.update_text_document(identifier(1), whole("two"))
    workspace.update_text_document(identifier(0), whole("three"))
    assert source(workspace) == "three"


def test_every_change_of_a_document_is_told_before_it_is_made() -> None:
    told: list[str] = []
    workspace = with_open("one", on_change=told.append)
    workspace.update_text_document(identifier(2), whole("two"))
    workspace.distrust(URI)
    workspace.remove_text_document(URI)
    with pytest.raises(KeyError):
        workspace.update_text_document(identifier(3), whole("three"))
    assert told == [URI] * 5


def test_large_document_is_declined_with_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    workspace = with_open("secret = 1\n" * (MAX_CHARS // 11 + 1))
    with caplog.at_level(logging.WARNING):
        assert workspace.completable(URI) is None
        assert workspace.completable(URI) is None
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
    workspace.update_text_document(identifier(2), whole("x" * MAX_CHARS))
    assert workspace.completable(URI) is not None


def test_roots_are_the_folders() -> None:
    folder = types.WorkspaceFolder(uri="file:///b", name="b")
    workspace = Workspace(["file:///a"])
    assert workspace.roots == ["file:///a"]
    workspace.add_folder(folder)
    assert workspace.roots == ["file:///a", "file:///b"]
    workspace.remove_folder("file:///a")
    assert workspace.roots == ["file:///b"]
    assert Workspace().roots == []


def test_a_document_of_just_the_limit_that_is_lost_is_not_called_large(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workspace = with_open("x" * 2_000_000)
    assert (workspace.why_declined(URI), workspace.why_declined("file:///w/b.py") != "") == (
        "",
        True,
    )
    workspace.distrust(URI)
    assert workspace.completable(URI) is None
    assert "characters" not in caplog.text + workspace.why_declined(URI)
    workspace.update_text_document(identifier(2), whole("x" * 2_000_001))
    assert "over 2000000 characters" in workspace.why_declined(URI)
