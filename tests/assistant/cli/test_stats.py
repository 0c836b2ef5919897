"""`foretype stats`: what it says of the counts, and that it can be undone."""

import datetime
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from assistant.cli.purge import main as purge
from assistant.cli.stats import main
from assistant.counts import Statistics, statistics_path
from assistant.settings import settings_path

TODAY = datetime.date.today()
COUNTS = {
    "shown": 40, "whole": 8, "part": 2, "typed": 5, "saved": 90, "keys": 910, "looked_30": 10,
    "kept_30": 9, "within_4_ms": 60, "within_64_ms": 30, "within_512_ms": 10,
}  # fmt: skip


def count(language: str, days_ago: int = 0, **counts: int) -> None:
    statistics = Statistics(today=lambda: TODAY - datetime.timedelta(days_ago))
    for name, n in counts.items():
        statistics.add(language, name, n)
    statistics.save()


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_plain_sentence_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    count("python", **COUNTS)
    text = said(capsys)
    assert text.startswith(
        "In the last 30 days 40 suggestions were shown. You took 10 of them (25%), 2 of these in "
        "part, and typed 5 through. That saved 90 keys, 9% of what you wrote. What you took still "
        "stood unchanged: 90% after 30 seconds. Half of the answers came within 4 ms, 95% within "
        "512 ms."
    )


def test_the_gates_step_is_said_unless_statistics_are_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    count("python", shown=900, ended=900, claimed=900 * 70, typed=900)
    count("go", shown=900, ended=900, claimed=900 * 70)
    text = said(capsys)
    assert "So a text in go must be 5.0 points surer than usual." in text
    assert "in python must be 5.0 points less sure" in text
    assert json.loads(said(capsys, "--json"))["steps"] == {"go": 0.05, "python": -0.05}
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    settings_path().write_text("statistics = false\n")
    assert "points" not in said(capsys)


def test_charts_fit_a_narrow_window(capsys: pytest.CaptureFixture[str]) -> None:
    count("python", **COUNTS)
    count("typescript", 3, shown=120, whole=60)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{TODAY}     40     10     90  ##------" in lines
    assert "typescript    120     60      0  " + "#" * 12 + "-" * 12 in lines
    charts = lines[lines.index("") :]
    assert max(map(len, charts)) <= 58
    assert [line.split()[0] for line in charts[-2:]] == ["typescript", "python"]


def test_nothing_counted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--days", "1").startswith("Today nothing was shown")
    count("python", 5, shown=3)
    assert said(capsys, "--days", "5").startswith("In the last 5 days nothing was shown")
    assert "3 suggestions" in said(capsys, "--days", "6")


def test_json_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    count("python", **COUNTS)
    table = json.loads(said(capsys, "--json"))
    assert table["all"] == table["by_day"][TODAY.isoformat()] == table["by_language"]["python"]
    assert table["all"]["share_taken"] == 0.25
    assert table["all"]["kept_5_min"] is None


def test_the_page_needs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count("python", **COUNTS)
    page = tmp_path / "page.html"
    said(capsys, "--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert "You took 10 of them (25%)" in text
    assert "://" not in text
    for svg in text.split("<svg")[1:]:
        root = ET.fromstring("<svg" + svg.partition("</svg>")[0] + "</svg>")
        assert [rect.get("width") for rect in root.iter("rect")] == ["260.0", "65.0"]


def test_reset_and_purge_remove_it(capsys: pytest.CaptureFixture[str]) -> None:
    count("python", shown=1)
    assert main(["--reset"]) == 1  # nobody agreed
    assert statistics_path().exists()
    said(capsys, "--reset", "--yes")
    assert not statistics_path().exists()
    count("python", shown=1)
    assert purge(["--yes"]) == 0
    assert "(statistics)" in capsys.readouterr().out
    assert not statistics_path().exists()


@pytest.mark.parametrize("days", ["0", "400"])
def test_days_have_a_range(days: str) -> None:
    assert main(["--days", days]) == 2
