"""Optimizer updates against float64 references, and the schedules at their corners."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from training.pretrain.optim import (
    AdamW,
    Average,
    Muon,
    orthogonalise,
    split_parameters,
)


def matrix(rows: int, cols: int, seed: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    parameter = nn.Parameter(torch.randn(rows, cols, generator=generator, dtype=torch.float64))
    parameter.grad = torch.randn(rows, cols, generator=generator, dtype=torch.float64)
    return parameter


POLAR = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


@pytest.mark.parametrize(("rows", "cols"), [(6, 4), (4, 6), (5, 5)])
def test_orthogonalise_brings_singular_values_near_one(rows: int, cols: int) -> None:
    update = orthogonalise(torch.randn(3, rows, cols, dtype=torch.float64))
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_polar_express_brings_small_singular_values_nearer_to_one() -> None:
    generator = torch.Generator().manual_seed(3)
    left, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
    values = torch.tensor([1.0, 0.6, 0.4, 0.2, 0.1, 0.05, 0.02, 0.01], dtype=torch.float64)
    matrix_ = (left * values) @ right
    error = {
        kind: (torch.linalg.svdvals(orthogonalise(matrix_[None], kind)[0]) - 1).abs().max()
        for kind in ("newton-schulz", "polar-express")
    }
    assert error["polar-express"] < 0.2
    assert error["polar-express"] < 0.6 * error["newton-schulz"]


@pytest.mark.parametrize("kind", ["newton-schulz", "polar-express"])
def test_bf16_products_give_nearly_the_same_update(kind: str) -> None:
    update = torch.randn(2, 64, 96, generator=torch.Generator().manual_seed(4))
    exact, rounded = orthogonalise(update, kind), orthogonalise(update, kind, torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).norm() < 0.03 * exact.norm()


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
    assert np.abs(muon.state["muon.w"].numpy() - 0.1 * grad).max() < 1e-15


def numpy_orthogonal(update: np.ndarray, coefficients: tuple, margin: float) -> np.ndarray:
    tall = update.shape[0] > update.shape[1]
    x = (update.T if tall else update) / (np.linalg.norm(update) * margin + 1e-7)
    for a, b, c in coefficients:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


@pytest.mark.parametrize("beta2", [0.0, 0.9, 0.95])
@pytest.mark.parametrize(("rows", "cols"), [(6, 4), (4, 6)])
@pytest.mark.parametrize("kind", ["newton-schulz", "polar-express"])
def test_muon_over_several_steps_equals_numpy(
    rows: int, cols: int, beta2: float, kind: str
) -> None:
    parameter = matrix(rows, cols, seed=1)
    weight = parameter.detach().numpy().copy()
    muon = Muon({"w": parameter}, orthogonaliser=kind, beta2=beta2)
    coefficients = POLAR if kind == "polar-express" else ((3.4445, -4.7750, 2.0315),) * 5
    axis = 1 if rows > cols else 0
    mean, square = np.zeros((rows, cols)), 0.0
    for step in range(4):
        parameter.grad = matrix(rows, cols, seed=10 + step).grad
        grad, momentum = parameter.grad.numpy(), 0.8 + 0.05 * step
        muon.step(lr=0.1, momentum=momentum, weight_decay=0.2)
        mean = momentum * mean + (1 - momentum) * grad
        nesterov = (1 - momentum) * grad + momentum * mean
        update = numpy_orthogonal(nesterov, coefficients, 1.02 if kind == "polar-express" else 1.0)
        if beta2:
            square = beta2 * square + (1 - beta2) * (update**2).mean(axis, keepdims=True)
            scaled = update / np.sqrt(square)
            update = scaled * np.linalg.norm(update) / np.linalg.norm(scaled)
        weight = weight - 0.1 * 0.2 * weight * (update * weight > 0)
        weight = weight - 0.1 * math.sqrt(max(1.0, rows / cols)) * update
    assert np.abs(parameter.detach().numpy() - weight).max() < 1e-11


def test_normuon_gives_each_neuron_the_same_size_in_time() -> None:
    parameter = matrix(32, 4, seed=6)
    muon = Muon({"w": parameter}, beta2=0.9)
    for seed in range(30):
        before = parameter.detach().clone()
        parameter.grad = matrix(32, 4, seed=seed).grad
        parameter.grad[:16] *= 0.05  # neurons with small gradients
        muon.step(lr=0.1, momentum=0.5, weight_decay=0.0)
    moved = (parameter.detach() - before).norm(dim=1)
    assert 0.5 < moved[:16].mean() / moved[16:].mean() < 2.0


def test_average_follows_the_weights_as_in_float64() -> None:
    parameter = matrix(3, 2, seed=7)
    average = Average({"w": parameter})
    expected = parameter.detach().numpy().copy()
    for seed in range(5):
        with torch.no_grad():
            parameter.copy_(matrix(3, 2, seed=seed))
        average.step(0.75)
        expected = 0.75 * expected + 0.25 * parameter.detach().numpy()
    assert np.abs(average.mean["w"].numpy() - expected).max() < 1e-12
    assert average.state["average.w"] is average.mean["w"]


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


def test_adam_equals_torch_over_several_steps() -> None:
    ours, theirs = matrix(3, 5, seed=4), matrix(3, 5, seed=4)
    adamw = AdamW({"w": ours}, betas=(0.8, 0.95), eps=1e-8)
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-8, weight_decay=0.0)
    for step in range(1, 6):
        ours.grad = theirs.grad = torch.randn(
            3, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64
        )
        adamw.step(step=step, lr={"w": 0.01})
        reference.step()
    assert (ours - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("beta2", [0.0, 0.9])
def test_state_restores_the_same_next_step(beta2: float) -> None:
    first, second = matrix(4, 3, 5), matrix(4, 3, 5)
    muon, other = Muon({"w": first}, beta2=beta2), Muon({"w": second}, beta2=beta2)
    muon.step(lr=0.1, momentum=0.9, weight_decay=0.0)
    with torch.no_grad():
        second.copy_(first)
    for name, tensor in other.state.items():
        tensor.copy_(muon.state[name])
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


def test_adamw_with_decay_is_torch_s() -> None:
    ours = {"w": matrix(4, 3, seed=1), "b": nn.Parameter(torch.ones(3, dtype=torch.float64))}
    theirs = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in ours.items()}
    groups = [
        {"params": [theirs["w"]], "weight_decay": 0.1},
        {"params": [theirs["b"]], "weight_decay": 0.0},
    ]
    expected = torch.optim.AdamW(groups, lr=0.02, betas=(0.9, 0.95), eps=1e-8)
    adamw = AdamW(ours, betas=(0.9, 0.95), eps=1e-8)
    for step in range(1, 5):
        for name, parameter in ours.items():
            parameter.grad = torch.sin(parameter.detach() * 3 + step)
            theirs[name].grad = parameter.grad.clone()
        adamw.step(step=step, lr=dict.fromkeys(ours, 0.02), weight_decay=0.1)
        expected.step()
    for name, parameter in ours.items():
        assert torch.allclose(parameter, theirs[name], atol=1e-12, rtol=0)
