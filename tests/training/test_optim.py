"""Optimizer updates against float64 references, and the schedules at their corners."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from training.optim import (
    AdamW,
    Muon,
    muon_momentum,
    orthogonalise,
    schedule,
    split_parameters,
)


def matrix(rows: int, cols: int, seed: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    parameter = nn.Parameter(torch.randn(rows, cols, generator=generator, dtype=torch.float64))
    parameter.grad = torch.randn(rows, cols, generator=generator, dtype=torch.float64)
    return parameter


@pytest.mark.parametrize(("rows", "cols"), [(6, 4), (4, 6), (5, 5)])
def test_orthogonalise_brings_singular_values_near_one(rows: int, cols: int) -> None:
    update = orthogonalise(torch.randn(3, rows, cols, dtype=torch.float64))
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_orthogonalise_keeps_singular_vectors() -> None:
    matrix_ = torch.randn(1, 4, 6, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix_[0], full_matrices=False)
    core = left.T @ orthogonalise(matrix_)[0] @ right.T
    assert torch.allclose(core, torch.diag(torch.diag(core)), atol=1e-9)


def test_muon_step_equals_the_formula_in_numpy() -> None:
    parameter = matrix(6, 4, seed=1)
    before, grad = parameter.detach().numpy().copy(), parameter.grad.numpy().copy()
    muon = Muon({"w": parameter})
    muon.step(lr=0.1, momentum=0.9, weight_decay=0.0)
    nesterov = 0.1 * grad + 0.9 * (0.1 * grad)
    x = nesterov.T / (np.linalg.norm(nesterov) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    expected = before - 0.1 * math.sqrt(6 / 4) * x.T
    assert np.abs(parameter.detach().numpy() - expected).max() < 1e-12
    assert np.abs(muon.momentum["w"].numpy() - 0.1 * grad).max() < 1e-15


def test_muon_decays_only_where_the_update_agrees() -> None:
    plain, decayed = matrix(4, 4, seed=2), matrix(4, 4, seed=2)
    before = plain.detach().clone()
    Muon({"w": plain}).step(lr=0.1, momentum=0.9, weight_decay=0.0)
    Muon({"w": decayed}).step(lr=0.1, momentum=0.9, weight_decay=0.5)
    agrees = (before - plain.detach()) * before > 0  # the update pulls the weight towards zero
    moved = plain.detach() - decayed.detach()
    assert torch.allclose(moved[agrees], 0.05 * before[agrees])
    assert moved[~agrees].abs().max() == 0


def test_muon_of_a_stack_equals_each_alone() -> None:
    together = {"a": matrix(4, 3, 1), "b": matrix(4, 3, 2), "c": matrix(3, 4, 3)}
    alone = {"a": matrix(4, 3, 1), "b": matrix(4, 3, 2), "c": matrix(3, 4, 3)}
    Muon(together).step(lr=0.1, momentum=0.9, weight_decay=0.1)
    for name, parameter in alone.items():
        Muon({name: parameter}).step(lr=0.1, momentum=0.9, weight_decay=0.1)
        assert torch.allclose(parameter, together[name], atol=1e-12)


def test_adamw_equals_torch_over_several_steps() -> None:
    ours, theirs = matrix(3, 5, seed=4), matrix(3, 5, seed=4)
    adamw = AdamW({"w": ours}, betas=(0.8, 0.95), eps=1e-8)
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(1, 6):
        ours.grad = theirs.grad = torch.randn(
            3, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64
        )
        adamw.step(step=step, lr={"w": 0.01}, weight_decay=0.1)
        reference.step()
    assert (ours - theirs).abs().max() < 1e-12


def test_state_restores_the_same_next_step() -> None:
    first, second = matrix(4, 3, 5), matrix(4, 3, 5)
    muon, other = Muon({"w": first}), Muon({"w": second})
    muon.step(lr=0.1, momentum=0.9, weight_decay=0.0)
    with torch.no_grad():
        second.copy_(first)
    other.load({name: tensor.clone() for name, tensor in muon.state().items()})
    for each in (muon, other):
        each.step(lr=0.1, momentum=0.9, weight_decay=0.0)
    assert torch.equal(first, second)


def test_only_block_matrices_go_to_muon() -> None:
    names = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight"]
    named = [(name, nn.Parameter(torch.zeros(2, 2))) for name in names]
    named.append(("model.layers.0.input_layernorm.weight", nn.Parameter(torch.zeros(2))))
    matrices, rest = split_parameters(named)
    assert list(matrices) == ["model.layers.0.mlp.up_proj.weight"]
    assert len(rest) == 3


def test_schedule_warms_up_stays_and_goes_down() -> None:
    factors = [
        schedule(step, n_step=10, n_warmup=2, warmdown_share=0.5, floor=0.1) for step in range(10)
    ]
    expected = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.82, 0.64, 0.46, 0.28]
    assert factors == pytest.approx(expected)


def test_momentum_ramps_up_and_stays() -> None:
    assert [round(muon_momentum(step, n_ramp=10), 3) for step in (0, 5, 10, 99)] == [
        0.85,
        0.9,
        0.95,
        0.95,
    ]
