"""How sure a next edit is, fitted on commits."""

import json
from pathlib import Path

import numpy as np
import pytest

from assistant.edits.next_edit import BIAS
from assistant.edits.proposals import Proposal
from tests.repositories import commit_files, new_repository
from training.calibration.next_edit import LEVELS, choose_threshold, fit_logistic, main
from training.evaluation.next_edit import Offer


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    text = "".join(f"x = read(name)\ny{i} = {i}\nz{i} = {i}\n" for i in range(6))
    path = new_repository(tmp_path / "own", {"b.py": text})
    return commit_files(path, {"b.py": text.replace("read(name)", "read(name, True)")})


def test_fit_writes_what_serving_reads(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "confidence.json"
    assert main([str(repository), "--hold-out", str(repository), "--out", str(out)]) == 0
    assert "held-out files" in capsys.readouterr().out
    table = json.loads(out.read_text(encoding="utf-8"))
    assert table["thresholds"].keys() == {*LEVELS, "asked"}
    assert BIAS in table["weights"]["same line"]


NOTHING = Proposal(row=0, old=("",), new=("x",), kind="tokens", features={})


def test_lowest_threshold_that_keeps_the_share_is_chosen() -> None:
    offers = [
        Offer(proposal=NOTHING, probability=p, is_right=right)
        for p, right in ((0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.5, False))
    ]
    assert choose_threshold(offers, 0.75) == 0.6
    assert choose_threshold(offers, 1.0) == 0.8


def test_what_is_always_the_same_says_nothing() -> None:
    matrix = np.array([[x, 0.1] for x in range(9)])
    labels = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1.0])
    bias, slopes = fit_logistic(matrix, labels, np.ones(9))
    assert abs(bias) < 10
    assert abs(slopes[1]) < 1e-6


def test_logistic_regression_finds_the_slope_of_what_it_is_shown() -> None:
    dice = np.random.default_rng(0)
    rows = dice.standard_normal((4_000, 2))
    truth = 1 / (1 + np.exp(-(0.5 + 2.0 * rows[:, 0])))
    labels = (dice.random(4_000) < truth).astype(float)
    bias, slopes = fit_logistic(rows, labels, np.ones(4_000))
    assert bias == pytest.approx(0.5, abs=0.15)
    assert slopes == pytest.approx([2.0, 0.0], abs=0.2)
