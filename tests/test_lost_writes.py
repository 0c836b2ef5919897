"""The power goes at any moment: what was there is there, or what should be, and never half of it.

What was written and not synced may be lost, cut, or on the disk without what came before it. The
next writer, too, gets on with what is left. A control: a program that forgets to sync is noticed.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from assistant import counts
from assistant.index.reader import open_view
from assistant.models.registry import Registry
from assistant.remote.ledger import Ledger
from model.folder import load_folder
from tests import durable_actions
from tests.doubles import tiny_folder
from tests.durable_actions import EGRESS, LINES, NEW, OLD, put
from tests.e2e.system_calls import why_not
from tests.lost_writes import recorded
from tests.own_models import HERE, added
from tests.rounds import ROUND, count, shifted
from training.pretrain import checkpoint as state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "strace"),
]

N_MIXES = 8 if ROUND else 1  # of what was written and not synced, after each operation

Read = Callable[[Path], object]
Change = Callable[[Path], None]


def found_after_cuts(
    tmp_path: Path,
    prepare: Change,
    action: str,
    read: Read,
    write_next: Change = lambda _: None,
    n_mixes: int = N_MIXES,
) -> tuple[object, list[object], object]:
    """Return what is read before an action, after each cut within it, and when it has ended.

    After a cut there is a next writer, too.
    """
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    prepare(folder)
    before = read(folder)
    recording = recorded(folder, action)
    found = []
    for number, disk in enumerate(recording.states(random.Random(shifted(1)), n_mixes)):
        disk.write(tmp_path / str(number))
        found.append(read(tmp_path / str(number)))
        write_next(tmp_path / str(number))
        count(1)
    recording.after().write(tmp_path / "ended")
    return before, found, read(tmp_path / "ended")


def assert_old_or_new(
    tmp_path: Path,
    prepare: Change,
    action: str,
    read: Read,
    new: object,
    write_next: Change = lambda _: None,
) -> None:
    before, found, after = found_after_cuts(tmp_path, prepare, action, read, write_next)
    assert before != new
    assert [one for one in found if one not in (before, new)] == []
    assert after == new
    assert before in found and new in found


def texts_of(folder: Path) -> dict[str, str]:
    view = open_view(folder / "i")
    assert view.damaged == ()
    return {
        path: opened.segment.text_of(number).decode()
        for opened in view.opened
        for path, number in opened.files.items()
    }


def put_again(folder: Path) -> None:
    put(folder / "i", NEW)
    assert texts_of(folder) == NEW
    named = {ref.name for ref in open_view(folder / "i").manifest.segments}
    assert {path.name for path in (folder / "i").iterdir()} == {*named, "lock", "manifest.json"}


def test_an_index(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        put(folder / "i", OLD)

    assert_old_or_new(tmp_path, prepare, "index", texts_of, NEW, put_again)


def test_segments_that_are_merged(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        for n in range(1, 5):
            put(folder / "i", {f"{i}.py": f"x = {i}\n" for i in range(n)})

    _, found, _ = found_after_cuts(tmp_path, prepare, "merge", texts_of, put_again)
    assert {json.dumps(texts, sort_keys=True) for texts in found} == {
        json.dumps({f"{i}.py": f"x = {i}\n" for i in range(4)})
    }


def models_of(folder: Path) -> object:
    """Return the models that are listed, all of them whole, and the one in use."""
    registry = Registry(folder / "models")

    def listed() -> list[str]:
        for entry in registry.entries():
            assert load_folder(registry.place(entry.name)).content_hash == entry.content_hash
        return [entry.name for entry in registry.entries()]

    listed()
    place = registry.find_folder(HERE)
    registry.pin("ef" * 16)  # the next writer lists what arrived
    return listed(), place and place.name


def prepare_models(folder: Path, tmp_path: Path, *, with_second: bool) -> None:
    first, second = (tiny_folder(tmp_path, name=name) for name in ("first", "second"))
    registry = Registry(folder / "models")
    added(registry, first, "first")
    registry.use("first", HERE)
    listed = registry if with_second else Registry(folder / "listed")
    added(listed, second, "second")
    (folder / "listed" / "second").rename(folder / "incoming") if not with_second else None


def test_a_model_that_is_added(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        prepare_models(folder, tmp_path, with_second=False)

    def read(folder: Path) -> object:
        found = models_of(folder)
        kept = [folder / "incoming", folder / "models" / "second"]
        assert any(path.is_dir() and load_folder(path) for path in kept)
        return found

    new = (["first", "second"], "first")
    assert_old_or_new(tmp_path, prepare, "registry_add", read, new)


def test_a_model_that_is_chosen(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        prepare_models(folder, tmp_path, with_second=True)

    new = (["first", "second"], "second")
    assert_old_or_new(tmp_path, prepare, "registry_use", models_of, new)


def test_a_users_file(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        (folder / "init.el").write_text(LINES[0])

    def read(folder: Path) -> str:
        backups = [path.read_text() for path in folder.glob("*.before-foretype*")]
        text = (folder / "init.el").read_text()
        assert text == LINES[0] or backups == [LINES[0]]
        return text

    assert_old_or_new(tmp_path, prepare, "setup", read, LINES[1])


def test_the_ledger(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        Ledger(folder).begin(EGRESS | {"bytes_sent": 1})

    def read(folder: Path) -> list[int]:
        return [row["bytes_sent"] for row in Ledger(folder).rows()]

    _, found, _ = found_after_cuts(tmp_path, prepare, "ledger", read)
    assert [rows for rows in found if rows not in ([1], [1, 2])] == []
    assert [1] in found and [1, 2] in found


def test_the_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(folder: Path) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(folder))
        durable_actions.statistics(folder)

    def read(folder: Path) -> dict[str, int]:
        monkeypatch.setenv("XDG_DATA_HOME", str(folder))
        return {name: n for _, _, name, n in counts.read()}

    old, new = {"shown": 3, "whole": 2}, {"shown": 6, "whole": 4}
    _, found, _ = found_after_cuts(tmp_path, prepare, "statistics", read)
    assert [names for names in found if names not in (old, new)] == []
    assert old in found and new in found


def test_a_checkpoint(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        for step in (1, 2):
            durable_actions.checkpoint(folder, step)

    def read(folder: Path) -> int:
        found = state.load_newest(folder)
        assert found is not None
        whole = torch.full((300,), float(found.progress.step))
        assert torch.equal(found.weights["w"], whole) and torch.equal(found.optimizer["w"], whole)
        return found.progress.step

    def write_next(folder: Path) -> None:
        durable_actions.checkpoint(folder, 4)
        assert read(folder) == 4

    assert_old_or_new(tmp_path, prepare, "checkpoint", read, 3, write_next)


def test_control_a_file_that_was_not_synced_is_found_cut(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        (folder / "file").write_text("old")

    def read(folder: Path) -> str:
        return (folder / "file").read_text() if (folder / "file").exists() else ""

    _, found, _ = found_after_cuts(tmp_path, prepare, "careless", read, n_mixes=20)
    assert {"old", "new " * 1_000} < set(found)
