"""Bits per byte: how many bits the network needs for a byte of code it never saw. Tokenizer-free.

Knows a network as a function from ids to logits, so that the trained GPT and a serving runtime are
measured by the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from model import fim
from model.gpt import GPT
from model.tokenizer import Tokenizer

AllLogits = Callable[[list[int]], NDArray[np.float32]]  # ids (T,) -> logits (T, V)


def gpt_logits(network: GPT) -> AllLogits:
    """Wrap a GPT for `bits_per_byte`."""

    def logits(ids: list[int]) -> NDArray[np.float32]:
        device = network.head_weight.device
        with torch.inference_mode():
            out = network(torch.tensor([ids], device=device))[0].float().cpu().numpy()
        return np.asarray(out, dtype=np.float32)

    return logits


def bits_per_byte(
    logits_of: AllLogits,
    tokenizer: Tokenizer,
    documents: Iterable[tuple[str, str]],
    *,
    block_size: int,
) -> float:
    """Return bits per UTF-8 byte over (path, text) documents, read left to right.

    Windows of `block_size` tokens overlap by half, and each token is scored once, so every token
    but a file's first ones has at least half a window before it. The file header is context, not
    scored.
    """
    nats, n_bytes = 0.0, 0
    for path, text in documents:
        header = fim.header(tokenizer, path)
        body = tokenizer.encode(text)
        ids = header + body
        n_bytes += len(tokenizer.decode_bytes(body))
        scored = len(header)  # tokens before this index have been scored or are context
        while scored < len(ids):
            start = max(0, min(scored - block_size // 2, len(ids) - block_size))
            window = ids[start : start + block_size]
            nats -= _sum_logprob(logits_of(window[:-1]), window[1:], first=scored - start - 1)
            scored = start + len(window)
    if n_bytes == 0:
        raise ValueError("bits per byte of no text at all")
    return nats / math.log(2) / n_bytes


def _sum_logprob(logits: NDArray[np.float32], targets: list[int], *, first: int) -> float:
    """Sum log P(targets[i]) for i >= first; logits (T, V)."""
    rows = logits[first:].astype(np.float64)
    wanted = np.array(targets[first:])
    peak = rows.max(-1, keepdims=True)
    log_sum = peak[:, 0] + np.log(np.exp(rows - peak).sum(-1))
    return float((rows[np.arange(len(wanted)), wanted] - log_sum).sum())
