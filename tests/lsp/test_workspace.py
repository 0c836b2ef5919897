"""The client's notifications followed, wrong ones survived."""

import logging
from typing import Any

import pytest

from lsp.params import BadParamsError
from lsp.workspace import MAX_CHARS, Workspace

URI = "file:///w/a.py"


def item(text: str, uri: str = URI, version: int = 1) -> dict[str, Any]:
    table = {"uri": uri, "languageId": "python", "version": version, "text": text}
    return {"textDocument": table}


def edit(changes: Any, uri: str = URI, version: Any = 2) -> dict[str, Any]:
    return {"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}


def with_open(text: str) -> Workspace:
    workspace = Workspace()
    workspace.open(item(text))
    return workspace


BAD_EDITS = [
    {"text": 5},
    {"range": {"start": {"line": 0, "character": 0}}, "text": "x"},
    {"range": {"start": {"line": -1, "character": 0}, "end": {"line": 0, "character": 0}}},
]


@pytest.mark.parametrize("bad", BAD_EDITS)
def test_failed_edit_silences_the_document_until_its_full_text(bad: dict[str, Any]) -> None:
    workspace = with_open("one")
    with pytest.raises(BadParamsError):
        workspace.change(edit([bad]))
    assert workspace.completable(URI) is None
    start = {"line": 0, "character": 0}
    workspace.change(edit([{"range": {"start": start, "end": start}, "text": "x"}], version=3))
    assert workspace.completable(URI) is None
    workspace.change(edit([{"text": "two"}], version=4))
    document = workspace.completable(URI)
    assert document is not None
    assert (document.source, document.version) == ("two", 4)


def test_change_of_an_unopened_document_is_refused() -> None:
    with pytest.raises(BadParamsError, match="not open"):
        Workspace().change(edit([{"text": "x"}]))


def test_opening_twice_replaces_and_closing_twice_is_harmless() -> None:
    workspace = with_open("one")
    workspace.open(item("two", version=7))
    assert workspace.documents[URI].source == "two"
    workspace.close({"textDocument": {"uri": URI}})
    workspace.close({"textDocument": {"uri": URI}})
    assert workspace.completable(URI) is None


def test_uris_that_differ_are_different_documents() -> None:
    workspace = with_open("one")
    workspace.open(item("two", uri="file:///w/A.py"))
    workspace.open(item("three", uri="file:///w/%61.py"))
    assert [document.source for document in workspace.documents.values()] == [
        "one",
        "two",
        "three",
    ]


def test_same_and_older_versions_are_applied_in_order() -> None:
    workspace = with_open("one")
    workspace.change(edit([{"text": "two"}], version=1))
    workspace.change(edit([{"text": "three"}], version=0))
    assert workspace.documents[URI].source == "three"


def test_large_document_is_declined_with_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    workspace = with_open("secret = 1\n" * (MAX_CHARS // 11 + 1))
    with caplog.at_level(logging.WARNING):
        assert workspace.completable(URI) is None
        assert workspace.completable(URI) is None
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
    workspace.change(edit([{"text": "x" * MAX_CHARS}]))
    assert workspace.completable(URI) is not None


def test_language_that_is_no_string_is_none() -> None:
    workspace = Workspace()
    params = item("x")
    params["textDocument"]["languageId"] = 5
    workspace.open(params)
    assert workspace.documents[URI].language == ""


@pytest.mark.parametrize(
    ("params", "roots"),
    [
        (None, []),
        ({"workspaceFolders": [{"uri": "file:///a", "name": "a"}], "rootUri": "b"}, ["file:///a"]),
        ({"workspaceFolders": None, "rootUri": "file:///b"}, ["file:///b"]),
        ({"workspaceFolders": [5], "rootUri": None, "rootPath": "/c"}, []),
        ({"rootPath": "/c"}, ["/c"]),
    ],
)
def test_roots_are_read_in_any_shape(params: Any, roots: list[str]) -> None:
    workspace = Workspace()
    workspace.read_roots(params)
    assert workspace.roots == roots


def test_roots_follow_the_client() -> None:
    workspace = Workspace()
    workspace.read_roots({"rootUri": "file:///a"})
    event = {"added": [{"uri": "file:///b", "name": "b"}], "removed": [{"uri": "file:///a"}]}
    workspace.change_roots({"event": event})
    assert workspace.roots == ["file:///b"]
