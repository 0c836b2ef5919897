"""The engine and the longest match behind one pair of calls; none sees the file under test."""

from pathlib import Path

import pytest

from tests.doubles import tiny_folder
from tests.training.evaluation.replay.scripted_systems import stratum
from training.data.corpus import Document
from training.evaluation.held_out import Task
from training.evaluation.replay.history import Snapshot
from training.evaluation.replay.run import Work, measure
from training.evaluation.replay.systems import (
    INDEX,
    LONGEST_MATCH,
    NETWORK,
    NETWORK_AND_INDEX,
    SYSTEMS,
    LongestMatch,
    TreeIndex,
    open_systems,
)
from training.evaluation.replay.tasks import ReplayTask

OWN = "def only_in_this_file():\n    return 'text of the parent that was replaced'\n"
OTHER = "def helper(first, second):\n    return combine(first, second)\n"
TREE = Snapshot(commit="c1", files=(("own.py", OWN), ("other.py", OTHER)))


def task(before: str, truth: str, path: str = "own.py") -> Task:
    file = Document(source="r", path=path, text=before + truth)
    return Task(file=file, offset=len(before), truth=truth)


def test_index_does_not_tell_the_file_under_test_about_itself(tmp_path: Path) -> None:
    tree = TreeIndex(tmp_path)
    tree.open(TREE)
    index = tree.find("own.py")
    assert index is not None
    for context in (b"    return 'text of the ", b"def only_in_", b"    return "):
        levels = index.levels(context, path="own.py")
        assert {place.path for level in levels for place in level.occurrences} <= {"other.py"}
    assert index.levels(b"def only_in_", path="new.py")[0].occurrences[0].path == "own.py"


def test_next_tree_replaces_the_one_before(tmp_path: Path) -> None:
    tree = TreeIndex(tmp_path)
    tree.open(TREE)
    first = tree.find("a.py")
    tree.open(TREE)
    assert tree.find("a.py") is first  # indexed once
    tree.open(Snapshot(commit="c2", files=(("new.py", OTHER),)))
    index = tree.find("a.py")
    assert index is not None
    assert index.levels(b"def only_in_this", path="a.py") == []
    assert index.levels(b"def helper(", path="a.py")[0].occurrences[0].path == "new.py"


def test_longest_match_answers_from_the_tree_and_is_surer_of_longer_matches() -> None:
    match = LongestMatch(TREE.files)
    long = match.answer(task("x = 1\n    return combine(fir", "st, second)"))
    short = match.answer(task("fir", "e"))
    assert long.text == "st, second)"
    assert 0 < short.probability < long.probability < 1
    assert match.answer(task("def only_in_", "this_file():")).text != "this_file():"


def test_all_systems_open_and_answer(tmp_path: Path) -> None:
    model = tiny_folder(tmp_path)
    systems = open_systems(SYSTEMS, model=str(model), folder=tmp_path / "indexes")
    assert [system.name for system in systems] == [NETWORK_AND_INDEX, NETWORK, INDEX, LONGEST_MATCH]
    calibrated = {system.name: system.is_calibrated for system in systems}
    assert not calibrated[LONGEST_MATCH]
    assert not calibrated[NETWORK_AND_INDEX]  # nothing was fitted for this model
    assert systems[0].least("quiet") == 0.0
    for system in systems:
        system.open(TREE)
        given = system.answer(task("def other(first):\n    return combine(fir", "st)"))
        assert "\n" not in given.text
        assert 0 <= given.probability <= 1
        assert given.ms > 0


@pytest.mark.parametrize("name", [INDEX, LONGEST_MATCH])
def test_without_a_network_no_model_is_read(name: str, tmp_path: Path) -> None:
    (system,) = open_systems([name], model="nowhere", folder=tmp_path)
    assert system.name == name


def test_engine_is_asked_at_every_setting(tmp_path: Path) -> None:
    (system,) = open_systems([INDEX], model="", folder=tmp_path)
    typed = "def other(first):\n    return combine(fir"
    asked = ReplayTask(task=task(typed, "st)"), snapshot=TREE, stratum=stratum())
    measured = measure([Work(tasks=(asked,), lines=(asked,))], [system])
    names = [INDEX, f"{INDEX}, balanced", f"{INDEX}, quiet"]
    assert [*measured.asked[0].judged] == [*measured.lines[0].answers] == names
    for level, name in zip(("balanced", "quiet"), names[1:], strict=True):
        for given in measured.lines[0].answers[name]:
            assert not given.text or given.probability >= system.least(level)
