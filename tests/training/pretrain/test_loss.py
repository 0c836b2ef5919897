"""The chunked cross-entropy against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from training.pretrain.loss import IGNORE, Teaching, cross_entropy


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_loss_and_gradients_equal_torch(chunk: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    weight = torch.randn(11, 8, requires_grad=True)
    targets = torch.randint(0, 11, (2, 5))
    targets[0, 1] = IGNORE
    ours = cross_entropy(hidden, weight, targets, chunk=chunk) * 0.5
    ours.backward()
    grads = hidden.grad.clone(), weight.grad.clone()
    hidden.grad = weight.grad = None
    logits = (hidden @ weight.T).reshape(-1, 11)
    theirs = F.cross_entropy(logits, targets.reshape(-1), ignore_index=IGNORE) * 0.5
    theirs.backward()
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.allclose(grads[0], hidden.grad, atol=1e-6)
    assert torch.allclose(grads[1], weight.grad, atol=1e-6)


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="torch before 2.13")
def test_loss_equals_that_of_torchs_linear_cross_entropy() -> None:
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(9, 8), torch.randn(11, 8), torch.randint(0, 11, (9,))
    theirs = F.linear_cross_entropy(hidden, weight, targets)
    assert torch.allclose(cross_entropy(hidden, weight, targets, chunk=4), theirs, atol=1e-6)


@pytest.mark.parametrize("chunk", [3, 64])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_taught_gradient_is_that_of_both_answers_mixed(chunk: int, share: float) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    weight = torch.randn(11, 8, requires_grad=True)
    targets = torch.randint(0, 11, (2, 5))
    targets[0, 1] = IGNORE
    teaching = Teaching(torch.randn(2, 5, 6), torch.randn(11, 6), share)
    ours = cross_entropy(hidden, weight, targets, chunk=chunk, teaching=teaching)
    grads = torch.autograd.grad(ours, (hidden, weight))
    kept = (targets != IGNORE).flatten()
    logits = (hidden @ weight.T).reshape(-1, 11)[kept]
    right = F.one_hot(targets.flatten()[kept], 11)
    taught = (teaching.hidden @ teaching.weight.T).softmax(-1).reshape(-1, 11)[kept]
    mixed = F.cross_entropy(logits, (1 - share) * right + share * taught)
    expected = torch.autograd.grad(mixed, (hidden, weight))
    assert torch.allclose(grads[0], expected[0], atol=1e-6)
    assert torch.allclose(grads[1], expected[1], atol=1e-6)
    assert torch.allclose(ours, cross_entropy(hidden, weight, targets))  # of the ids alone


def test_loss_of_ignored_targets_only_is_zero() -> None:
    hidden = torch.randn(3, 4, requires_grad=True)
    loss = cross_entropy(hidden, torch.randn(5, 4), torch.full((3,), IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad.abs().max() == 0


def test_bf16_activations_give_a_close_loss() -> None:
    torch.manual_seed(1)
    hidden, weight = torch.randn(64, 32), torch.randn(50, 32) * 0.2
    targets = torch.randint(0, 50, (64,))
    exact = cross_entropy(hidden, weight, targets)
    rounded = cross_entropy(hidden.bfloat16(), weight, targets)
    assert abs(exact - rounded) < 0.02


def test_bf16_gradients_lose_little_even_where_the_network_is_sure() -> None:
    torch.manual_seed(2)
    hidden, weight = torch.randn(2_048, 32).bfloat16(), torch.randn(200, 32).bfloat16()
    targets = (hidden @ weight.T).argmax(-1)
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        head = weight.float().requires_grad_()
        if dtype == torch.bfloat16:
            cross_entropy(hidden, head, targets, chunk=64).backward()
        else:
            head = weight.double().requires_grad_()
            F.cross_entropy(hidden.double() @ head.T, targets).backward()
        gradients.append(head.grad.double())
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[1].norm()
