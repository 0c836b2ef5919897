"""How long a tuning takes here: a step and a prompt are timed, the rest is arithmetic."""

from __future__ import annotations

import time

import torch

from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import GPT
from model.runtime import open_runtime
from training.pretrain.loss import cross_entropy

REST_SHARE = 0.25  # of training: packing, bits per byte, points of the way (docs/tune.md)
PROMPTS_PER_TASK = 4.0  # whole prompts' time that a cursor takes to refit and judge (docs/tune.md)


def describe_time(base: ModelFolder, *, n_tokens: int, n_tasks: int) -> str:
    """Say how many minutes it takes to train on tokens of rows, and to judge at cursors."""
    training = n_tokens * (1 + REST_SHARE) * _time_token(base) / 60
    judging = n_tasks * PROMPTS_PER_TASK * _time_prompt(base) / 60
    total = training + judging
    return (
        f"about {max(1, round(total))} minutes here (training {training:.1f}, judging"
        f" {judging:.1f}); longer if the machine does other work"
    )


def _time_token(base: ModelFolder) -> float:
    """Return the seconds that a token takes in a training step."""
    device, block_size = choose_device(), base.info.block_size
    network = GPT(base.config, dtype=device.dtype).to(device.device)
    ids = torch.randint(base.config.vocab_size, (2, block_size + 1), device=device.device)
    for _ in range(2):  # the first one loads and allocates
        started = time.perf_counter()
        hidden = network.hidden(ids[:, :-1])
        loss = cross_entropy(hidden, network.head_weight, ids[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        loss.item()
        seconds = time.perf_counter() - started
    return seconds / (2 * block_size)


def _time_prompt(base: ModelFolder) -> float:
    """Return the seconds that a prompt as long as can be takes to read."""
    n_tokens = base.info.block_size - 1
    runtime = open_runtime(base, max_len=base.info.block_size, threads=1)
    for _ in range(2):
        runtime.rewind(0)
        started = time.perf_counter()
        runtime.append([0] * n_tokens)
        seconds = time.perf_counter() - started
    return seconds
