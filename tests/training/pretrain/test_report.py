"""The page of a run: what its log says, and nothing that it does not."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from tests.training.pretrain.test_schedule import LONG, SHORT, recipe
from training.errors import TrainingError
from training.pretrain.plan import GPT2_FLOPS
from training.pretrain.report import format_report, main, read_log, write_report
from training.pretrain.schedule import make_plan


def step(number: int, **more: Any) -> dict[str, Any]:
    return {
        "step": number,
        "tokens": 1_024 * number,
        "seconds": 2.0 * number,
        "loss": 8.0 / number,
        "grad_norm": 1.0,
        "tokens_per_s": 512.0,
        "gflops": 1.0,
        **more,
    }


def run_folder(folder: Path, *lines: dict[str, Any]) -> Path:
    made = recipe(SHORT, LONG)
    table = {
        "recipe": dataclasses.asdict(made),
        "plan": dataclasses.asdict(make_plan(made)),
        "threads": 2,
    }
    (folder / "recipe.json").write_text(json.dumps(table, default=str), encoding="utf-8")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_page_tells_tokens_operations_time_and_cost(tmp_path: Path) -> None:
    log = read_log(run_folder(tmp_path, *(step(n) for n in range(1, 1801))))
    assert (log.threads, log.seconds) == (2, 3600.0)
    assert log.flops == pytest.approx(3600e9)
    page, picture = format_report(log, price=0.5)
    assert picture.startswith(b"\x89PNG")
    assert "$0.50 at 0.5 dollars an hour" in page
    equal = 0.5 * GPT2_FLOPS / 3600e9
    assert f"a GPT-2&#x27;s operations would cost ${equal:,.0f}" in page
    assert ">Loss</text>" in page
    assert "bits a byte" not in page  # nothing was held out


def test_speed_is_held_against_the_machines_products(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, step(1), step(2))
    assert "of large products" not in format_report(read_log(folder), price=0)[0]
    table = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(table | {"peak_gflops": 4.0}))
    page = format_report(read_log(folder), price=0)[0]
    assert "1 GFLOPS, the median step; 25% of the 4 of large products" in page


def test_samples_show_how_it_learnt_and_are_text(tmp_path: Path) -> None:
    lines = [step(n, bits_per_byte=3 / n, sample=["if <b>", f"try {n}:\n"]) for n in range(1, 21)]
    page, _ = format_report(read_log(run_folder(tmp_path, *lines)), price=0)
    assert page.count("if &lt;b&gt;|try") == 5
    assert "|try 1:" in page
    assert "|try 20:" in page
    assert "bits a byte" in page
    assert "operations would cost" not in page


def test_steps_that_a_run_went_back_over_are_no_part_of_it(tmp_path: Path) -> None:
    ill = [step(1), step(2), step(3, loss=99.0), {"went_back_to_step": 1}, step(2, loss=4.0)]
    log = read_log(run_folder(tmp_path, *ill))
    assert [line["loss"] for line in log.steps] == [8.0, 4.0]


def test_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """Past failure (2026-11-30): no page could be made, so nothing was exported any more."""
    run = run_folder(tmp_path, step(1))
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "tok\n' + json.dumps(step(3)) + '\n{"st')
    assert [line["step"] for line in read_log(run).steps] == [1, 3]


def test_steps_of_a_killed_session_are_no_part_of_the_next(tmp_path: Path) -> None:
    """Past failure (2026-11-30): the page of a run at step 2 said that it was at step 4."""
    killed = [step(n) for n in range(1, 5)]
    log = read_log(run_folder(tmp_path, *killed, step(2, loss=4.0)))
    assert [(line["step"], line["loss"]) for line in log.steps] == [(1, 8.0), (2, 4.0)]


def test_command_writes_the_page_beside_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path, step(1))
    assert main([str(tmp_path), "--price", "1"]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.png").is_file()


def test_page_without_matplotlib_has_no_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = write_report(run_folder(tmp_path, step(1)))
    assert "matplotlib is not installed" in page.read_text("utf-8")
    assert not (tmp_path / "report.png").exists()


def test_curves_are_drawn_alike_whatever_a_users_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = read_log(run_folder(tmp_path, step(1), step(2)))
    plain = format_report(log, price=0)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setitem(matplotlib.rcParams, "axes.grid.axis", "x")
    assert format_report(log, price=0) == plain


@pytest.mark.parametrize("log", ["", "{", '{"step": 1}\n'])
def test_folder_without_a_run_is_a_mistake(tmp_path: Path, log: str) -> None:
    run_folder(tmp_path)
    (tmp_path / "log.jsonl").write_text(log, encoding="utf-8")
    with pytest.raises(TrainingError):
        write_report(tmp_path)
