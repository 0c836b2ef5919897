"""Parameters of ranker and gate: numbers as they were fitted, and strict about the file."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from assistant.errors import ModelError
from assistant.rank.beginnings import GATE_FEATURES
from assistant.rank.features import INDEX_FEATURES, NETWORK_FEATURES
from assistant.rank.ranker import LEVELS, OperatingPoint, bundled, parse, threshold
from tests.fitted import parameters, table


def rows(**columns: list[float]) -> np.ndarray:
    n = len(next(iter(columns.values())))
    values = np.zeros((n, len(INDEX_FEATURES)), np.float32)
    for name, numbers in columns.items():
        values[:, INDEX_FEATURES.index(name)] = numbers
    return values


def test_beliefs_follow_the_scores_and_leave_room_for_none() -> None:
    fitted = parameters(ranker={"longest": 1.0}).index
    shares = fitted.probabilities(rows(longest=[1.0, 3.0, 2.0]))
    weights = np.exp([1.0, 3.0, 2.0])
    assert shares == pytest.approx(weights / (weights.sum() + 1), rel=1e-3)
    assert fitted.probabilities(rows(longest=[])).shape == (0,)


def test_what_lies_outside_of_the_fitted_range_counts_as_its_edge() -> None:
    fitted = parameters(ranker={"longest": 1.0}).index
    far, edge = fitted.probabilities(rows(longest=[1e6, 5.0]))
    assert far == pytest.approx(edge)


def test_belief_is_a_logistic_function_of_the_gate() -> None:
    fitted = parameters(gate={"agreeing_logit": 1.0}, gate_bias=0.5).index
    row = np.zeros((1, len(GATE_FEATURES)), np.float32)
    row[0, GATE_FEATURES.index("agreeing_logit")] = 2.0
    assert fitted.believe(row) == pytest.approx(1 / (1 + np.exp(-2.5)), rel=1e-3)


def test_language_corrects_what_is_believed() -> None:
    fitted = parameters(languages={"go": [2.0, 1.0], "other": [1.0, -1.0]}).index
    for language, score in (("go", 3.0), ("python", 0.0), ("", 0.0)):
        assert fitted.correct([1 / (1 + np.exp(-1.0))], language) == pytest.approx(
            1 / (1 + np.exp(-score))
        )
    none, all_ = fitted.correct([0.0, 1.0], "go")
    assert 0 < none < all_ < 1


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(format_version=3), "format_version is 3; this program reads 2"),
        (lambda t: t.pop("memory"), "it lacks 'memory'"),
        (lambda t: t["columns"]["gate"].pop(), "columns of kind gate are not this program's"),
        (lambda t: t["both"]["ranker"]["mean"].pop(), "mean has shape"),
        (lambda t: t["both"]["ranker"]["out"].append(1.0), "hidden has shape"),
        (lambda t: t["memory"]["gate"]["scale"].__setitem__(0, 0.0), "scale must be above 0"),
        (lambda t: t["memory"]["gate"]["out"].__setitem__(0, float("nan")), "no finite number"),
        (lambda t: t["memory"]["gate"].update(out_bias=float("inf")), "no finite number"),
        (lambda t: t["memory"]["gate"].update(hidden="x"), "could not convert"),
        (lambda t: t["both"]["points"].pop("quiet"), "it lacks 'quiet'"),
        (lambda t: t["both"]["points"]["quiet"].update(threshold=1.5), "is not in 0..1"),
        (lambda t: t.update(memory=3), "not subscriptable"),
        (lambda t: t["both"]["languages"].pop("other"), "it lacks 'other'"),
        (lambda t: t["both"]["languages"].update(go=[0.0, 1.0]), "or not above 0"),
        (lambda t: t["both"]["languages"].update(go=[1.0, float("nan")]), "no finite numbers"),
    ],
)
def test_wrong_table_is_refused_with_the_reason(change: Change, message: str) -> None:
    wrong = copy.deepcopy(table())
    change(wrong)
    with pytest.raises(ModelError, match=message) as caught:
        parse(wrong)
    assert "fit it again with: foretype train fit" in str(caught.value)


def test_bundled_parameters_are_usable_and_their_points_in_order() -> None:
    found = bundled()
    assert found is not None
    assert found.both is not None
    for fitted in (found.index, found.both):
        thresholds = [fitted.points[level].threshold for level in LEVELS]
        assert thresholds == sorted(thresholds, reverse=True)
        assert fitted.points["balanced"].hidden <= 0.12  # what `train fit` allows
        assert fitted.points["quiet"].precision >= 0.75
    zeros = np.zeros((3, len(INDEX_FEATURES + NETWORK_FEATURES)), np.float32)
    assert 0 < found.both.probabilities(zeros).sum() < 1


POINTS = {
    name: OperatingPoint(threshold=value, precision=0.5, coverage=0.5, hidden=0.5)
    for name, value in zip(LEVELS, (0.7, 0.4, 0.1), strict=True)
}


@pytest.mark.parametrize(("show", "expected"), [("eager", 0.1), ("balanced", 0.4), ("quiet", 0.7)])
def test_setting_picks_a_point(show: str, expected: float) -> None:
    assert threshold(show, POINTS) == expected


@pytest.mark.parametrize(("step", "expected"), [(0.05, 0.45), (-0.05, 0.35), (-0.4, 0.4)])
def test_a_step_moves_it_but_not_out_of_what_a_probability_can_be(
    step: float, expected: float
) -> None:
    assert threshold("balanced", POINTS, step=step) == pytest.approx(expected)
    assert threshold("balanced", POINTS, step=step, n=3) == 0.0
    assert threshold("off", POINTS, step=step) > 1


def test_off_is_never_reached() -> None:
    assert threshold("off", POINTS) > 1


def test_who_asks_by_hand_is_shown_what_there_is() -> None:
    assert threshold("balanced", POINTS, n=3) == 0.0
    assert threshold("quiet", None) == 0.0
