"""The next edit through the real server, as an editor's requests and keys."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.raw_client import Client, ServerProcess
from tests.e2e.test_index import wait_for
from tests.repositories import new_repository

pytestmark = pytest.mark.e2e

URI = "file:///w/a.py"
TEXT = """\
def load(urls):
    first = fetch(urls.first)
    other = 1
    second = fetch(urls.second)
    third = fetch(urls.third)
"""


def opened(server: ServerProcess, text: str = TEXT, **options: Any) -> Client:
    client = server.client
    client.initialize(initializationOptions={"index": False, **options})
    client.open(URI, text)
    return client


def change(client: Client, version: int, *edits: tuple[int, int, int, str]) -> None:
    """Send edits of (row, first and last column, text) as one notification."""
    changes = [
        {
            "range": {
                "start": {"line": row, "character": start},
                "end": {"line": row, "character": end},
            },
            "text": text,
        }
        for row, start, end, text in edits
    ]
    params = {"textDocument": {"uri": URI, "version": version}, "contentChanges": changes}
    client.notify("textDocument/didChange", params)


def inline_edits(client: Client, row: int, column: int, version: int) -> list[dict[str, Any]]:
    params = {
        "textDocument": {"uri": URI, "version": version},
        "position": {"line": row, "character": column},
        "context": {"triggerKind": 1},  # by hand: whatever there is, however unsure
    }
    edits = client.call("textDocument/copilotInlineEdit", params)["edits"]
    return list(edits)


def type_timeout(client: Client) -> int:
    """Add an argument to the first call, key by key; return the version."""
    version = 2
    for number, character in enumerate(", timeout=5"):
        change(client, version, (1, 28 + number, 28 + number, character))
        version += 1
    return version - 1


def test_the_same_change_is_offered_at_the_next_place(server: ServerProcess) -> None:
    client = opened(server)
    version = type_timeout(client)
    (edit,) = inline_edits(client, 2, 0, version)
    assert edit["text"] == "    second = fetch(urls.second, timeout=5)"
    assert edit["range"] == {
        "start": {"line": 3, "character": 0},
        "end": {"line": 3, "character": 31},
    }
    assert edit["textDocument"] == {"uri": URI, "version": version}
    assert server.finish() == 0


def test_an_edit_for_another_version_is_not_given(server: ServerProcess) -> None:
    client = opened(server)
    version = type_timeout(client)
    assert inline_edits(client, 2, 0, version - 1) == []
    assert inline_edits(client, 2, 0, version + 1) == []


def test_nothing_is_offered_at_the_end_of_a_word_being_typed(server: ServerProcess) -> None:
    client = opened(server)
    version = type_timeout(client)
    assert inline_edits(client, 1, 39, version) == []
    assert len(inline_edits(client, 1, 38, version)) == 1


def test_an_edit_waved_away_does_not_come_back(server: ServerProcess) -> None:
    client = opened(server)
    version = type_timeout(client)
    (edit,) = inline_edits(client, 2, 0, version)
    client.call("workspace/executeCommand", {"command": "foretype.dismissNextEdit"})
    (other,) = inline_edits(client, 2, 0, version)
    assert other != edit


def test_changes_that_a_formatter_makes_are_no_edit(server: ServerProcess) -> None:
    client = opened(server, "a = f(1)\nb = g(2)\n\n\nc = f(1)\n")
    change(client, 2, (0, 4, 5, "h"), (4, 4, 5, "k"))
    assert inline_edits(client, 2, 0, 2) == []


def test_switched_off_nothing_is_offered(server: ServerProcess) -> None:
    client = opened(server, next_edit=False)
    version = type_timeout(client)
    assert inline_edits(client, 2, 0, version) == []
    assert code_actions(client, 3) == []


def test_a_file_that_is_excluded_teaches_nothing(server: ServerProcess) -> None:
    client = opened(server, exclude=["a.py"])
    version = type_timeout(client)
    assert inline_edits(client, 2, 0, version) == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"textDocument": {"uri": URI}},
        {"textDocument": {"uri": 1}, "position": {"line": 0, "character": 0}},
        {"textDocument": {"uri": URI}, "position": {"line": -1, "character": 0}},
        {"textDocument": {"uri": URI}, "position": {"line": True, "character": 0}},
        {"textDocument": {"uri": "file:///w/none.py"}, "position": {"line": 0, "character": 0}},
    ],
)
def test_wrong_parameters_get_an_empty_answer(
    server: ServerProcess, params: dict[str, Any]
) -> None:
    client = opened(server)
    type_timeout(client)
    assert client.call("textDocument/copilotInlineEdit", params) == {"edits": []}


def code_actions(
    client: Client, row: int, uri: str = URI, **context: object
) -> list[dict[str, Any]]:
    position = {"line": row, "character": 0}
    params = {
        "textDocument": {"uri": uri},
        "range": {"start": position, "end": position},
        "context": {"diagnostics": [], **context},
    }
    return list(client.call("textDocument/codeAction", params))


def test_every_editor_s_menu_offers_it(server: ServerProcess) -> None:
    client = opened(server)
    version = type_timeout(client)
    here, everywhere = code_actions(client, 3)
    assert here["title"] == "Repeat the last edit here"
    assert everywhere["title"] == "Repeat the last edit in 2 places of this file"
    (document,) = everywhere["edit"]["documentChanges"]
    assert document["textDocument"] == {"uri": URI, "version": version}
    assert [edit["newText"] for edit in document["edits"]] == [
        "    second = fetch(urls.second, timeout=5)",
        "    third = fetch(urls.third, timeout=5)",
    ]


def test_all_places_are_those_of_the_last_edit_alone(server: ServerProcess) -> None:
    calls = "fetch(url_one)\nz = 3\nfetch(url_two)\nfetch(url_six)\n"
    renamed = "import old_name\nold_name.run(a)\nx = 1\nold_name.stop(b)\n"
    client = opened(server, renamed + calls)
    change(client, 2, (1, 0, 8, "new_name"))
    change(client, 3, (4, 13, 13, ", timeout=5"))
    here, everywhere = code_actions(client, 3)
    assert here["title"] == "Repeat an earlier edit here"
    assert everywhere["title"] == "Repeat the last edit in 2 places of this file"
    assert [edit["newText"] for edit in everywhere["edit"]["documentChanges"][0]["edits"]] == [
        "fetch(url_two, timeout=5)",
        "fetch(url_six, timeout=5)",
    ]


def test_no_two_edits_of_an_action_change_the_same_line(server: ServerProcess) -> None:
    client = opened(server, "start()\n" + "call_it_now()\n" * 8 + "end()\n")
    lines = {"start": {"line": 1, "character": 0}, "end": {"line": 3, "character": 0}}
    client.change(URI, 2, {"range": lines, "text": ""})
    *_, everywhere = code_actions(client, 3)
    assert everywhere["title"] == "Repeat the last edit in 2 places of this file"
    (document,) = everywhere["edit"]["documentChanges"]
    spans = [(edit["range"]["start"], edit["range"]["end"]) for edit in document["edits"]]
    assert [(start["line"], end["line"]) for start, end in spans] == [(3, 5), (5, 7)]


@pytest.mark.parametrize(
    ("only", "kinds"),
    [
        (["source.organizeImports"], []),
        (["quickfix"], ["quickfix"]),
        (["refactor"], ["refactor.rewrite"]),
        (["refactor.rewrite", "source"], ["refactor.rewrite"]),
        (["refactor.extract"], []),
        ([""], ["quickfix", "refactor.rewrite"]),
        (None, ["quickfix", "refactor.rewrite"]),
    ],
)
def test_only_the_kinds_asked_for_are_answered(
    server: ServerProcess, only: list[str] | None, kinds: list[str]
) -> None:
    client = opened(server)
    type_timeout(client)
    assert [action["kind"] for action in code_actions(client, 3, only=only)] == kinds


def test_another_server_s_diagnostics_cost_no_action(server: ServerProcess) -> None:
    client = opened(server)
    type_timeout(client)
    odd = [{"message": {"kind": "markdown", "value": "x"}, "code": 1.5}]
    assert len(code_actions(client, 3, diagnostics=odd, triggerKind=9)) == 2


def test_a_client_that_sends_whole_texts_is_served_too(server: ServerProcess) -> None:
    client = opened(server)
    line, typed = "    first = fetch(urls.first)", ", timeout=5"
    for number in range(len(typed)):  # as Vim's yegappan/lsp does
        text = TEXT.replace(line, line[:-1] + typed[: number + 1] + ")")
        client.change(URI, 2 + number, {"text": text})
    assert [action["title"] for action in code_actions(client, 3)] == [
        "Repeat the last edit here",
        "Repeat the last edit in 2 places of this file",
    ]


def test_line_ends_are_the_document_s_own(server: ServerProcess) -> None:
    before = "start_all(a)\r\nx = 1\r\nstart_all(a)\r\ny = 2\r\nstart_all(a)\r\nz = 3\r\n"
    client = opened(server, before)
    change(client, 2, (0, 12, 12, "\r\ncheck_all(a)"))
    change(client, 3, (3, 12, 12, "\r\ncheck_all(a)"))
    (edit,) = inline_edits(client, 0, 0, 3)
    assert edit["text"] == "check_all(a)\r\n"
    assert edit["range"]["start"] == edit["range"]["end"] == {"line": 7, "character": 0}


def all_edits(client: Client, uri: str) -> list[dict[str, Any]]:
    params = {
        "textDocument": {"uri": uri, "version": 1},
        "position": {"line": 0, "character": 0},
        "context": {"triggerKind": 1},
    }
    return list(client.call("textDocument/copilotInlineEdit", params)["edits"])


@pytest.mark.parametrize(
    ("uri", "is_offered"),
    [
        ("file:///w/b.py", True),
        ("file:///w/.env", False),  # secret by its name
        ("file:///w/private/b.py", False),  # excluded
        ("file:///elsewhere/b.py", False),  # in no folder of the one that was edited
    ],
)
def test_another_document_is_offered_the_edit_where_it_may_be(
    server: ServerProcess, uri: str, is_offered: bool
) -> None:
    client = opened(server, exclude=["private/"])
    type_timeout(client)
    client.open(uri, "    first = fetch(urls.first)\n")
    assert bool(all_edits(client, uri)) is is_offered


def test_what_is_excluded_later_teaches_nothing_any_more(server: ServerProcess) -> None:
    client = opened(server)
    version = type_timeout(client)
    assert inline_edits(client, 2, 0, version) != []
    settings = {"foretype": {"exclude": ["a.py"]}}
    client.notify("workspace/didChangeConfiguration", {"settings": settings})
    assert inline_edits(client, 2, 0, version) == []


def test_switched_off_altogether_nothing_is_offered(server: ServerProcess) -> None:
    client = opened(server, enabled=False)
    version = type_timeout(client)
    assert inline_edits(client, 2, 0, version) == []


def test_where_nothing_else_is_offered_grey_text_finishes_the_edit(server: ServerProcess) -> None:
    line = "fetch(urls, nothing)"  # behind that word the engine of these tests is silent
    client = opened(server, f"{line}\n" * 3 + "x = 1\n", show="eager")
    version = 2
    for row in (0, 1):
        for number, character in enumerate(", t=5"):
            change(client, version, (row, 19 + number, 19 + number, character))
            version += 1
    (item,) = client.inline(URI, 2, 19)["items"]
    assert item["insertText"] == ", t=5"
    assert item["range"]["start"] == item["range"]["end"] == {"line": 2, "character": 19}
    assert server.finish() == 0


@pytest.mark.parametrize(("silent_in", "n_items"), [(["string"], 1), (["comment"], 0)])
def test_no_edit_is_finished_where_nothing_is_to_be_suggested(
    server: ServerProcess, silent_in: list[str], n_items: int
) -> None:
    line = "# fetch(urls, nothing)"
    client = opened(server, f"{line}\n" * 3 + "x = 1\n", show="eager", silent_in=silent_in)
    for row in (0, 1):
        change(client, 2 + row, (row, 21, 21, ", t=5"))
    assert len(client.inline(URI, 2, 21)["items"]) == n_items


def test_an_edit_is_finished_at_the_line_s_end_however_far_the_cursor(
    server: ServerProcess,
) -> None:
    client = opened(server, "run(a, nothing\n" * 3 + "x = 1\n", show="eager")
    for row in (0, 1):
        change(client, 2 + row, (row, 14, 14, ", t=5"))
    (item,) = client.inline(URI, 2, 99)["items"]
    assert item["range"]["start"] == item["range"]["end"] == {"line": 2, "character": 14}


ROOT_FILES = {
    "a.py": TEXT,
    "open.py": "    first = fetch(urls.first)\n",
    "closed.py": "# on disk\r\n    first = fetch(urls.first)\r\n",
    ".env": "    first = fetch(urls.first)\n",
    "private/b.py": "    first = fetch(urls.first)\n",
    ".gitignore": "out/\n",
    "out/b.py": "    first = fetch(urls.first)\n",
    os.fsdecode(b"caf\xe9.py"): "    first = fetch(urls.first)\n",  # no URI says this in UTF-8
}


def test_the_menu_has_the_places_of_other_files(server: ServerProcess, tmp_path: Path) -> None:
    root = new_repository(tmp_path / "r", ROOT_FILES)
    uri = f"file://{root}"
    client = server.client
    client.initialize(rootUri=uri, initializationOptions={"exclude": ["private/"]})
    wait_for(client, lambda index: index.get("state") == "ready" and index.get("files") == 4)
    client.open(f"{uri}/open.py", ROOT_FILES["open.py"], version=7)
    client.open(f"{uri}/a.py", TEXT)
    for number, character in enumerate(", timeout=5"):
        at = {"line": 1, "character": 28 + number}
        change = {"range": {"start": at, "end": at}, "text": character}
        client.change(f"{uri}/a.py", 2 + number, change)
    *_, action = code_actions(client, 3, f"{uri}/a.py")
    assert action["title"] == "Repeat the last edit in 2 places of 2 other files"
    opened, closed = action["edit"]["documentChanges"]
    assert opened["textDocument"] == {"uri": f"{uri}/open.py", "version": 7}
    assert closed["textDocument"] == {"uri": f"{uri}/closed.py", "version": None}
    assert closed["edits"][0]["newText"] == "    first = fetch(urls.first, timeout=5)"
    assert closed["edits"][0]["range"]["start"] == {"line": 1, "character": 0}
    assert server.finish() == 0


def test_a_file_that_is_open_is_not_edited_as_it_is_on_disk(
    server: ServerProcess, tmp_path: Path
) -> None:
    files = dict.fromkeys(("a.py", "inside/b.py", "inside/closed.py"), TEXT)
    root = new_repository(tmp_path / "r", files)
    uri = f"file://{root}"
    client = server.client
    client.initialize(rootUri=uri)
    wait_for(client, lambda index: index.get("state") == "ready" and index.get("files") == 3)
    inside = {"uri": f"{uri}/inside", "name": "inside"}
    event = {"added": [inside], "removed": []}
    client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    client.open(f"{uri}/a.py", TEXT)
    client.open(f"{uri}/inside/b.py", "# not saved yet\n" + TEXT)
    at = {"line": 1, "character": 28}
    client.change(f"{uri}/a.py", 2, {"range": {"start": at, "end": at}, "text": ", timeout=5"})
    *_, action = code_actions(client, 3, f"{uri}/a.py")
    changed = [each["textDocument"]["uri"] for each in action["edit"]["documentChanges"]]
    assert changed == [f"{uri}/inside/closed.py"]
