"""Commits made again, and what is offered on the way."""

from pathlib import Path

import pytest

from assistant.edits.next_edit import BIAS, Confidence, NextEdits
from assistant.edits.proposals import Proposal
from tests.repositories import commit_files, new_repository
from training.evaluation.next_edit import (
    EditedFile,
    Session,
    count_differing,
    edited_files,
    evaluate,
    format_report,
    is_right,
)
from training.evaluation.replay.cli import main as eval_main
from training.evaluation.replay.history import ReplayError

# Three calls get an argument; one line changes alone.
OLD = "".join(f"a{i} = load(path_{i})\nb{i} = {i}\nc{i} = {i}\n" for i in range(4)).split("\n")
NEW = [
    line.replace(")", ", strict)") if "load" in line and "3" not in line else line for line in OLD
]
NEW[NEW.index("b3 = 3")] = "b3 = 33"
FILE = EditedFile(commit="0" * 40, path="a.py", old=tuple(OLD), new=tuple(NEW))
ALWAYS = Confidence(weights={"like line": {BIAS: 3.0}}, thresholds={"balanced": 0.5})


def proposal(row: int, new: str) -> Proposal:
    return Proposal(row=row, old=(OLD[row],), new=(new,), kind="like line", features={})


def test_right_is_only_what_the_commit_holds_there() -> None:
    n_differ = count_differing(OLD, NEW)
    assert n_differ == 4
    assert is_right(OLD, NEW, proposal(3, "a1 = load(path_1, strict)"), n_differ)
    assert not is_right(OLD, NEW, proposal(3, "a1 = load(path_1, other)"), n_differ)
    assert not is_right(OLD, NEW, proposal(3, "a2 = load(path_2, strict)"), n_differ)  # elsewhere
    assert not is_right(OLD, NEW, proposal(9, "a3 = load(path_3, strict)"), n_differ)  # not changed


def test_right_offers_are_taken_and_a_wrong_one_is_passed_over() -> None:
    session = Session(FILE, "balanced", [], NextEdits(ALWAYS)).replay()
    outcomes = [offer.is_right for offer in session.offers]
    assert outcomes.count(True) == 2
    assert outcomes.count(False) >= 1  # the fourth call stays as it was
    offered = [offer.proposal.new for offer in session.offers if not offer.is_right]
    assert len(offered) == len(set(offered))  # none comes back
    assert session.n_saved == 2 * len("a1 = load(path_1, strict)")


def test_who_is_never_sure_offers_nothing() -> None:
    unsure = Confidence(weights={}, thresholds={"balanced": 0.5})
    session = Session(FILE, "balanced", [], NextEdits(unsure)).replay()
    assert session.offers == []
    assert session.n_saved == 0


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_repository(tmp_path_factory.mktemp("git") / "own", {"a.py": "\n".join(OLD)})
    commit_files(path, {"a.py": "\n".join(NEW)})
    text = "".join(f"x = read(name)\ny{i} = {i}\nz{i} = {i}\n" for i in range(6))
    commit_files(path, {"b.py": text})
    return commit_files(path, {"b.py": text.replace("read(name)", "read(name, True)")})


def test_files_changed_in_several_places_are_replayed(repository: Path) -> None:
    assert {file.path for file, _ in edited_files(repository, 10)} == {"a.py", "b.py"}


def test_report_fits_a_narrow_terminal(repository: Path) -> None:
    report = evaluate([repository], 10, show="eager")
    assert report["all"]["files"] == 2
    assert report["all"]["offers"] >= 1
    assert max(map(len, format_report(report).splitlines())) <= 80


def test_command_shows_it(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_main(["--next-edit", str(repository)]) == 0
    assert "found: those that were offered" in capsys.readouterr().out


def test_a_repository_without_such_commits_is_named_as_the_reason(tmp_path: Path) -> None:
    path = commit_files(new_repository(tmp_path / "r", {"a.py": "x = 1\n"}), {"a.py": "x = 2\n"})
    with pytest.raises(ReplayError, match="nothing to replay"):
        evaluate([path], 10, show="eager")
