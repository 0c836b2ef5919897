"""The report holds the figures, the table shows them, whatever its names."""

import json
import re
from typing import Any

import pytest

from tests.training.evaluation.replay.scripted_systems import (
    ScriptedSystem,
    answer,
    judged,
    stratum,
)
from training.evaluation.intervals import Figure
from training.evaluation.replay import report
from training.evaluation.replay.report import MIN_STRATUM, Report, assemble
from training.evaluation.replay.report_tables import WIDTH, advise, format_range, format_report
from training.evaluation.replay.run import INTERRUPTED, Asked, Line, Measured, Plan
from training.evaluation.replay.systems import SYSTEMS as SYSTEMS_OF_EVAL

SYSTEMS = [ScriptedSystem("good", lambda task: ""), ScriptedSystem("bad", lambda task: "")]


def measured(repository: str = "owner/lib", stopped: str = "") -> Measured:
    """Forty cursors: "good" is exact at half of them and knows which; "bad" never says a thing."""
    asked = [
        Asked(
            stratum=stratum(repository, f"c{i % 4}"),
            judged={
                "good": judged("abc" if i % 2 else "xyz", "abc", 0.9 if i % 2 else 0.2),
                "bad": judged("", "abc", 0.0),
            },
        )
        for i in range(40)
    ]
    told = {"good": [answer("abcd", 0.9)] * 4, "bad": [answer("", 0.0)] * 4}
    lines = [Line(stratum=stratum(repository, "c1"), text="abcd", answers=told)]
    return Measured(asked=asked, lines=lines, stopped=stopped)


def report_of(found: Measured) -> Report:
    plan, content_hash = Plan(n_tasks=40, n_lines=1), "0123456789abcdef"
    return assemble(found, SYSTEMS, plan, model="nano", content_hash=content_hash)


def test_figures_of_a_known_case() -> None:
    report = report_of(measured())
    good, bad = report["systems"]["good"], report["systems"]["bad"]
    assert good["exact"]["mean"] == 0.5
    assert good["offered"]["mean"] == 1.0
    assert good["precision"]["mean"] == 0.5
    assert good["saved"]["mean"] == 0.75
    assert good["when_half_is_shown"]["exact"]["mean"] == 1.0
    assert good["show"]["quiet"]["threshold"] == 0.6
    assert good["show"]["quiet"]["shown"]["mean"] == 0.5
    assert good["show"]["quiet"]["precision"]["mean"] == 1.0
    assert good["show"]["quiet"]["right_but_hidden"] == 0.0
    assert good["show"]["eager"]["shown"]["mean"] == 1.0
    assert good["calibration_error"] == pytest.approx(0.15)
    assert sum(its["n"] for its in good["reliability"]) == 40
    assert bad["reliability"] == []  # only what was offered counts
    assert bad["exact"]["mean"] == 0.0
    assert bad["precision"] is None
    assert bad["when_half_is_shown"] is None
    assert bad["show"]["quiet"]["right_but_hidden"] is None
    differences = {item["metric"]: item["mean"] for item in report["differences"]}
    assert differences["exact"] == 0.5
    assert differences["saved"] == 0.75
    assert report["repositories"] == [{"name": "owner/lib", "tasks": 40, "lines": 1, "commits": 4}]


def test_small_strata_are_counted_and_not_measured() -> None:
    found = measured()
    found.asked = [*found.asked, *measured("other").asked[: MIN_STRATUM - 1]]
    strata = report_of(found)["systems"]["good"]["strata"]["repository"]
    assert strata["other"] == {"tasks": MIN_STRATUM - 1}
    assert strata["owner/lib"]["exact"]["mean"] == 0.5
    by_language = report_of(measured())["systems"]["good"]["strata"]["language"]["python"]
    assert by_language["shown"]["mean"] == 0.5  # what is not sure enough by default is hidden
    assert by_language["shown_precision"]["mean"] == 1.0


def test_single_cursor_of_another_repository_weighs_as_one_of_its_kind() -> None:
    """Past failure (2026-11-30): one wrong cursor made the 88 others' 78% right 39%."""
    found = measured()
    wrong = next(item for item in found.asked if not item.judged["good"].is_exact)
    stratum = wrong.stratum._replace(repository="other", commit="c9")
    found.asked = [*found.asked, wrong._replace(stratum=stratum)]
    by_language = report_of(found)["systems"]["good"]["strata"]["language"]["python"]
    assert by_language["exact"]["mean"] == pytest.approx(20 / 41)


def test_report_is_json_and_holds_no_code() -> None:
    text = json.dumps(report_of(measured()))
    assert json.loads(text)["format"] == 4
    assert "abc" not in text.replace("0123456789abcdef", "")


def test_table_says_what_there_is() -> None:
    shown = format_report(report_of(measured()))
    assert "nano on owner/lib: 40 cursors in 4 later commits" in shown
    assert re.search(r"^  good +50\.0% \[", shown, re.MULTILINE)
    assert re.search(r"good vs bad +\+50\.0 \[", shown)
    assert re.search(r"good, surer half +50\.0% +100\.0%", shown)
    assert re.search(r"good, quiet +50\.0% +100\.0%", shown)
    assert "NOT COMPLETE" not in shown


def test_partial_report_is_marked() -> None:
    report = report_of(measured(stopped=INTERRUPTED))
    assert not report["is_complete"]
    assert "NOT COMPLETE: interrupted" in format_report(report)


def test_table_fits_a_narrow_window_whatever_its_names() -> None:
    found = measured("owner/a-repository-with-a-very-long-name-indeed" * 2)
    names = list(SYSTEMS_OF_EVAL)
    found.asked = [
        Asked(stratum=item.stratum, judged=dict.fromkeys(names, item.judged["good"]))
        for item in found.asked
    ]
    found.lines = [
        Line(stratum=line.stratum, text=line.text, answers=dict.fromkeys(names, told))
        for line in found.lines
        for told in line.answers.values()
    ]
    systems = [ScriptedSystem(name, lambda task: "") for name in names]
    plan = Plan(n_tasks=1, n_lines=1)
    text = format_report(assemble(found, systems, plan, model="nano", content_hash="0"))
    assert max(map(len, text.splitlines())) <= WIDTH
    for name in SYSTEMS_OF_EVAL:
        assert f"  {name} " in text


def test_one_commit_has_no_range() -> None:
    assert format_range(None) == "-"
    assert format_range({"mean": 0.5, "low": 0.5, "high": 0.5}) == "50.0%"
    assert format_range({"mean": 0.5, "low": 0.4, "high": 0.6}) == "50.0% [40, 60]"


def figure(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean, "high": mean}


def report_with(
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
    [said] = advise(report_with(*right)).splitlines()
    assert said.startswith(f'Recommended: show = "{level}" (')
    assert "save you up to 16.3% of the characters" in said
    assert ("no setting is right half of the time" in said) is (max(filter(None, right)) < 0.5)


def test_nothing_shown_or_no_engine_recommends_nothing() -> None:
    for given in (report_with(None, None, None), report_with(0.5, 0.5, 0.5, name="longest match")):
        assert advise(given).startswith("Nothing here speaks for or against")


def test_few_cursors_are_said_to_be_few() -> None:
    assert "without --quick" in advise(report_with(0.4, 0.6, 0.8, tasks=80))
    assert "without --quick" not in advise(report_with(0.4, 0.6, 0.8, tasks=400))


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
    shown = advise(report_with(0.4, 0.6, 0.8, code_bytes=code_bytes, history=history))
    assert said in shown


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
