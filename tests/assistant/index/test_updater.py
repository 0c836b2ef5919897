"""A updater runs its process when something changes, and survives whatever that does."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from assistant.index.builder import BuildLimits, refresh
from assistant.index.updater import IndexUpdater, build_command
from assistant.index.writer import index_folder
from assistant.settings import Settings
from tests.repositories import new_repository, plain_git
from tests.waiting import WAIT_S, wait_for

Start = Callable[..., IndexUpdater]


class Script:
    """Commands that say given lines; counts how often one was asked for."""

    def __init__(self, *lines: dict[str, Any], then: str = "") -> None:
        texts = [json.dumps(line) for line in lines]
        self.code = f"import sys, time\nfor line in {texts!r}: print(line, flush=True)\n{then}"
        self.terms: list[Settings] = []

    def __call__(self, root: Path, terms: Settings) -> Sequence[str]:
        self.terms.append(terms)
        return [sys.executable, "-I", "-S", "-c", self.code]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "r", {"a.py": "one = call(1)\n"})


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts updaters, each with a command of its own; all are stopped at the end."""
    updaters: list[IndexUpdater] = []

    def starter(
        command: Any, *, folder: Path = root, settings: Settings | None = None, **options: Any
    ) -> IndexUpdater:
        updater = IndexUpdater(folder, settings or Settings(), command=command, **options)
        updaters.append(updater)
        updater.start()
        return updater

    yield starter
    for updater in updaters:
        updater.stop()
        updater.join(WAIT_S)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"START": 0.0, "POLL": 0.02, "QUIET": 0.01, "RETRY": 0.02}.items():
        monkeypatch.setattr(f"assistant.index.updater.{name}_S", seconds)


def comes_to(updater: IndexUpdater) -> str:
    """Wait until the index has been brought up to date once, or was not."""
    ends = ("ready", "failed")
    return wait_for(lambda: state if (state := updater.state) in ends else None)


@pytest.mark.slow
def test_the_real_command_builds_the_index(root: Path, start: Start) -> None:
    (root / "b.py").write_text("excluded = 1\n")
    updater = start(build_command, settings=Settings(exclude=("b*",), index_mb=100))
    assert comes_to(updater) == "ready"
    status = updater.status()
    assert (status["files"], status["complete"]) == (1, True)
    (level, *_) = updater.index.levels(b"one = call(", path="x.py")
    assert level.occurrences[0].following == b"1)\n"


def test_the_command_names_the_folder_last(root: Path) -> None:
    terms = Settings(exclude=("*.gen", "-x"), index_mb=7, index_dependencies=True)
    command = build_command(root, terms)
    assert command[-2:] == ["--", str(root)]
    assert {"--exclude=*.gen", "--exclude=-x", "--mb=7", "--dependencies"} < set(command)


def test_progress_is_passed_on_and_ends(start: Start) -> None:
    seen: list[tuple[int, int]] = []
    script = Script({"n_bytes": 1, "of_bytes": 4}, {"outcome": "done"})
    updater = start(script, on_progress=lambda *pair: seen.append(pair))
    assert comes_to(updater) == "ready"
    assert seen == [(1, 4), (0, 0)]


def test_a_change_starts_it_again_once(start: Start) -> None:
    script = Script({"outcome": "done"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    for _ in range(20):
        updater.note_changes(["a.py"])
    wait_for(lambda: len(script.terms) > 1 and updater.state == "ready")
    assert len(script.terms) <= 3


@pytest.mark.parametrize(
    ("path", "n_starts"),
    [("run.log", 1), ("a.py", 2), (".gitignore", 2), ("gone-1.2", 2), ("new-1.2", 2)],
)
def test_a_file_that_is_never_indexed_starts_nothing(
    root: Path, start: Start, path: str, n_starts: int
) -> None:
    for name in ("run.log", ".gitignore"):
        (root / name).write_text("x\n")
    (root / "new-1.2").mkdir()
    script = Script({"outcome": "done"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    updater.note_changes([path])
    wait_for(lambda: len(script.terms) >= n_starts)
    time.sleep(0.2)
    assert len(script.terms) == n_starts


def test_changed_files_count_no_more_until_they_are_read(root: Path) -> None:
    refresh(root, index_folder(root), BuildLimits())
    updater = IndexUpdater(root, Settings(), command=Script({"outcome": "done"}))
    assert updater.index.levels(b"one = call(", path="x.py")
    updater.note_changes(["a.py"])
    assert updater.index.levels(b"one = call(", path="x.py") == []
    updater.index.refresh()
    assert updater.index.levels(b"one = call(", path="x.py")


def test_a_complete_index_is_looked_at_a_little_later(
    root: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.index.updater.START_S", 0.3)
    refresh(root, index_folder(root), BuildLimits())
    script = Script({"outcome": "done"})
    updater = start(script)
    assert updater.index.levels(b"one = call(", path="x.py")
    assert script.terms == []
    assert comes_to(updater) == "ready"
    assert len(script.terms) == 1


def test_a_commit_starts_it_again(root: Path, start: Start) -> None:
    script = Script({"outcome": "done"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    plain_git(root, "commit", "-q", "--allow-empty", "-m", "second")
    plain_git(root, "checkout", "-q", "-b", "side")
    wait_for(lambda: len(script.terms) > 1)


def test_other_settings_start_it_again(start: Start) -> None:
    script = Script({"outcome": "done"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    updater.use(Settings(exclude=("*.gen",)))
    wait_for(lambda: Settings(exclude=("*.gen",)) in script.terms)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script({"outcome": "failed", "message": "No space left on device"}), "No space left"),
        (Script(then="print('not json'); sys.exit(3)"), "ended early"),
        (Script(then="raise SystemExit('boom')"), "ended early"),
    ],
)
def test_failures_are_one_line_and_the_memory_stays(
    root: Path,
    start: Start,
    script: Script,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refresh(root, index_folder(root), BuildLimits())
    updater = start(script)
    assert comes_to(updater) == "failed"
    assert [record.getMessage() for record in caplog.records if said in record.getMessage()]
    assert updater.index.levels(b"one = call(", path="x.py")


def test_a_command_that_cannot_start_is_a_failure(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    commands = iter([["/nonexistent/program"]] * 2)
    works = Script({"outcome": "done"})
    updater = start(lambda *of: next(commands, works(*of)))
    wait_for(lambda: updater.state == "ready")  # it is tried again
    assert caplog.text.count("cannot start") == 1


def test_another_writer_is_no_failure(start: Start) -> None:
    script = Script({"outcome": "busy"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    wait_for(lambda: len(script.terms) > 2)  # its work may have been done before our change


def test_stopping_ends_the_process(start: Start) -> None:
    seen: list[tuple[int, int]] = []
    script = Script({"n_bytes": 1, "of_bytes": 4}, then="time.sleep(600)")
    updater = start(script, on_progress=lambda *pair: seen.append(pair))
    wait_for(lambda: seen)
    updater.stop()
    wait_for(lambda: seen[-1] == (0, 0))


def test_word_of_a_change_and_the_end_are_not_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.index.updater.POLL_S", 3_600.0)
    script = Script({"outcome": "done"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    updater.note_changes(["a.py"])
    wait_for(lambda: len(script.terms) >= 2)
    updater.stop()
    updater.join(WAIT_S)
    assert not updater._thread.is_alive()


def test_a_folder_without_git_is_kept_up_to_date(tmp_path: Path, start: Start) -> None:
    updater = start(Script({"outcome": "done"}), folder=tmp_path)
    assert comes_to(updater) == "ready"


def test_the_thread_keeps_no_process_from_its_end(start: Start) -> None:
    start(Script({"outcome": "done"}, then="time.sleep(600)"))
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "index"] == [True]


def test_one_that_was_never_started_ends(root: Path) -> None:
    updater = IndexUpdater(root, Settings(), command=Script())
    updater.stop()
    updater.join(WAIT_S)


def test_any_error_is_one_line_and_is_tried_again(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    n_asked = 0
    script = Script({"outcome": "done"})

    def command(folder: Path, settings: Settings) -> Sequence[str]:
        nonlocal n_asked
        n_asked += 1
        if n_asked < 4:
            raise ValueError
        return script(folder, settings)

    updater = start(command)
    wait_for(lambda: n_asked >= 4 and updater.state == "ready")
    assert [record.getMessage() for record in caplog.records] == [
        "index: not up to date: ValueError"
    ]


def test_lines_that_say_nothing_are_passed_over(start: Start) -> None:
    seen: list[tuple[int, int]] = []
    script = Script(then="print('[1]\\n{\\n3')\nprint('{\"outcome\": \"done\"}')")
    updater = start(script, on_progress=lambda *pair: seen.append(pair))
    assert comes_to(updater) == "ready"
    assert seen == [(0, 0)]


def test_the_status_is_that_of_the_index(root: Path) -> None:
    updater = IndexUpdater(root, Settings(), command=Script())
    assert updater.status() == {"state": "waiting", "complete": False, "files": 0, "bytes": 0}
    refresh(root, index_folder(root), BuildLimits())
    updater.index.refresh()
    n_bytes = sum(path.stat().st_size for path in index_folder(root).glob("*.seg"))
    assert updater.status() == {
        "state": "waiting", "complete": True, "files": 1, "bytes": n_bytes,
    }  # fmt: skip


def test_dependencies_are_asked_for_only_if_they_are_wanted(root: Path) -> None:
    assert "--dependencies" not in build_command(root, Settings(index_dependencies=False))


@pytest.mark.parametrize("name", ["RETRY", "QUIET"])
def test_a_failure_and_a_swarm_of_changes_are_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(f"assistant.index.updater.{name}_S", 3_600.0)
    script = Script({"outcome": "failed" if name == "RETRY" else "done"})
    updater = start(script)
    assert comes_to(updater) == ("ready" if name == "QUIET" else "failed")
    updater.note_changes(["a.py"])
    time.sleep(0.3)  # it would have started long since
    assert len(script.terms) == 1


def test_one_that_is_stopped_while_its_process_starts_ends_it(root: Path) -> None:
    def command(*_: object) -> Sequence[str]:
        updater.stop()
        return [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]

    updater = IndexUpdater(root, Settings(), command=command)
    updater.start()
    updater.join(WAIT_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "index"]


def test_changed_files_count_again_when_they_were_read(root: Path, start: Start) -> None:
    refresh(root, index_folder(root), BuildLimits())
    script = Script({"outcome": "done"})
    updater = start(script)
    updater.note_changes(["a.py"])
    wait_for(lambda: updater.index.levels(b"one = call(", path="x.py"))


def test_what_is_done_is_not_done_again(start: Start) -> None:
    script = Script({"outcome": "done"})
    updater = start(script)
    assert comes_to(updater) == "ready"
    time.sleep(0.3)  # fifteen looks at git's files
    assert (len(script.terms), updater.state) == (1, "ready")
