"""Workspace folders and their indexes: who gets which text, what the client is shown and asked."""

import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from assistant.index.folder_index import FolderIndex
from assistant.settings import Settings
from lsp.indexes import WATCH_ID, WorkspaceIndexes
from tests.waiting import wait_for


class UpdaterDouble:
    """Keeps nothing fresh; remembers what it was told."""

    def __init__(self, root: Path, report: Callable[[int, int], None]) -> None:
        self.root = root
        self.report = report
        self.index = FolderIndex()
        self.told: list[Any] = []

    def start(self) -> None:
        self.told.append("start")

    def stop(self) -> None:
        self.told.append("stop")

    def join(self, timeout_s: float) -> None:
        assert timeout_s > 0

    def use(self, settings: Settings) -> None:
        self.told.append(settings)

    def note_changes(self, paths: Collection[str] = ()) -> None:
        self.told.append(list(paths))

    def status(self) -> dict[str, Any]:
        return {"state": "ready", "files": 3}


class Document:
    def __init__(self, text: str, *, is_broken: bool = False) -> None:
        self.text = text
        self.is_broken = is_broken
        self.n_read = 0

    def plain(self) -> str:
        self.n_read += 1
        return self.text


class Bench:
    """WorkspaceIndexes with everything around them."""

    def __init__(self, *folders: Path, fails: bool = False, gate: bool = False) -> None:
        self.asked: list[tuple[str, Any, Callable[[bool], None]]] = []
        self.sent: list[Any] = []
        self.changed: list[str] = []
        self.updaters: dict[str, UpdaterDouble] = {}
        self.documents: dict[str, Document] = {}
        self.fails = fails
        self.gate = threading.Event()
        if not gate:
            self.gate.set()
        self.roots = [uri(folder) for folder in folders]
        self.indexes = WorkspaceIndexes(
            lambda method, params, done: self.asked.append((method, params, done)),
            self.sent.append,
            self.open,  # type: ignore[arg-type]
            self.changed.append,
        )

    def open(self, root: Path, _: Settings, report: Callable[[int, int], None]) -> UpdaterDouble:
        self.gate.wait(20)
        if self.fails:
            raise ValueError("a secret")
        self.updaters[root.name] = UpdaterDouble(root, report)
        return self.updaters[root.name]

    def start(self, settings: Settings | None = None, **abilities: bool) -> None:
        able = {"shows_progress": False, "watches": False} | abilities
        self.indexes.start(self.roots, settings or Settings(), **able)
        if self.gate.is_set() and not self.fails:
            self.wait()

    def wait(self) -> None:
        wait_for(lambda: all("opening" != item["state"] for item in self.indexes.status()))

    def edit(self, place: str, text: str, *, is_broken: bool = False) -> None:
        self.documents[place] = Document(text, is_broken=is_broken)
        self.indexes.touched(place)

    def close(self, place: str) -> None:
        del self.documents[place]
        self.indexes.touched(place)

    def ask(self, place: str) -> FolderIndex | None:
        if place not in self.documents:
            self.edit(place, "")
        self.indexes.sync(self.roots, self.documents.get)
        return self.indexes.index_of(place)


def uri(path: Path) -> str:
    return "file://" + quote(str(path))


def texts_found(index: FolderIndex | None, path: str = "x.py") -> set[bytes]:
    assert index is not None
    levels = index.levels(b"text = ", path=path)
    return {item.following for level in levels for item in level.occurrences}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


def test_open_documents_are_handed_over_when_a_suggestion_is_asked_for(folder: Path) -> None:
    bench = Bench(folder)
    bench.start()
    place = uri(folder / "a.py")
    for number in range(5):
        bench.edit(place, f"text = {number}")
    document = bench.documents[place]
    assert document.n_read == 0
    assert texts_found(bench.ask(uri(folder / "x.py"))) == {b"4"}
    bench.ask(uri(folder / "x.py"))
    assert document.n_read == 1
    bench.close(place)
    assert texts_found(bench.ask(uri(folder / "x.py"))) == set()


def test_who_keeps_answers_is_told_of_documents_edited_and_closed_not_of_opened_ones(
    folder: Path,
) -> None:
    bench = Bench(folder)
    bench.start()
    bench.indexes.sync(bench.roots, bench.documents.get)
    one, two = (uri(folder / name) for name in ("a.py", "b.py"))
    bench.edit(one, "x = 1")
    bench.ask(two)
    assert bench.changed == []
    bench.edit(one, "x = 2")
    bench.ask(two)
    assert bench.changed == [one]
    bench.close(one)
    bench.ask(two)
    assert bench.changed == [one, one]


def test_a_document_whose_edit_was_missed_is_not_searched(folder: Path) -> None:
    bench = Bench(folder)
    bench.start()
    bench.edit(uri(folder / "a.py"), "text = 1")
    bench.ask(uri(folder / "x.py"))
    bench.edit(uri(folder / "a.py"), "text = 2", is_broken=True)
    assert texts_found(bench.ask(uri(folder / "x.py"))) == set()


def test_texts_wait_for_a_index_that_is_being_opened(folder: Path) -> None:
    bench = Bench(folder, gate=True)
    bench.start()
    bench.edit(uri(folder / "a.py"), "text = 1")
    assert bench.ask(uri(folder / "x.py")) is None
    assert bench.indexes.status() == [{"folder": "w", "state": "opening"}]
    bench.gate.set()
    bench.wait()
    assert texts_found(bench.ask(uri(folder / "x.py"))) == {b"1"}


def test_each_document_belongs_to_its_nearest_folder(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "in ner"
    inner.mkdir(parents=True)
    bench = Bench(tmp_path / "outer", inner)
    bench.start()
    bench.edit(uri(inner / "a.py"), "text = inner")
    bench.edit(uri(tmp_path / "outer" / "b.py"), "text = outer")
    bench.edit("file:///elsewhere/c.py", "text = loose")
    bench.edit("untitled:d.py", "text = new")
    assert texts_found(bench.ask(uri(inner / "x.py"))) == {b"inner"}
    assert texts_found(bench.ask(uri(tmp_path / "outer" / "y.py"))) == {b"outer"}
    assert texts_found(bench.ask("untitled:/z.py")) == {b"loose", b"new"}


def test_folders_come_and_go(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    bench = Bench(tmp_path / "a")
    bench.start()
    bench.indexes.set_roots([uri(tmp_path / "b"), uri(tmp_path / "missing"), "untitled:x"])
    bench.wait()
    assert bench.updaters["a"].told == ["start", "stop"]
    assert [item["folder"] for item in bench.indexes.status()] == ["b"]
    bench.indexes.stop()
    assert bench.updaters["b"].told == ["start", "stop"]


def test_a_folder_that_goes_while_it_is_opened_is_not_started(folder: Path) -> None:
    bench = Bench(folder, gate=True)
    bench.start()
    bench.indexes.set_roots([])
    bench.gate.set()
    wait_for(lambda: bench.updaters)
    bench.indexes.stop()
    assert "start" not in bench.updaters["w"].told


def test_switched_off_nothing_is_opened_or_kept(folder: Path) -> None:
    bench = Bench(folder)
    bench.start(Settings(index=False))
    bench.edit(uri(folder / "a.py"), "text = 1")
    assert bench.ask(uri(folder / "x.py")) is None
    assert bench.updaters == {}
    bench.indexes.configure(Settings(), bench.roots)
    bench.wait()
    assert texts_found(bench.ask(uri(folder / "x.py"))) == {b"1"}
    bench.indexes.configure(Settings(index=False), bench.roots)
    assert bench.updaters["w"].told[-1] == "stop"
    assert bench.indexes.status() == []


def test_other_settings_reach_the_keepers(folder: Path) -> None:
    bench = Bench(folder)
    bench.indexes.configure(Settings(), bench.roots)  # before the start: nothing to do
    bench.start()
    settings = Settings(exclude=("*.gen",), index_mb=9)
    bench.indexes.configure(settings, bench.roots)
    assert bench.updaters["w"].told[-1] == settings


def test_changed_files_are_told_by_folder(folder: Path) -> None:
    bench = Bench(folder)
    bench.start()
    places = [uri(folder / "a b.py"), uri(folder / "sub" / "c.py"), "file:///elsewhere/d.py"]
    bench.indexes.files_changed([*places, uri(folder / ".git" / "index.lock")])
    bench.indexes.files_changed([uri(folder / ".git" / "HEAD")])
    bench.indexes.files_changed([uri(folder / "lib" / ".git" / "index.lock")])  # git status there
    assert bench.updaters["w"].told == ["start", ["a b.py", "sub/c.py"]]


def test_the_client_is_asked_to_watch_if_it_can(folder: Path) -> None:
    bench = Bench(folder)
    bench.start(watches=True)
    ((method, params, _),) = bench.asked
    assert method == "client/registerCapability"
    assert params["registrations"][0]["id"] == WATCH_ID
    quiet = Bench(folder)
    quiet.start()
    assert quiet.asked == []


def test_the_client_is_asked_once_there_is_something_to_watch(folder: Path) -> None:
    bench = Bench()
    bench.start(watches=True)
    assert bench.asked == []
    for _ in range(2):  # a folder comes, and later its like
        bench.indexes.set_roots([uri(folder)])
        assert [method for method, *_ in bench.asked] == ["client/registerCapability"]
    bench.wait()


def kinds(bench: Bench) -> list[str]:
    return [message["params"]["value"]["kind"] for message in bench.sent]


def test_progress_is_shown_once_the_client_has_agreed(folder: Path) -> None:
    bench = Bench(folder)
    bench.start(shows_progress=True)
    report = bench.updaters["w"].report
    report(10, 100)
    report(20, 100)
    ((method, params, agree),) = bench.asked
    assert method == "window/workDoneProgress/create"
    assert bench.sent == []
    agree(True)
    report(30, 100)
    report(0, 0)
    assert kinds(bench) == ["begin", "report", "end"]
    assert bench.sent[1]["params"]["value"]["percentage"] == 30
    assert {message["params"]["token"] for message in bench.sent} == {params["token"]}
    report(10, 100)
    assert bench.asked[1][1] != params  # a token serves once


def test_progress_that_is_refused_or_late_is_not_shown(folder: Path) -> None:
    bench = Bench(folder)
    bench.start(shows_progress=True)
    report = bench.updaters["w"].report
    report(10, 100)
    bench.asked[0][2](False)
    report(20, 100)
    report(0, 0)
    report(10, 100)
    report(0, 0)
    bench.asked[1][2](True)
    assert bench.sent == []


def test_a_client_without_progress_is_not_asked(folder: Path) -> None:
    bench = Bench(folder)
    bench.start()
    bench.updaters["w"].report(1, 2)
    assert (bench.asked, bench.sent) == ([], [])


def test_a_index_that_cannot_be_opened_is_one_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    bench = Bench(folder, fails=True)
    bench.start()
    wait_for(lambda: caplog.records)
    assert "not available" in caplog.text
    assert "a secret" not in caplog.text
    assert bench.ask(uri(folder / "x.py")) is None
