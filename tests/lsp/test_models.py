"""The watcher of models: who is served what, when a model is loaded, what a keystroke may cost."""

import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from assistant.errors import ModelError
from assistant.generate.backend import LocalBackend
from assistant.models.registry import Registry, repository_id
from lsp import models
from lsp.models import WorkspaceModels
from tests.doubles import tiny_folder
from tests.own_models import added
from tests.repositories import new_repository
from tests.scripted import scripted_backend
from tests.waiting import wait_for

OWN = "own-20260102-1"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("r") / "own", {"a.py": "x = 1\n"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at unasked, and nobody types."""
    monkeypatch.setattr("lsp.models.POLL_S", 600.0)
    monkeypatch.setattr("lsp.models.IDLE_S", 0.0)


class Bench:
    """A watcher with everything around it; `step` is one look."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.root = repository
        self.identity = repository_id(repository)
        self.entry = added(Registry(), folder, OWN, repository=self.identity)
        self.loaded: list[str] = []
        self.is_broken = False
        self.warned: list[tuple[str, str]] = []
        self.models = WorkspaceModels(
            lambda kind, text: self.warned.append((kind, text)),
            open_model=self.open,
        )

    def open(self, path: Path, label: str) -> LocalBackend:
        self.loaded.append(label)
        if self.is_broken:
            raise ModelError("it is broken")
        backend = scripted_backend()
        backend.label, backend.content_hash = label, self.entry.content_hash
        return backend

    def use(self, name: str) -> None:
        Registry().use(name, self.identity)

    def begin(self, *, with_root: bool = True) -> None:
        """Begin as a session does, but look only when told to."""
        if with_root:
            self.models.set_roots([self.root.as_uri()])
        self.models.stop()  # the thread ends at once
        self.models.start(threads=1)

    def step(self) -> str:
        """Look once; return who serves `a.py`."""
        self.models._step()
        return self.label()

    def label(self, path: str = "a.py") -> str:
        backend = self.models.backend_of(path if ":" in path else (self.root / path).as_uri())
        return backend.label if backend is not None else ""


@pytest.fixture
def bench(repository: Path, folder: Path) -> Bench:
    return Bench(repository, folder)


def test_choice_is_followed_there_and_back(bench: Bench) -> None:
    bench.begin()
    assert bench.step() == ""
    bench.use(OWN)
    assert bench.step() == OWN
    assert bench.models.status() == {
        "loaded": [OWN],
        "folders": [{"folder": "own", "model": OWN}],
    }
    bench.use("base")
    assert bench.step() == ""
    assert bench.models.status()["loaded"] == []
    assert bench.loaded == [OWN]


def test_document_outside_the_workspace_has_its_own_model_too(bench: Bench) -> None:
    bench.use(OWN)
    bench.begin(with_root=False)
    assert bench.step() == ""  # nobody asked yet: what is not needed is not loaded
    assert bench.loaded == []
    assert bench.step() == ""  # now it is known whose document it was
    assert bench.step() == OWN
    assert bench.label("untitled:Untitled-1") == ""


def test_own_thread_follows_and_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp.models.POLL_S", 0.01)
    models = WorkspaceModels(lambda *_: None, open_model=bench.open)
    models.set_roots([bench.root.as_uri(), "untitled:x"])
    models.start(threads=1)
    bench.use(OWN)
    wait_for(lambda: models.label_of(bench.root) == OWN)
    models.look()
    models.stop()
    wait_for(lambda: all(thread.name != "models" for thread in threading.enumerate()))


def test_model_is_loaded_when_nobody_types(
    repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsp.models.IDLE_S", 600.0)
    monkeypatch.setattr("lsp.models.PATIENCE_S", 600.0)
    bench = Bench(repository, folder)
    bench.use(OWN)
    bench.begin()
    for _ in range(3):
        bench.models.asked()
        assert bench.step() == ""
    monkeypatch.setattr("lsp.models.IDLE_S", 0.0)
    assert bench.step() == OWN


def test_patience_ends(repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp.models.IDLE_S", 600.0)
    monkeypatch.setattr("lsp.models.PATIENCE_S", 0.1)
    bench = Bench(repository, folder)
    bench.use(OWN)
    bench.begin()
    bench.models.asked()
    assert bench.step() == ""
    time.sleep(0.15)
    bench.models.asked()
    assert bench.step() == OWN


def test_choice_taken_back_in_time_loads_nothing(
    repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsp.models.IDLE_S", 600.0)
    monkeypatch.setattr("lsp.models.PATIENCE_S", 600.0)
    bench = Bench(repository, folder)
    bench.use(OWN)
    bench.begin()
    bench.models.asked()
    bench.step()
    bench.use("base")
    bench.step()
    assert bench.loaded == []


def test_broken_model_is_told_and_tried_again_after_a_change(bench: Bench) -> None:
    bench.is_broken = True
    bench.use(OWN)
    bench.begin()
    for _ in range(3):
        assert bench.step() == ""
    assert bench.warned == [(f"model {OWN}", f"the model {OWN} cannot be served: it is broken")]
    assert bench.loaded == [OWN]
    bench.is_broken = False
    Registry().pin(bench.identity)
    assert bench.step() == OWN


def test_damaged_list_is_told_and_the_base_serves(bench: Bench) -> None:
    bench.use(OWN)
    bench.begin()
    assert bench.step() == OWN
    before = Registry().file.read_text()
    Registry().file.write_text("{")
    assert bench.step() == ""
    ((kind, text),) = bench.warned
    assert (kind, "registry.json is damaged" in text) == ("registry", True)
    Registry().file.write_text(before)
    assert bench.step() == OWN


def test_fault_in_a_look_is_one_log_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(kind: str, text: str) -> None:
        bench.models.stop()
        raise ValueError("a secret")

    models = bench.models
    models._warn = fail
    bench.is_broken = True
    bench.use(OWN)
    models.set_roots([bench.root.as_uri()])
    models.start(threads=1)
    wait_for(lambda: "models: ValueError" in caplog.text)
    assert "a secret" not in caplog.text


def test_folder_without_history_has_the_base(bench: Bench, tmp_path: Path) -> None:
    bench.use(OWN)
    (tmp_path / "young" / ".git").mkdir(parents=True)
    bench.models.set_roots([tmp_path.as_uri(), (tmp_path / "young").as_uri()])
    bench.begin(with_root=False)
    bench.step()
    assert [item["model"] for item in bench.models.status()["folders"]] == ["", ""]
    assert bench.loaded == []


def test_one_for_all_serves_where_nothing_was_chosen(bench: Bench, folder: Path) -> None:
    other = added(Registry(), folder, "for-all", repository="")
    Registry().use(other.name, "")
    bench.begin()
    assert bench.step() == other.name
    loose = (bench.root.parent / "loose.py").as_uri()
    for _ in range(2):  # the first look learns that it is in no repository
        bench.label(loose)
        bench.step()
    assert bench.label(loose) == bench.label() == other.name
    bench.use(OWN)
    assert bench.step() == OWN
    bench.use("base")
    assert bench.step() == ""


def test_keystroke_runs_no_git_and_parses_nothing(bench: Bench) -> None:
    bench.use(OWN)
    bench.begin()
    assert bench.step() == OWN
    called: set[str] = set()
    uri = (bench.root / "a.py").as_uri()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.add(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        bench.models.asked()
        assert bench.models.backend_of(uri) is not None
    finally:
        sys.setprofile(None)
    ours = {
        name for name in called if name.startswith(("models.", "loaded_models.", "test_models."))
    }
    assert ours == {
        "models.asked",
        "models.backend_of",
        "models._choice",
        "loaded_models.backend_for",
    }
    of_the_library = {name.partition(".")[0] for name in called - ours}
    assert not of_the_library & {"git", "subprocess", "json", "registry", "registry_file"}


# --- commands


def test_folder_of_a_command_is_the_document_s(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("")
    roots = ["untitled:x", tmp_path.as_uri()]
    assert models.folder_named(({"uri": file.as_uri()},), []) == tmp_path
    assert models.folder_named(({"uri": tmp_path.as_uri()},), []) == tmp_path
    for arguments in ((), (3,), ({"uri": 3},), ({"uri": "untitled:y"},)):
        assert models.folder_named(arguments, roots) == tmp_path
    assert models.folder_named((), []) is None


@pytest.mark.parametrize("arguments", [(), ({},), ({"name": 3},), ("",)])
def test_choosing_needs_a_name(arguments: tuple[Any, ...], tmp_path: Path) -> None:
    answer = models.use_model("", models.argument(arguments, "name"), tmp_path)
    assert (answer["ok"], "is needed" in answer["message"]) == (False, True)


def test_the_setting_wins_over_a_choice(tmp_path: Path) -> None:
    answer = models.use_model("/models/mine", "base", tmp_path)
    assert (answer["ok"], "and wins" in answer["message"]) == (False, True)


def test_choosing_needs_a_repository(tmp_path: Path) -> None:
    answer = models.use_model("", "base", tmp_path)
    assert (answer["ok"], "in no git repository" in answer["message"]) == (False, True)
    answer = models.use_model("", "base", None)
    assert answer == {
        "ok": False,
        "message": "open a folder first: a model belongs to a repository",
    }
    listed = models.list_models("", tmp_path)
    assert (listed["models"], "in no git repository" in listed["message"]) == ([], True)


def test_editor_lists_and_chooses(bench: Bench) -> None:
    listed = models.list_models("", bench.root)
    assert [model["name"] for model in listed["models"]] == [OWN]
    assert models.use_model("", "base", bench.root)["ok"] is True
    Registry().file.write_text("{")
    listed = models.list_models("", bench.root)
    assert (listed["models"], "is damaged" in listed["message"]) == ([], True)


def test_model_asked_last_is_the_most_wanted() -> None:
    models = WorkspaceModels(lambda *_: None)
    entry: Any = object()
    models._choices = {"a": entry, "b": entry, "c": entry, "base": None}
    models._asked_of = {"a": 1.0, "b": 2.0, "unknown": 3.0}
    models._roots = tuple(map(Path, ("/c", "/not known yet", "/a", "/base")))
    models._repositories = {str(Path(f"/{name}")): name for name in ("c", "a", "base")}
    assert [*models._wanted()] == ["b", "a", "c"]
