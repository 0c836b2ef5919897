"""Our copy of a document against a client's, through the library's own workspace."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from pygls.workspace import Workspace as PyglsWorkspace

from lsp.documents import Document, Workspace, majority_eol, split_lines, units_of
from lsp.fast_initialize import ENCODINGS
from lsp.protocol import strict_converter
from tests.lsp.edit_model import EOLS, SEPARATORS, Typist
from tests.rounds import count, shifted

URI = "file:///w/a.py"
N_STEPS = 2_600


CONVERTER = strict_converter()


def opened(text: str, encoding: str = "utf-16") -> tuple[Workspace, Document]:
    workspace = Workspace(encoding=encoding)
    workspace.put_text_document(types.TextDocumentItem(URI, "python", 1, text))
    document = workspace.opened(URI)
    assert document is not None
    return workspace, document


def change(workspace: Workspace, version: int, changes: Sequence[dict[str, Any]]) -> None:
    """Apply change events as they come over the wire."""
    params = {"textDocument": {"uri": URI, "version": version}, "contentChanges": changes}
    sent = CONVERTER.structure(params, types.DidChangeTextDocumentParams)
    for event in sent.content_changes:
        workspace.update_text_document(sent.text_document, event)


def edit(line: int, start: int, end: int, text: str) -> types.TextDocumentContentChangePartial:
    span = types.Range(types.Position(line, start), types.Position(line, end))
    return types.TextDocumentContentChangePartial(range=span, text=text)


@pytest.mark.parametrize("eols", EOLS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_random_edits_keep_the_client_s_text(encoding: str, eols: str) -> None:
    typist = Typist(seed=shifted(len(eols)), encoding=encoding, eols=eols)
    workspace, document = opened(typist.document.text, encoding)
    for step in range(N_STEPS):
        changes = [typist.change() for _ in range(typist.dice.choice([1, 1, 1, 2, 3]))]
        change(workspace, step + 2, changes)
        assert document.source == typist.document.text, f"step {step}: {changes}"
        assert document.n_chars == len(document.source)
        assert (document.version, "".join(document.lines)) == (step + 2, document.source)
    count(N_STEPS)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(ENCODINGS), st.sampled_from(list(EOLS)))
def test_every_cursor_position_is_understood(seed: int, encoding: str, eols: str) -> None:
    typist = Typist(seed=seed, encoding=encoding, eols=eols)
    workspace, document = opened(typist.document.text, encoding)
    change(workspace, 2, [typist.change() for _ in range(5)])
    for point in typist.document.points():
        snapshot = document.snapshot(types.Position(point.line, point.character))
        before = typist.document.units[: point.index]
        client = b"".join(unit.to_bytes(2, "little") for unit in before)
        as_lf = client.decode("utf-16-le", "surrogatepass").replace("\r\n", "\n")
        assert len(as_lf.replace("\r", "\n")) == snapshot.offset
        assert snapshot.text[: snapshot.offset].count("\n") == snapshot.row == point.line
        assert units_of(snapshot.line, snapshot.column, encoding) == point.character
        snapshot.text.encode()  # the engine's tokenizer can take it


def pygls_divergence(tame: bool) -> int | None:
    """The first step at which pygls's own document differs from the client's."""
    typist = Typist(seed=3, encoding="utf-16", eols="lf", tame=tame)
    workspace = PyglsWorkspace(None)
    item = types.TextDocumentItem(
        uri=URI, language_id="python", version=1, text=typist.document.text
    )
    workspace.put_text_document(item)
    for step in range(300):
        event = typist.change()
        text = event["text"]
        if "range" in event:
            ends = [types.Position(**event["range"][end]) for end in ("start", "end")]
            spans = typist.document.lines()
            if any(end.line >= len(spans) for end in ends):
                continue
            sent: types.TextDocumentContentChangeEvent = types.TextDocumentContentChangePartial(
                range=types.Range(*sorted(ends, key=lambda end: (end.line, end.character))),
                text=text,
            )
        else:
            sent = types.TextDocumentContentChangeWholeDocument(text=text)
        workspace.update_text_document(
            types.VersionedTextDocumentIdentifier(uri=URI, version=step + 2), sent
        )
        if workspace.get_text_document(URI).source != typist.document.text:
            return step
    return None


def test_control_the_library_s_own_document_diverges() -> None:
    assert pygls_divergence(tame=False) is not None


@pytest.mark.parametrize("separator", SEPARATORS)
def test_control_each_separator_corrupts_the_library_s_document(separator: str) -> None:
    """D6: one such character and the next edit lands a line early; ours does not."""
    text = f"a{separator}b\nc\nd\n"
    theirs = PyglsWorkspace(None)
    theirs.put_text_document(
        types.TextDocumentItem(uri=URI, language_id="python", version=1, text=text)
    )
    theirs.update_text_document(
        types.VersionedTextDocumentIdentifier(uri=URI, version=2), edit(2, 0, 1, "X")
    )
    ours = Document(URI, text)
    ours.apply_change(edit(2, 0, 1, "X"))
    wanted = f"a{separator}b\nc\nX\n"
    assert ours.source == wanted
    assert theirs.get_text_document(URI).source != wanted


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a\n", ["a\n", ""]),
        ("\r\n\r\r\n\n", ["\r\n", "\r", "\r\n", "\n", ""]),
        ("a\x0cb\u2028c\rd", ["a\x0cb\u2028c\r", "d"]),
    ],
)
def test_lines_end_where_the_protocol_says(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines


@pytest.mark.parametrize(
    ("text", "eol"),
    [("", "\n"), ("a", "\n"), ("a\r\nb\r\nc\n", "\r\n"), ("a\nb\r\nc\n", "\n"), ("a\rb", "\r")],
)
def test_majority_of_line_ends(text: str, eol: str) -> None:
    assert majority_eol(text) == eol


def test_lf_after_a_lone_cr_makes_one_line_end() -> None:
    document = Document(URI, "a\rb")
    document.apply_change(edit(1, 0, 0, "\n"))
    assert document.source == "a\r\nb"
    assert document.snapshot(types.Position(1, 1)).offset == 3


def test_halves_that_meet_become_one_character() -> None:
    document = Document(URI, "\ud83d")
    document.apply_change(edit(0, 1, 1, "\ude00"))
    assert document.source == "😀"


def test_snapshot_is_lf_and_has_no_lone_surrogate() -> None:
    snapshot = Document(URI, "a\r\n\ud83dx\r\n").snapshot(types.Position(1, 1))
    assert (snapshot.text, snapshot.offset, snapshot.eol) == ("a\n\ufffdx\n", 3, "\r\n")


def test_snapshot_outlives_later_edits() -> None:
    document = Document(URI, "one")
    before = document.snapshot(types.Position(0, 3))
    document.apply_change(types.TextDocumentContentChangeWholeDocument("two"))
    assert before.text == "one"
    assert document.snapshot(types.Position(9, 9)).text == "two"


def test_empty_document_is_never_read_from_its_file(tmp_path: Path) -> None:
    place = tmp_path / "a.py"
    place.write_text("on disk")
    assert Document(place.as_uri()).source == ""


def test_the_library_s_own_helpers_split_as_we_do() -> None:
    document = Document(URI, "a\x0cb\ncd")
    assert document.offset_at_position(types.Position(1, 1)) == 5
    assert document.word_at_position(types.Position(1, 1)) == "cd"


def best_time_s(work: Any, times: int) -> float:
    """The least of several runs, so that other load does not count."""
    durations = []
    for number in range(times):
        started = time.perf_counter()
        work(number)
        durations.append(time.perf_counter() - started)
    return min(durations)


def test_keystroke_in_five_megabytes_does_not_split_the_text_again() -> None:
    """D7: re-splitting at every key costs tens of milliseconds at this size."""
    text = "    value = compute(value, other)  # note\n" * 125_000
    document = Document(URI, text)

    def key(number: int) -> None:
        document.apply_change(edit(60_000 + number % 2, 4, 4, "\n" if number % 5 == 0 else "x"))

    assert best_time_s(key, 40) < best_time_s(lambda _: split_lines(text), 3) / 10


@pytest.mark.parametrize(
    ("text", "column"), [("a", 3), ("\U0001f600", 3), ("", None), ("ab", None), ("\n", None)]
)
def test_a_key_is_told_from_other_edits(text: str, column: int | None) -> None:
    workspace, document = opened("x = 1\r\ny = 2\n")
    workspace.update_text_document(
        types.VersionedTextDocumentIdentifier(uri=URI, version=2), edit(0, 2, 3, text)
    )
    assert document.last_column == column
    assert document.last_change == (0, ["x = 1"], f"x {text} 1".split("\n"))


@pytest.mark.parametrize(
    ("new", "change", "column"),
    [
        ("a\nbb\nc\n", (1, ["b"], ["bb"]), 2),
        ("a\nb\nx\nc\n", (2, [], ["x"]), None),
        ("a\nc\n", (1, ["b"], []), None),
        ("a\nxyz\nc\n", (1, ["b"], ["xyz"]), None),
        ("x\nb\ny\n", (0, ["a", "b", "c"], ["x", "b", "y"]), None),
        ("a\nb\nc", (2, ["c", ""], ["c"]), None),
        ("", (0, ["a", "b", "c"], []), None),
        ("a\nb\nc\n", (4, [], []), None),
    ],
)
def test_a_change_is_found_where_the_client_only_ever_sends_whole_texts(
    new: str, change: tuple[int, list[str], list[str]], column: int | None
) -> None:
    document = opened("a\nb\nc\n")[1]
    document.apply_change(types.TextDocumentContentChangeWholeDocument(new))
    assert (document.last_change, document.last_column) == (change, column)


def test_one_of_two_like_lines_that_a_whole_text_lacks_is_a_change() -> None:
    document = opened("a\na\n")[1]
    document.apply_change(types.TextDocumentContentChangeWholeDocument("a\n"))
    assert document.last_change == (1, ["a"], [])


def test_a_whole_text_is_no_change_where_the_client_sends_changes() -> None:
    document = opened("a\nb\nc\n")[1]
    document.apply_change(edit(0, 1, 1, "a"))
    assert (document.last_change, document.last_column) == ((0, ["a"], ["aa"]), 2)
    document.apply_change(types.TextDocumentContentChangeWholeDocument("aaa\nb\nc\n"))
    assert (document.last_change, document.last_column) == (None, None)


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
def test_an_edit_is_of_the_lines_that_it_touches_whatever_their_ends(eol: str) -> None:
    workspace, document = opened(eol.join(("x = 1", "y = 2", "z = 3")))
    workspace.update_text_document(
        types.VersionedTextDocumentIdentifier(uri=URI, version=2), edit(1, 2, 3, "+=")
    )
    assert document.last_change == (1, ["y = 2"], ["y += 2"])
    assert document.plain() == "x = 1\ny += 2\nz = 3"


def test_a_line_is_told_without_its_end_and_none_where_there_is_none() -> None:
    document = opened("x = 1\r\ny = 2\n")[1]
    assert [document.line_at(row) for row in (-1, 0, 1, 2, 3)] == ["", "x = 1", "y = 2", "", ""]
    assert (document.eol, document.plain()) == ("\n", "x = 1\ny = 2\n")
