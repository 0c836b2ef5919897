"""The runner of long tests: goes on where it was stopped, keeps what failed, adds it all up."""

from pathlib import Path

import pytest

from tests import nightly
from tests.nightly import Rounds, Scenario

TEST = """
from tests.rounds import ROUND, count, shifted

def test_one():
    count(2, f"seed {shifted(7)}")
    assert ROUND != 1, "the second is wrong"
"""


@pytest.fixture
def rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    (tmp_path / "test_steps.py").write_text(TEST)
    scenario = Scenario("steps", 5, 90, str(tmp_path / "test_steps.py"))
    monkeypatch.setattr(nightly, "SCENARIOS", {"some steps": scenario})
    return Rounds(tmp_path / "results", "nightly")


def test_rounds_have_other_seeds_and_go_on_after_a_kill(rounds: Rounds) -> None:
    rounds.run("some steps")
    assert [row["round"] for row in rounds.rows()] == [0, 1, 2]
    results = rounds.folder / "nightly.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:2]) + '{"scen')
    rounds.run("some steps")
    rows = rounds.rows()
    assert [(row["round"], row["count"], row["is_ok"]) for row in rows] == [
        (0, 2, True), (1, 2, False), (2, 2, True),
    ]  # fmt: skip
    assert [row["notes"] for row in rows] == [[f"seed {7 + 1_000_003 * n}"] for n in range(3)]
    kept = (rounds.folder / "nightly-some-steps-1.txt").read_text()
    assert "the second is wrong" in kept
    assert "| some steps | steps | 3 | 6 | 1 |" in "\n".join(rounds.table())


def test_each_scenario_names_tests_that_exist() -> None:
    for scenario in nightly.SCENARIOS.values():
        for place in scenario.tests.split():
            path, _, name = place.partition("::")
            assert f"def {name or 'test_'}" in (nightly.ROOT / path).read_text()
