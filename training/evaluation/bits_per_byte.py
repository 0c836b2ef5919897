"""Bits per byte: how many bits a network needs for a byte of code it never saw. Tokenizer-free.

A file is read from left to right with its header always in sight. The whole text is counted, or
some bytes of it; what stands before them is context. A token of which some bytes are counted counts
by their share. The same code measures a network in training and a model folder as it is served.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import fim
from model.folder import ModelFolder
from model.foreign import GgufModel
from model.gpt import GPT
from model.runtime import open_runtime
from model.tokenizer import Tokenizer
from training.data.rows import shown_path

_PIECE_TOKENS = 128  # of which a runtime's logits are held at once
_BATCH_TOKENS = 16_384  # of a network of torch at once
_HEAD_NUMBERS = 1 << 24  # logits that are held at once

#: ids, and positions in them, 1 or more
Window = tuple[Sequence[int], Sequence[int]]
#: windows -> log P(ids[position] | ids before it), for each position of one after another
Logprobs = Callable[[Sequence[Window]], NDArray[np.float64]]


class Scorer(NamedTuple):
    """A network behind one call, with the tokenizer it was trained with."""

    logprobs: Logprobs
    tokenizer: Tokenizer
    block_size: int


class Passage(NamedTuple):
    """A file's text and the bytes of it that are counted."""

    group: str  # what a bootstrap draws: a commit, or the file itself
    path: str
    text: str  # as far as the last counted byte
    counted: Sequence[int]  # places of UTF-8 bytes, in order


class ByteCost(NamedTuple):
    """What the counted bytes of one passage cost."""

    group: str
    bits: float
    n_bytes: int


def whole_file(path: str, text: str) -> Passage:
    """Return a passage of which every byte is counted."""
    return Passage(group=path, path=path, text=text, counted=range(len(text.encode())))


def network_scorer(network: GPT, tokenizer: Tokenizer, block_size: int) -> Scorer:
    """Measure a network of torch as it is now, wherever it is; its mode is left as it was."""

    def logprobs(windows: Sequence[Window]) -> NDArray[np.float64]:
        longest = max(len(ids) for ids, _ in windows)
        size = max(1, _BATCH_TOKENS // longest)
        with torch.inference_mode():
            batches = (windows[i : i + size] for i in range(0, len(windows), size))
            found = torch.cat([_network_logprobs(network, batch) for batch in batches])
        return found.cpu().double().numpy()

    return Scorer(logprobs=logprobs, tokenizer=tokenizer, block_size=block_size)


def folder_scorer(folder: ModelFolder | GgufModel, *, bits: int = 8) -> Scorer:
    """Measure a model folder in the runtime that serves it, with weights of so many bits."""
    block_size = folder.info.block_size
    runtime = open_runtime(folder, max_len=block_size, bits=bits)

    def logprobs(windows: Sequence[Window]) -> NDArray[np.float64]:
        found: list[float] = []
        for ids, positions in windows:
            runtime.rewind(0)
            for start in range(0, max(positions), _PIECE_TOKENS):
                end = min(start + _PIECE_TOKENS, max(positions))
                inside = [position for position in positions if start < position <= end]
                logits = runtime.append(ids[start:end], all_logits=bool(inside))
                if inside:
                    rows = torch.from_numpy(logits[np.array(inside) - 1 - start])
                    targets = torch.tensor([ids[position] for position in inside])
                    scores = rows.double().log_softmax(-1).gather(1, targets[:, None])
                    found += scores[:, 0].tolist()
        return np.array(found, np.float64)

    return Scorer(logprobs=logprobs, tokenizer=folder.tokenizer(), block_size=block_size)


def measure_cost(scorer: Scorer, passage: Passage) -> ByteCost:
    """Return what a passage's counted bytes cost.

    Each token is scored once, with half a window before it if the file has so much.
    """
    tokenizer = scorer.tokenizer
    header = [*tokenizer.start_ids, *fim.header(tokenizer, shown_path(tokenizer, passage.path))]
    header = header or [tokenizer.end_id]  # what the first token is foreseen by
    body = tokenizer.encode(passage.text)
    sizes = np.array([len(tokenizer.token_bytes(id_)) for id_ in body], np.int64)
    ends = np.cumsum(sizes)
    is_counted = np.zeros(1 + max(len(passage.text.encode()), sizes.sum()), np.int64)
    is_counted[np.array(passage.counted, np.int64) + 1] = 1
    before = np.cumsum(is_counted)  # counted bytes among the first i
    weights = (before[ends] - before[ends - sizes]) / np.maximum(sizes, 1)  # of each token
    windows, order = [], []
    for start, counted in _windows(weights, room=scorer.block_size - len(header)):
        positions = [len(header) + index - start for index in counted]
        windows.append((header + body[start : counted[-1] + 1], positions))
        order += counted
    nats = -float(scorer.logprobs(windows) @ weights[order]) if windows else 0.0
    return ByteCost(group=passage.group, bits=nats / math.log(2), n_bytes=len(passage.counted))


def bits_per_byte(costs: Iterable[ByteCost]) -> float:
    """Return the bits of all passages by their bytes; ValueError without a byte."""
    found = list(costs)
    n_bytes = sum(cost.n_bytes for cost in found)
    if n_bytes == 0:
        raise ValueError("bits per byte of no text at all")
    return sum(cost.bits for cost in found) / n_bytes


def _windows(weights: NDArray[np.float64], *, room: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (first token, counted tokens), each counted once with half a window before it."""
    if room < 2:
        raise ValueError("the file's name leaves no room for its text")
    counted = np.flatnonzero(weights)
    done = 0
    while done < len(counted):
        start = max(0, int(counted[done]) - room // 2)
        inside = counted[done:][counted[done:] < start + room]
        yield start, [int(index) for index in inside]
        done += len(inside)


def _network_logprobs(network: GPT, windows: Sequence[Window]) -> Tensor:
    """Return what `Logprobs` does, on the network's device and in fp32."""
    device, longest = network.head_weight.device, max(len(ids) for ids, _ in windows)
    padded = [[*ids, *[0] * (longest - len(ids))] for ids, _ in windows]  # seen by no token before
    places = [(row, at) for row, (_, positions) in enumerate(windows) for at in positions]
    ids, (rows, at) = torch.tensor(padded, device=device), torch.tensor(places, device=device).T
    states, wanted = network.hidden(ids)[rows, at - 1], ids[rows, at]  # (N, C), (N,)
    head = network.head_weight.to(states.dtype)  # bf16 where that is native
    n_rows = max(1, _HEAD_NUMBERS // len(head))
    found = [
        (part @ head.T).float().log_softmax(-1).gather(1, each[:, None])[:, 0]
        for part, each in zip(*(torch.split(t, n_rows) for t in (states, wanted)), strict=True)
    ]
    return torch.cat(found)
