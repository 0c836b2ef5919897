"""How far to go: the best of later lines that keeps general code."""

import json
from pathlib import Path

import pytest
import torch

from model.folder import load_folder
from model.gpt import GPT
from model.tokenizer import Tokenizer
from tests.doubles import random_tensors, tiny_config, tiny_folder, tiny_tokenizer_json
from training.evaluation.bits_per_byte import (
    bits_per_byte,
    measure_cost,
    network_scorer,
    whole_file,
)
from training.finetune.run import (
    SHARES,
    InterpolationPoint,
    base_weights,
    choose_point,
    interpolate,
    measure_points,
)

BASE = {"w": torch.zeros(2)}
TUNED = {"w": torch.ones(2)}
PASSAGE = whole_file("a.py", "def area(width):\n    return width * 2\n")


def points(*figures: tuple[float, float, float]) -> list[InterpolationPoint]:
    return [
        InterpolationPoint(share=share, later=later, general=general)
        for share, later, general in figures
    ]


def test_weights_lie_on_the_line_between() -> None:
    assert interpolate(BASE, TUNED, 0.7)["w"].tolist() == pytest.approx([0.7, 0.7])
    assert torch.equal(interpolate(BASE, TUNED, 1.0)["w"], TUNED["w"])
    assert torch.equal(interpolate(BASE, TUNED, 0.0)["w"], BASE["w"])


def test_base_and_all_points_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = load_folder(tiny_folder(tmp_path))
    tuned = {name: tensor * 0.5 for name, tensor in base_weights(folder).items()}
    found = measure_points(folder, tuned, [PASSAGE], [PASSAGE])
    assert [point.share for point in found] == [0.0, *SHARES]
    assert all(point.later == point.general > 0 for point in found)
    assert len({point.later for point in found}) == len(found)
    assert "points of the way 5/5" in capsys.readouterr().err


def test_best_of_those_that_keep_general_code_is_taken() -> None:
    found = points((0.0, 1.0, 1.0), (1.0, 0.7, 1.1), (0.7, 0.8, 1.01), (0.5, 0.9, 1.0))
    assert choose_point(found).share == 0.7


def test_without_one_the_least_forgetful_is_taken() -> None:
    found = points((0.0, 1.0, 1.0), (1.0, 0.7, 1.3), (0.5, 0.9, 1.2))
    assert choose_point(found).share == 0.5


def test_base_itself_is_never_chosen() -> None:
    assert choose_point(points((0.0, 0.5, 1.0), (1.0, 0.7, 1.0))).share == 1.0


def test_network_in_bf16_is_measured_too() -> None:
    config, tokenizer = tiny_config(), Tokenizer.from_table(json.loads(tiny_tokenizer_json()))
    weights = {name: torch.from_numpy(array) for name, array in random_tensors(config).items()}
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network = GPT(config, dtype=dtype)
        network.load_state_dict(weights)
        cost = measure_cost(network_scorer(network, tokenizer, 64), PASSAGE)
        found.append(bits_per_byte([cost]))
    assert found[1] == pytest.approx(found[0], rel=0.05)
