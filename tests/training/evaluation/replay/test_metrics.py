"""Figures against hand-computed values."""

import pytest

from tests.training.evaluation.replay.scripted_systems import answer, judged, stratum
from training.evaluation.intervals import Figure
from training.evaluation.replay import report
from training.evaluation.replay.run import Asked, Line


def asked(*outcomes: tuple[str, str, float], repository: str = "r") -> list[Asked]:
    """One cursor for each (text, truth, probability), each of a commit of its own."""
    return [
        Asked(stratum=stratum(repository, str(i)), judged={"s": judged(text, truth, probability)})
        for i, (text, truth, probability) in enumerate(outcomes)
    ]


MIXED = [
    ("abc", "abc", 0.9),  # exact
    ("ab", "abc", 0.8),  # right
    ("xyz", "abc", 0.8),  # wrong
    ("", "abc", 0.0),  # nothing
]


def mean_of(value: Figure | None) -> float:
    assert value is not None
    return value["mean"]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("exact", 0.25), ("right", 0.5), ("offered", 0.75)],
)
def test_means_are_over_all_cursors(metric: str, expected: float) -> None:
    assert mean_of(report.mean(asked(*MIXED), "s", metric)) == pytest.approx(expected)


def test_repositories_count_alike_whatever_their_size() -> None:
    items = asked(("abc", "abc", 0.5), repository="small")
    items += asked(*[("x", "abc", 0.5)] * 9, repository="large")
    assert mean_of(report.mean(items, "s", "exact")) == pytest.approx(0.5)


def test_precision_is_over_what_is_shown() -> None:
    items = asked(*MIXED)
    assert mean_of(report.mean(items, "s", "right", 0.0)) == pytest.approx(2 / 3)
    assert mean_of(report.mean(items, "s", "exact", 0.85)) == 1.0
    assert report.mean(items, "s", "exact", 0.95) is None


def test_difference_is_taken_cursor_by_cursor() -> None:
    items = [
        Asked(
            stratum=stratum(commit=str(i)),
            judged={"left": judged(left, "abc"), "right": judged(right, "abc")},
        )
        for i, (left, right) in enumerate([("abc", "x"), ("abc", "abc"), ("x", "x"), ("x", "abc")])
    ]
    assert report.compare(items, [], "left", "right")["exact"]["mean"] == 0.0
    always_better = items[:1] * 3
    found = report.compare(always_better, [], "left", "right")
    assert found["exact"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert found.keys() == {"exact", "right"}  # no line was typed


def test_threshold_for_half_of_the_cursors() -> None:
    found = [item.judged["s"] for item in asked(*MIXED)]
    assert report.threshold_for(found) == 0.8
    assert report.threshold_for(found, 0.25) == 0.9
    assert report.threshold_for(found, 1.0) is None  # so much is not offered


def line(text: str, told: list[str], repository: str = "r") -> Line:
    return Line(
        stratum=stratum(repository), text=text, answers={"s": [answer(item) for item in told]}
    )


def test_saved_characters_are_a_mean_over_lines() -> None:
    lines = [line("abcd", ["abcd", "", "", ""]), line("abcd", ["", "xx", "", ""])]
    assert mean_of(report.share_saved(lines, "s")) == pytest.approx((3 / 4 + 0) / 2)
    assert report.wrong_per_100_chars(lines, "s") == pytest.approx(100 / 8)
    assert report.share_saved([], "s") is None
    assert report.wrong_per_100_chars([], "s") is None


def test_difference_of_savings_is_taken_line_by_line() -> None:
    both = Line(
        stratum=stratum(),
        text="abcd",
        answers={"left": [answer("abcd")] * 4, "right": [answer("")] * 4},
    )
    assert report.compare([], [both], "left", "right") == {
        "saved": {"mean": 0.75, "low": 0.75, "high": 0.75}
    }
