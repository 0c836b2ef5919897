"""How far to go: the best of later lines that keeps general code."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.folder import load_folder
from model.gpt import GPT
from model.tokenizer import Tokenizer
from tests.doubles import random_tensors, tiny_config, tiny_folder, tiny_tokenizer_json
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.candidates import (
    SHARES,
    Bits,
    WeightCandidate,
    between,
    choose,
    measure,
    scorer,
)

START = {"w": torch.zeros(2)}
TUNED = {"w": torch.ones(2)}


def points(*bits: tuple[float, float, float]) -> list[WeightCandidate]:
    return [
        WeightCandidate(share=share, bits=Bits(later=later, general=general))
        for share, later, general in bits
    ]


def test_weights_lie_on_the_line_between() -> None:
    assert between(START, TUNED, 0.7)["w"].tolist() == pytest.approx([0.7, 0.7])
    assert torch.equal(between(START, TUNED, 1.0)["w"], TUNED["w"])
    assert torch.equal(between(START, TUNED, 0.0)["w"], START["w"])


def test_base_and_all_points_are_measured() -> None:
    def score(weights: Mapping[str, Tensor]) -> Bits:
        return Bits(later=1 - float(weights["w"][0]), general=1.0)

    told: list[tuple[str, int, int]] = []
    found = measure(START, TUNED, score, lambda *step: told.append(step))
    assert told[0][1:] == (1, len(found))
    assert told[-1][1:] == (len(found), len(found))
    assert [candidate.share for candidate in found] == [0.0, *SHARES]
    assert found[0].bits.later == 1.0


def test_best_of_those_that_keep_general_code_is_taken() -> None:
    found = points((0.0, 1.0, 1.0), (1.0, 0.7, 1.1), (0.7, 0.8, 1.01), (0.5, 0.9, 1.0))
    assert choose(found, 1.02).share == 0.7


def test_without_one_the_least_forgetful_is_taken() -> None:
    found = points((0.0, 1.0, 1.0), (1.0, 0.7, 1.3), (0.5, 0.9, 1.2))
    assert choose(found, 1.02).share == 0.5


def test_base_itself_is_never_chosen() -> None:
    found = points((0.0, 0.5, 1.0), (1.0, 0.7, 1.0))
    assert choose(found, 1.02).share == 1.0


def test_scorer_measures_given_weights(tmp_path: Path) -> None:
    folder = load_folder(tiny_folder(tmp_path))
    weights = {name: torch.from_numpy(array) for name, array in folder.tensors().items()}
    text = "def area(width):\n    return width * 2\n"
    passage = Passage(group="c", path="a.py", text=text, spans=((0, len(text)),))
    score = scorer(folder, [passage], [passage])
    bits = score(weights)
    assert bits.later == bits.general > 0
    assert score({name: tensor * 0.5 for name, tensor in weights.items()}) != bits


def test_network_in_bf16_is_measured_too() -> None:
    config, tokenizer = tiny_config(), Tokenizer.from_table(json.loads(tiny_tokenizer_json()))
    weights = {name: torch.from_numpy(array) for name, array in random_tensors(config).items()}
    text = "def area(width):\n    return width * 2\n"
    passage = Passage(group="c", path="a.py", text=text, spans=((0, len(text)),))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network = GPT(config, dtype=dtype)
        network.load_state_dict(weights)
        found.append(bits_per_byte([measure_cost(network_scorer(network, tokenizer, 64), passage)]))
    assert found[1] == pytest.approx(found[0], rel=0.05)
