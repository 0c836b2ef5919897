"""The last words of a report are plain, and follow from its figures."""

from typing import Any

import pytest

from training.evaluation.replay.report_tables import advise


def figure(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean, "high": mean}


def report(
    *right: float | None, tasks: int = 400, name: str = "network + index", **repository: int
) -> dict[str, Any]:
    """Say how much is right of what each setting shows, from the one that shows most."""
    levels = zip(("eager", "balanced", "quiet"), right, strict=True)
    show = {
        level: {
            "precision": None if share is None else figure(share),
            "shown": figure(0.4),
            "saved": figure(0.163),
        }
        for level, share in levels
    }
    item = {"name": "lib", "tasks": tasks, **repository}
    return {"systems": {name: {"show": show}}, "repositories": [item]}


@pytest.mark.parametrize(
    ("right", "level"),
    [
        ((0.55, 0.7, 0.9), "eager"),
        ((0.35, 0.53, 0.79), "balanced"),
        ((0.2, 0.4, 0.6), "quiet"),
        ((0.1, 0.2, 0.3), "quiet"),
        ((0.1, 0.2, None), "balanced"),  # quiet shows nothing at all
    ],
)
def test_recommended_is_what_shows_most_and_is_right_half_of_the_time(
    right: tuple[float | None, ...], level: str
) -> None:
    [said] = advise(report(*right)).splitlines()
    assert said.startswith(f'Recommended: show = "{level}" (')
    assert "save you up to 16.3% of the characters" in said
    assert ("no setting is right half of the time" in said) is (max(filter(None, right)) < 0.5)


def test_nothing_shown_or_no_engine_recommends_nothing() -> None:
    for given in (report(None, None, None), report(0.5, 0.5, 0.5, name="longest match")):
        assert advise(given).startswith("Nothing here speaks for or against")


def test_few_cursors_are_said_to_be_few() -> None:
    assert "without --quick" in advise(report(0.4, 0.6, 0.8, tasks=80))
    assert "without --quick" not in advise(report(0.4, 0.6, 0.8, tasks=400))


@pytest.mark.parametrize(
    ("code_bytes", "history", "said"),
    [
        (10_000, 900, "Tuning: not yet."),
        (900_000, 49, "Tuning: not yet."),
        (900_000, 500, "Tuning: perhaps."),
        (9_000_000, 500, "Tuning: try it."),
    ],
)
def test_tuning_is_for_much_code(code_bytes: int, history: int, said: str) -> None:
    shown = advise(report(0.4, 0.6, 0.8, code_bytes=code_bytes, history=history))
    assert said in shown
