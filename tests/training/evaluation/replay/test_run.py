"""Every system is asked the same, reads nothing of the future, and what was measured is kept."""

import itertools
from pathlib import Path

import pytest

from tests.repositories import commit_files, new_repository
from tests.training.evaluation.replay.scripted_systems import ScriptedSystem
from training.data.progress import Progress
from training.evaluation.held_out import Task
from training.evaluation.replay.run import (
    INTERRUPTED,
    OUT_OF_TIME,
    Plan,
    Work,
    measure,
    plan_work,
)

PLAN = Plan(n_tasks=12, n_lines=3, seed=1)
MARK = "future_{}"  # stands in every line that is typed


def repository(path: Path) -> Path:
    root = new_repository(path, {"old.py": "def known(value):\n    return value + 1\n"})
    for number in range(4):
        mark = MARK.format(number)
        body = "".join(f"    {mark}_{i} = known({mark}_{i} + {i})\n" for i in range(6))
        commit_files(root, {f"part_{number}.py": f"def {mark}(value):\n{body}"})
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository(tmp_path / "lib")


def silent(name: str = "s") -> ScriptedSystem:
    return ScriptedSystem(name, lambda task: "")


def test_no_system_reads_what_was_not_typed_yet(root: Path) -> None:
    system = silent()
    measured = measure(plan_work([root], PLAN), [system])
    assert len(measured.asked) == 12
    assert len(measured.lines) == 3
    commits = {snapshot.commit for snapshot in system.snapshots}
    assert len(commits) == len(system.snapshots)  # one index for each commit
    for snapshot in system.snapshots:
        number = len(snapshot.files) - 1  # parts that came before
        for _, text in snapshot.files:
            assert all(MARK.format(later) not in text for later in range(number, 4))
    for task in system.tasks[1:]:
        number = int(task.file.path[5])
        above = task.text[: task.offset]
        assert task.text[task.offset :].strip() == ""  # a new file: nothing below the cursor
        assert all(MARK.format(later) not in above for later in range(number + 1, 4))


def test_systems_take_turns_and_are_asked_the_same(root: Path) -> None:
    left, right = silent("left"), silent("right")
    measured = measure(plan_work([root], PLAN), [left, right])
    assert left.tasks == right.tasks
    assert all(item.judged.keys() == {"left", "right"} for item in measured.asked)
    for line in measured.lines:
        assert [len(told) for told in line.answers.values()] == [len(line.text)] * 2


def test_same_seed_same_work_other_seed_another(root: Path) -> None:
    def drawn(plan: Plan) -> list[tuple[list[Task], list[Task]]]:
        work = plan_work([root], plan)
        return [([t.task for t in part.tasks], [t.task for t in part.lines]) for part in work]

    assert drawn(PLAN) == drawn(PLAN)
    assert drawn(PLAN) != drawn(Plan(n_tasks=12, n_lines=3, seed=2))


def test_lines_that_are_typed_are_distinct_and_whole(root: Path) -> None:
    plan = Plan(n_tasks=60, n_lines=30, seed=0)
    work = plan_work([root], plan)
    lines = [(t.commit, t.line_start) for part in work for t in part.lines]
    assert len(lines) == len(set(lines)) > 9
    measured = measure(work, [silent()])
    assert all(line.text == line.text.strip() != "" for line in measured.lines)


def test_repositories_take_turns(root: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    names = [part.tasks[0].task.file.source for part in plan_work([root, other], PLAN)]
    assert names == ["lib", "other"] * 4


def test_progress_counts_every_cursor(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = plan_work([root], PLAN)
    measure(work, [silent()])
    total = sum(part.n_cursors for part in work)
    assert f"cursors {total}/{total} (100%)" in capsys.readouterr().err


def test_interrupt_keeps_what_was_measured(root: Path) -> None:
    counter = itertools.count()

    def say(task: Task) -> str:
        if next(counter) == 8:
            raise KeyboardInterrupt
        return ""

    measured = measure(plan_work([root], PLAN), [ScriptedSystem("s", say)])
    assert measured.stopped == INTERRUPTED
    assert 0 < len(measured.asked) + len(measured.lines) < 8  # the first one only warms up


def test_interrupt_before_anything_is_measured_ends_it_as_any_command(root: Path) -> None:
    def say(task: Task) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(plan_work([root], PLAN), [ScriptedSystem("s", say)])


def test_time_limit_ends_it(root: Path) -> None:
    clock = itertools.count()
    measured = measure(
        plan_work([root], PLAN), [silent()], limit_s=4.5, clock=lambda: float(next(clock))
    )
    assert measured.stopped == OUT_OF_TIME
    assert len(measured.asked) + len(measured.lines) == 5


def test_no_more_time_is_left_than_the_limit_gives(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[float]()
    monkeypatch.setattr(Progress, "show", lambda _self, _done, left_s: told.append(left_s))
    clock = itertools.count()
    measure(plan_work([root], PLAN), [silent()], limit_s=4.5, clock=lambda: float(next(clock)))
    assert told == [3.5, 2.5, 1.5, 0.5, 0.0]


def test_no_work_measures_nothing() -> None:
    work: list[Work] = []
    measured = measure(work, [silent()])
    assert (measured.asked, measured.lines, measured.stopped) == ([], [], "")
