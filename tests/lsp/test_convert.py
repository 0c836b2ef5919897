"""What the engine is asked and what the client is told, whole values compared."""

from typing import Any

import pytest
from lsprotocol import types

from assistant.request import Completion
from lsp.convert import choose, inline_items, menu_items
from lsp.document_paths import place_in
from lsp.documents import Document, Snapshot
from lsp.protocol import strict_converter
from lsp.server import request_of
from tests.e2e.scripted_server import completion

CONVERTER = strict_converter()


def snapshot_of(text: str, line: int, character: int, encoding: str = "utf-16") -> Snapshot:
    document = Document("file:///w/a.py", text, 4, "python", encoding)
    return document.snapshot(types.Position(line, character))


def inline(snapshot: Snapshot, found: Completion) -> Any:
    """What goes over the wire."""
    return CONVERTER.unstructure(inline_items(snapshot, [found]))


def test_request_has_lf_text_and_code_point_offset() -> None:
    request = request_of(snapshot_of("😀\r\nab = 😀c\r\n", 1, 7), ["file:///w"], 300)
    assert (request.path, request.language, request.deadline_ms) == ("a.py", "python", 300)
    assert request.repository == "w"
    assert (request.text, request.offset) == ("😀\nab = 😀c\n", 8)


@pytest.mark.parametrize(
    ("encoding", "start", "end"), [("utf-8", 6, 16), ("utf-16", 3, 9), ("utf-32", 2, 7)]
)
def test_range_is_in_the_client_s_units(encoding: str, start: int, end: int) -> None:
    snapshot = snapshot_of("first\né😀 = 漢😀)\n", 1, start, encoding)
    assert inline(snapshot, completion("x", 8, 13)) == [
        {
            "insertText": "x",
            "range": {
                "start": {"line": 1, "character": start},
                "end": {"line": 1, "character": end},
            },
        }
    ]


def test_range_outside_the_line_is_clamped_to_it() -> None:
    snapshot = snapshot_of("first\nab cd\nlast\n", 1, 3)
    (item,) = inline(snapshot, completion("x", 0, 10_000))
    assert item["range"] == {
        "start": {"line": 1, "character": 0},
        "end": {"line": 1, "character": 5},
    }


def test_range_never_excludes_the_cursor() -> None:
    snapshot = snapshot_of("ab cd", 0, 3)
    (item,) = inline(snapshot, completion("x", 5, 1))
    assert item["range"]["start"] == item["range"]["end"] == {"line": 0, "character": 3}


@pytest.mark.parametrize(("eol", "text"), [("\n", "a\nb"), ("\r\n", "a\r\nb"), ("\r", "a\rb")])
def test_document_s_own_line_ends_are_restored(eol: str, text: str) -> None:
    snapshot = snapshot_of(f"x{eol}y{eol}", 2, 0)
    (item,) = inline(snapshot, completion("a\nb", 4, 4))
    assert item["insertText"] == text


def test_menu_entry_begins_with_the_word_that_is_typed() -> None:
    snapshot = snapshot_of("a😀.fo)", 0, 6)
    (item,) = menu_items(snapshot, [completion("obar(\n)", 5, 5)])
    assert (item.label, item.filter_text) == ("foobar(", "foobar(\n)")
    assert CONVERTER.unstructure(item.text_edit) == {
        "range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 6}},
        "newText": "foobar(\n)",
    }


@pytest.mark.parametrize("word", ["fo_", "_f", "__"])
def test_an_underscore_is_of_the_word_that_is_typed(word: str) -> None:
    column = 2 + len(word)
    (item,) = menu_items(snapshot_of(f"a.{word}", 0, column), [completion("x", column, column)])
    assert item.filter_text == f"{word}x"


def test_menu_entry_edits_the_same_range() -> None:
    snapshot = snapshot_of("x = \r\n", 0, 4)
    assert CONVERTER.unstructure(menu_items(snapshot, [completion("f(\n)", 4, 4)])) == [
        {
            "label": "f(",
            "kind": 1,
            "detail": "foretype",
            "documentation": "f(\n)",
            "filterText": "f(\n)",
            "sortText": "0000",
            "insertTextFormat": 1,
            "textEdit": {
                "range": {
                    "start": {"line": 0, "character": 4},
                    "end": {"line": 0, "character": 4},
                },
                "newText": "f(\r\n)",
            },
        }
    ]


@pytest.mark.parametrize(
    ("uri", "roots", "path"),
    [
        ("file:///w/src/a.py", ["file:///w"], "src/a.py"),
        ("file:///w/src/a.py", ["file:///w/"], "src/a.py"),
        ("file:///w/src/a.py", ["file:///w", "file:///w/src"], "a.py"),
        ("file:///wide/a.py", ["file:///w"], "wide/a.py"),
        ("file:///one/two/three/four/a.py", [], "three/four/a.py"),
        ("file:///w/a%20b/%C3%A9.py", ["file:///w"], "a b/é.py"),
        ("file:///c%3A/x/a.py", ["file:///c:/x"], "a.py"),
        ("untitled:Untitled-1", ["file:///w"], "Untitled-1"),
        ("vscode-notebook-cell:/w/n.ipynb#W0s", [], "w/n.ipynb"),
        ("vscode-remote://host/w/a.py", ["vscode-remote://host/w"], "a.py"),
        ("/w/a.py", ["/w"], "a.py"),
        ("C:\\x\\a.py", ["C:\\x"], "a.py"),
        ("", [], ""),
    ],
)
def test_path_is_relative_to_the_innermost_folder(uri: str, roots: list[str], path: str) -> None:
    assert place_in(uri, roots)[1] == path


def test_what_a_menu_has_chosen_replaces_its_word_and_what_follows_is_behind_it() -> None:
    snapshot = snapshot_of("a = 1\nx.fo)\nb\n", 1, 4)
    span = types.Range(types.Position(1, 2), types.Position(1, 4))
    choice = choose(snapshot, types.SelectedCompletionInfo(span, "foobar"))
    assert choice is not None
    assert (choice.after.text, choice.after.offset) == ("a = 1\nx.foobar)\nb\n", 14)
    (item,) = choice.continued([completion("(1)", 14, 15), completion("no", 13, 14)])
    assert (item.text, item.start, item.end) == ("foobar(1)", 8, 11)
    for wrong in ((0, 2, 4), (1, 0, 3), (1, 5, 5)):
        row, first, last = wrong
        span = types.Range(types.Position(row, first), types.Position(row, last))
        assert choose(snapshot, types.SelectedCompletionInfo(span, "foobar")) is None
