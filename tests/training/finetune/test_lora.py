"""Adapters: nothing at first, all that learns, and plain weights again when merged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.gpt import GPT
from tests.doubles import random_tensors, tiny_config
from tests.training.pretrain.test_trainer import RepeatingRows, small_recipe
from training.finetune.run import adapt, adapted_weights, plain_weights
from training.pretrain.schedule import Stage
from training.pretrain.trainer import Trainer

RANK = 4
IDS = torch.tensor([[1, 2, 3, 4, 5]])


SHAPES: list[dict[str, Any]] = [  # Qwen3, Qwen2, Llama
    {},
    {"qk_norm": False, "qkv_bias": True},
    {"qk_norm": False, "tie_embeddings": False},
]


def plain(seed: int = 0, **shape: Any) -> tuple[GPT, dict[str, Tensor]]:
    config = tiny_config(**shape)
    weights = {
        name: torch.from_numpy(array) for name, array in random_tensors(config, seed).items()
    }
    network = GPT(config)
    network.load_state_dict(weights)
    return network, weights


def adapted(weights: dict[str, Tensor], **shape: Any) -> GPT:
    network = GPT(tiny_config(**shape))
    adapt(network, RANK)
    network.load_state_dict(adapted_weights(network, weights))
    return network


@pytest.mark.parametrize("shape", SHAPES)
def test_adapters_change_nothing_at_first(shape: dict[str, Any]) -> None:
    network, weights = plain(**shape)
    assert torch.equal(adapted(weights, **shape)(IDS), network(IDS))


def test_only_adapters_learn() -> None:
    network = adapted(plain()[1])
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert learning
    assert {name.rpartition(".")[2] for name in learning} == {"a", "b"}
    layer = "model.layers.0.mlp.gate_proj"
    assert {f"{layer}.a", f"{layer}.b"} <= learning


@pytest.mark.parametrize("shape", SHAPES)
def test_merged_weights_are_the_same_network(shape: dict[str, Any]) -> None:
    network = adapted(plain(**shape)[1], **shape)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(".b"):
                parameter.normal_(std=0.1)
    merged, _ = plain(seed=1, **shape)
    merged.load_state_dict(plain_weights(network))
    torch.testing.assert_close(merged(IDS), network(IDS), rtol=1e-4, atol=1e-4)


def test_plain_network_keeps_its_weights() -> None:
    network, weights = plain()
    found = plain_weights(network)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def small_trainer() -> Trainer:
    return Trainer(small_recipe(), open_rows, adapt=lambda network: adapt(network, RANK))


def open_rows(stage: Stage) -> RepeatingRows:
    return RepeatingRows(stage.block_size)


def test_trainer_moves_adapters_alone(tmp_path: Path) -> None:
    run = small_trainer()
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    losses = [run.step() for _ in range(8)]
    after = run.network.state_dict()
    moved = {
        name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])
    }
    assert moved == {"a", "b"}
    assert losses[-1] < losses[0]


def test_adapted_run_goes_on_to_the_same_last_bit(tmp_path: Path) -> None:
    whole, first, second = small_trainer(), small_trainer(), small_trainer()
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    first.save(tmp_path)
    assert second.resume(tmp_path)
    for _ in range(2):
        second.step()
    left, right = whole.network.state_dict(), second.network.state_dict()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
