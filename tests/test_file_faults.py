"""Each operation on files fails once: what was there stays or is replaced as a whole.

For every call of index, registry, graph, ledger, settings and the set-up of editors. A fault is
tolerated or told by an error of ours or the system's; then the same again succeeds.

Found so on 2026-11-29: an index whose manifest could not be read for a moment was deleted as if it
were damaged; a model that could not be deleted was forgotten, its weights left behind; half a line
of the ledger spoilt the next one; an index that could not be read back was called complete.
"""

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.errors import AssistantError, RemoteError, SettingsError
from assistant.index.builder import refresh
from assistant.index.folder_index import FolderIndex
from assistant.models.registry import ModelsError, Registry
from assistant.remote.ledger import Ledger
from assistant.settings import Settings, load_settings, settings_path
from assistant.setup.change import Change, SetupError, write
from model.folder import load_folder
from model.onnx_cache import OnnxCacheError, open_graph
from tests.doubles import tiny_folder
from tests.file_faults import ERRORS, failing
from tests.own_models import HERE, added, entry_of
from tests.rounds import ROUND, count

pytestmark = pytest.mark.skipif(os.name == "nt", reason="errors of Unix")

Folders = Callable[[], Path]


@pytest.fixture
def fresh(tmp_path: Path) -> Folders:
    count = itertools.count()

    def folder() -> Path:
        made = tmp_path / str(next(count))
        made.mkdir()
        return made

    return folder


def try_each(
    fresh: Folders,
    prepare: Callable[[Path], Callable[[], object]],
    check: Callable[[Path, bool], None],
    *told: type[Exception],
    step: int = 1,
) -> int:
    """Let each operation fail once; `check` gets the folder, and whether the action succeeded."""
    folder = fresh()
    action = prepare(folder)
    with failing(folder) as counted:
        action()
    check(folder, True)
    for at in range(1 + ROUND % step, counted.n_seen + 1, step):
        folder = fresh()
        action = prepare(folder)
        with failing(folder, at, ERRORS[(at + ROUND) % len(ERRORS)]):
            try:
                action()
                is_done = True
            except told:
                is_done = False
        check(folder, is_done)
        count(1)
    return counted.n_seen


def texts_of(index: Path) -> dict[str, bytes]:
    view = FolderIndex(index).view
    return {
        path: opened.segment.text_of(number)
        for opened in view.opened
        for path, number in opened.files.items()
    }


OLD = {"a.py": b"a = 1\n", "b.py": b"b = 1\n", "gone.py": b"gone = 1\n"}
NEW = {"a.py": b"a = 2\n", "b.py": b"b = 1\n", "new.py": b"new = 1\n"}


def put(root: Path, files: dict[str, bytes]) -> None:
    for path in root.iterdir():
        path.unlink()
    for name, data in files.items():
        (root / name).write_bytes(data)


def test_an_index_is_the_old_or_the_new_one(fresh: Folders, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    def prepare(folder: Path) -> Callable[[], object]:
        put(root, OLD)
        refresh(root, folder / "i")
        put(root, NEW)
        return lambda: refresh(root, folder / "i")

    def check(folder: Path, is_done: bool) -> None:
        texts = texts_of(folder / "i")
        assert is_done is False or texts == NEW
        assert texts.items() <= NEW.items() | OLD.items()
        refresh(root, folder / "i")
        assert texts_of(folder / "i") == NEW
        named = {opened.ref.name for opened in FolderIndex(folder / "i").view.opened}
        assert {path.name for path in (folder / "i").iterdir()} == {*named, "lock", "manifest.json"}

    assert try_each(fresh, prepare, check, OSError) > 15


def models_of(registry: Registry) -> dict[str, bool]:
    return {entry.name: registry.place(entry.name).is_dir() for entry in registry.entries()}


def test_a_registry_lists_what_is_whole(fresh: Folders, tmp_path: Path) -> None:
    source = tiny_folder(tmp_path, name="source")
    other = tiny_folder(tmp_path, name="other", seed=1)

    def prepare(folder: Path) -> Callable[[], object]:
        registry = Registry(folder / "models")
        added(registry, source, "first")
        incoming = folder / "incoming"
        added(Registry(folder / "elsewhere"), other, "second")
        (folder / "elsewhere" / "second").rename(incoming)

        def act() -> None:
            registry.add(incoming, entry_of(other, "second"))
            registry.use("second", HERE)
            registry.remove("first")

        return act

    def check(folder: Path, is_done: bool) -> None:
        registry = Registry(folder / "models")
        registry.pin(HERE)  # the next writer clears up
        found = models_of(registry)
        assert all(found.values())
        assert not is_done or [*found] == ["second"]
        assert (folder / "incoming").is_dir() or "second" in found
        kept = {path.name for path in registry.folder.iterdir() if path.is_dir()}
        assert kept == {*found}
        if "second" in found and registry.book().serving(HERE) is None:
            registry.use("second", HERE)
        if "second" in found:
            assert registry.find_folder(HERE) == registry.place("second")

    assert try_each(fresh, prepare, check, ModelsError, step=2) > 20


def test_a_graph_is_sound_or_not_there(
    fresh: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_folder(tiny_folder(tmp_path))

    def prepare(folder: Path) -> Callable[[], object]:
        monkeypatch.setenv("FORETYPE_CACHE", str(folder / "cache"))
        return lambda: open_graph(model, 8)

    def check(folder: Path, is_done: bool) -> None:
        graphs = folder / "cache" / "graphs"
        there = [path for path in graphs.glob("*-8") if path.is_dir()] if graphs.is_dir() else []
        assert not is_done or there
        assert open_graph(model, 8).is_dir()
        assert not [*graphs.glob(".*.tmp")]

    assert try_each(fresh, prepare, check, OnnxCacheError) > 10


EGRESS = {
    "provider": "openai", "host": "h", "model": "m", "file": "a.py", "ranges": (), "redactions": {},
}  # fmt: skip


def test_a_row_is_in_the_ledger_or_nothing_is_sent(fresh: Folders) -> None:
    def prepare(folder: Path) -> Callable[[], object]:
        Ledger(folder).begin(EGRESS | {"bytes_sent": 1})
        return lambda: Ledger(folder).begin(EGRESS | {"bytes_sent": 2})

    def check(folder: Path, is_done: bool) -> None:
        ledger = Ledger(folder)
        sent = [row["bytes_sent"] for row in ledger.rows()]
        assert sent[0] == 1 and (not is_done or sent == [1, 2])
        ledger.begin(EGRESS | {"bytes_sent": 3})
        assert [row["bytes_sent"] for row in ledger.rows()] == [*sent, 3]

    assert try_each(fresh, prepare, check, RemoteError) >= 2


def test_settings_that_cannot_be_read_are_not_the_defaults(private_home: Path) -> None:
    settings_path().parent.mkdir(parents=True)
    settings_path().write_text("deadline_ms = 7\n")
    for code in (errno.EIO, errno.EACCES):
        with failing(private_home, 1, code), pytest.raises(SettingsError):
            load_settings()
    assert load_settings() == Settings(deadline_ms=7)


def test_a_users_file_is_as_it_was_or_as_it_should_be(fresh: Folders) -> None:
    def prepare(folder: Path) -> Callable[[], object]:
        path = folder / "init.el"
        path.write_text("mine\n")
        return lambda: write(Change(path=path, before="mine\n", after="mine\nours\n"))

    def check(folder: Path, is_done: bool) -> None:
        text = (folder / "init.el").read_text()
        assert text == "mine\nours\n" if is_done else text in ("mine\n", "mine\nours\n")
        backups = [path.read_text() for path in folder.glob("*.before-foretype*")]
        assert backups in ([], ["mine\n"])
        assert backups or text == "mine\n"
        assert not [*folder.glob(".*.tmp")]

    assert try_each(fresh, prepare, check, SetupError, AssistantError) > 6
