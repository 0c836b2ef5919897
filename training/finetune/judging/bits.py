"""Bits per byte of the lines that commits added: how well a network foresees them. Tokenizer-free.

Each file is read as its commit left it, from left to right, with its header always in sight; only
the bytes of lines that somebody typed are counted (see `training.evaluation.replay.tasks`), what
stands above them is context. A token that crosses the edge of such lines counts by its share of
bytes. The same code measures a network in training, a model folder as it is served, and general
code. Knows no memory and no prompt: what it sees is the network alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model import fim
from model.folder import load_folder
from model.gpt import GPT
from model.runtime import open_runtime
from model.tokenizer import Tokenizer
from training.finetune.judging.eval_spans import Passage, added_passages

MAX_BYTES = 60_000  # that are counted after an epoch
_PIECE_TOKENS = 128  # of which a runtime's logits are held at once

#: (ids, places) -> log P(ids[place] | ids before it), one for each place; a place is 1 or more
Logprobs = Callable[[Sequence[int], Sequence[int]], NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scorer:
    """A network behind one call, with the tokenizer it was trained with."""

    logprobs: Logprobs
    tokenizer: Tokenizer
    block_size: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What the counted bytes of one passage cost."""

    group: str  # what a bootstrap draws: the passage's commit, or its file
    bits: float
    n_bytes: int


def of_network(network: GPT, tokenizer: Tokenizer, block_size: int) -> Scorer:
    """Measure a network of torch as it is now, wherever it is; its mode is left as it was."""

    def logprobs(ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float64]:
        device = network.head_weight.device
        with torch.inference_mode():
            states = network.hidden(torch.tensor([list(ids)], device=device))[0]  # (T, C)
            wanted = torch.tensor(places, device=device)
            head = network.head_weight.to(states.dtype)  # bf16 where that is native
            logits = (states[wanted - 1] @ head.T).float().cpu().numpy()
        return _logprobs(logits, [ids[place] for place in places])

    return Scorer(logprobs=logprobs, tokenizer=tokenizer, block_size=block_size)


def of_folder(model: Path, *, threads: int = 1) -> Scorer:
    """Measure a model folder in the runtime and precision that serve it."""
    folder = load_folder(model)
    runtime = open_runtime(folder, max_len=folder.info.block_size, threads=threads)

    def logprobs(ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float64]:
        runtime.rewind(0)
        found = []
        for start in range(0, max(places), _PIECE_TOKENS):
            end = min(start + _PIECE_TOKENS, max(places))
            its = [place for place in places if start < place <= end]
            logits = runtime.append(ids[start:end], all_logits=bool(its))
            if its:
                rows = logits[np.array(its) - 1 - start]
                found.append(_logprobs(rows, [ids[place] for place in its]))
        return np.concatenate(found)

    return Scorer(
        logprobs=logprobs, tokenizer=folder.tokenizer(), block_size=folder.info.block_size
    )


def later_bits(
    model: Path | Scorer,
    repository: Path,
    revisions: str,
    *,
    max_bytes: int = MAX_BYTES,
    seed: int = 0,
) -> float:
    """Return bits/byte of the lines that a range of commits added, `max_bytes` of them at most.

    Who asks more than once draws the passages once: `bits_per_byte(counted(scorer, passages))`.
    """
    scorer = of_folder(model) if isinstance(model, Path) else model
    passages = added_passages(repository, revisions, max_bytes=max_bytes, seed=seed)
    return bits_per_byte(counted(scorer, passages))


def counted(scorer: Scorer, passages: Iterable[Passage]) -> list[Counted]:
    """Return what each passage's counted bytes cost, in the order given."""
    return [_counted(scorer, passage) for passage in passages]


def bits_per_byte(found: Sequence[Counted]) -> float:
    """Return the bits of all passages by their bytes; ValueError without a byte."""
    n_bytes = sum(each.n_bytes for each in found)
    if n_bytes == 0:
        raise ValueError("bits per byte of no text at all")
    return sum(each.bits for each in found) / n_bytes


def _counted(scorer: Scorer, passage: Passage) -> Counted:
    header = fim.header(scorer.tokenizer, passage.path)
    body = scorer.tokenizer.encode(passage.text)
    weights = _weights(scorer.tokenizer, body, passage.spans)
    nats = 0.0
    for start, places in _windows(weights, room=scorer.block_size - len(header)):
        ids = header + body[start : places[-1] + 1]
        at = [len(header) + place - start for place in places]
        nats -= float(scorer.logprobs(ids, at) @ weights[places])
    n_bytes = sum(end - start for start, end in passage.spans)
    return Counted(group=passage.group, bits=nats / math.log(2), n_bytes=n_bytes)


def _weights(
    tokenizer: Tokenizer, ids: Sequence[int], spans: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return for each token the share of its bytes that is counted."""
    sizes = np.array([len(tokenizer.token_bytes(id_)) for id_ in ids], np.int64)
    ends = np.cumsum(sizes)
    is_counted = np.zeros(int(ends[-1]) + 1 if len(ends) else 1, np.int64)
    for start, end in spans:
        is_counted[start + 1 : end + 1] = 1
    before = np.cumsum(is_counted)  # counted bytes among the first i
    shares: NDArray[np.float64] = (before[ends] - before[ends - sizes]) / np.maximum(sizes, 1)
    return shares


def _windows(weights: NDArray[np.float64], *, room: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (first token, counted tokens), each counted once with half a window before it."""
    if room < 2:
        raise ValueError("the file's name leaves no room for its text")
    places = np.flatnonzero(weights)
    done = 0
    while done < len(places):
        start = max(0, int(places[done]) - room // 2)
        its = places[done:][places[done:] < start + room]
        yield start, [int(place) for place in its]
        done += len(its)


def _logprobs(logits: NDArray[np.float32], targets: Sequence[int]) -> NDArray[np.float64]:
    """Return log P of one target a row; logits (N, V)."""
    rows = logits.astype(np.float64)
    rows -= rows.max(-1, keepdims=True)
    found: NDArray[np.float64] = rows[np.arange(len(rows)), list(targets)]
    found -= np.log(np.exp(rows).sum(-1))
    return found
