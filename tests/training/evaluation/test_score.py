"""The report of a model folder on held-out repositories, and the table made of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.doubles import tiny_folder
from training.evaluation.score import evaluate, main, table

CODE = "def area(width, height):\n    total = width * height\n    return total\n\n\n"
PLAN = {"tasks": 3, "loss_bytes": 300, "seed": 1}
INTERVAL = {"mean": 0.5, "low": 0.25, "high": 0.75}


def held_out(path: Path) -> Path:
    path.mkdir()
    for name in "ab":
        (path / f"{name}.py").write_text(CODE * 8)
    return path


def test_report_of_a_small_model(tmp_path: Path) -> None:
    repositories = [held_out(tmp_path / name) for name in ("first", "second")]
    (tmp_path / "prose").mkdir()
    report = evaluate(tiny_folder(tmp_path), [*repositories, tmp_path / "prose"], **PLAN)
    assert report["model"] == "tiny"
    assert report["plan"] == PLAN
    assert report["repositories"] == ["first", "second"]  # the one without code is left out
    for kind in ("int8", "fp32"):
        losses = report["bits_per_byte"][kind]
        assert losses.keys() == {"mean", "first", "second"}
        assert losses["mean"] == pytest.approx((losses["first"] + losses["second"]) / 2)
        assert 0 < losses["mean"] < 20
    systems = report["rest_of_line"]
    assert systems.keys() == {
        "network, healed", "network, snippets", "engine",
    }  # fmt: skip
    gain = (
        systems["network, snippets"]["exact"]["mean"] - systems["network, healed"]["exact"]["mean"]
    )
    assert report["gain_of_snippets"]["mean"] == pytest.approx(gain)
    assert "gain of snippets, paired: " in table(report)
    for row in systems.values():
        assert row["tasks"] == 6
        assert 0 <= row["exact"]["low"] <= row["exact"]["mean"] <= row["exact"]["high"] <= 1
    assert table(report).startswith("tiny on first, second\n")


def test_a_model_held_against_itself_gains_nothing(tmp_path: Path) -> None:
    model, repository = tiny_folder(tmp_path), held_out(tmp_path / "first")
    found = evaluate(model, [repository], against=model, **PLAN)
    other = found["against"]
    assert other["bits_per_byte"] == found["bits_per_byte"]
    for name in ("network, healed", "engine"):
        assert other["rest_of_line"][name]["exact"] == found["rest_of_line"][name]["exact"]
        assert other["gain"][name] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    shown = table(found)
    assert "against tiny at the same cursors, paired:\n  network, healed: 0.0% [0.0, 0.0]" in shown


def test_repositories_without_code_are_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_folder(tmp_path)
    (tmp_path / "prose").mkdir()
    assert main([str(tmp_path / "prose"), "--model", str(model)]) == 1
    assert capsys.readouterr() == (
        "",
        "foretype train score: the repositories hold no file to ask about in: python\n",
    )


def report(**engine: Any) -> dict[str, Any]:
    row = {
        "tasks": 10, "exact": INTERVAL, "exact_mid_token": 0.6, "exact_at_border": None,
        "shown": 0.8, "precision": 0.9, "p50_ms": 1.25, "p95_ms": 10.0,
    }  # fmt: skip
    return {
        "model": "nano",
        "repositories": ["o/n"],
        "bits_per_byte": {"fp32": {"mean": 0.87654}},
        "rest_of_line": {"network, healed": row, "engine": row | engine},
    }


def test_table_shows_what_was_measured() -> None:
    lines = table(report()).splitlines()
    assert lines[:3] == ["nano on o/n", "", "bits/byte fp32: 0.8765"]
    shown = ["50.0%", "[25.0,", "75.0]", "60.0%", "-", "1.2", "10.0"]
    assert lines[5].split() == ["network,", "healed", *shown]
    assert lines[6].split() == ["engine", *shown]
    assert lines[7] == "engine: shown 80.0%, of which right 90.0%"


def test_table_of_an_engine_that_shows_nothing() -> None:
    assert "engine: shown 0.0%, of which right -" in table(report(shown=0.0, precision=None))
