"""The training itself: epoch after epoch until the bits per byte of later lines grow.

Drives the trainer and its loop, which save and go on to the same last bit; here is only what an
epoch's end means. After each, bits per byte of the development commits' lines; the best epoch's
weights are kept. Knows no repository and no registry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from model.folder import ModelFolder
from training.data.shards import ShardReader
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.errors import TuneStoppedError
from training.finetune.interpolation import base_weights
from training.finetune.lora import adapt, adapted_weights, plain_weights
from training.finetune.recipe import tune_recipe
from training.finetune.state import TuneState, say
from training.pretrain import loop
from training.pretrain.trainer import Trainer

RUN, EPOCHS = "run", "epochs"  # names in the state folder
_RETURNS = (signal.SIGTERM, signal.SIGINT)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneJob:
    """What is trained: which weights, on which rows, measured on which lines."""

    base: ModelFolder
    rows: Path  # the folder of all epochs
    n_rows: tuple[int, ...]  # of each epoch
    passages: Sequence[Passage]  # of the development commits
    name: str
    seed: int
    lora_rank: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingLog:
    """The bits per byte before the first epoch and after each, and what it took."""

    bits: tuple[float, ...]
    tokens: int
    seconds: float
    cpu_seconds: float

    @property
    def best(self) -> int:
        """The epoch with the fewest bits, from 1."""
        return min(range(1, len(self.bits)), key=self.bits.__getitem__)


def train(state: TuneState, job: FinetuneJob) -> TrainingLog:
    """Train to the end or until it gets worse; TuneStoppedError after Ctrl-C or SIGTERM."""
    trainer = _trainer(job)
    run = state.folder / RUN
    if not trainer.resume(run):
        weights = base_weights(job.base)
        if job.lora_rank:
            weights = adapted_weights(trainer.network, weights)
        trainer.begin_with(weights, job.base.content_hash)
    if not (bits := _read_bits(state)):
        bits.append(_measure_bits(trainer, job))
        state.write_table(EPOCHS, {"bits": bits})
    say(f"before: {bits[0]:.4f} bits/byte of later lines")
    ends = itertools.accumulate(stage.n_step for stage in trainer.plan.stages)
    for epoch, end in enumerate(ends, 1):
        if epoch < len(bits):
            continue
        if is_over(bits):
            say("the last epoch was no better: stopping early")
            break
        with _restored_signals():
            loop.train(trainer, run, until=end)
        if trainer.progress.step < end:
            raise TuneStoppedError(f"stopped and saved in epoch {epoch} of {len(job.n_rows)}")
        _save_weights(state, epoch, plain_weights(trainer.network))
        bits.append(_measure_bits(trainer, job))
        state.write_table(EPOCHS, {"bits": bits})
        say(f"epoch {epoch} of {len(job.n_rows)}: {bits[-1]:.4f} bits/byte of later lines")
    done = trainer.progress
    return TrainingLog(
        bits=tuple(bits), tokens=done.tokens, seconds=done.seconds, cpu_seconds=done.cpu_seconds
    )


def is_over(bits: Sequence[float]) -> bool:
    """Say whether another epoch is not worth it: the last one was worse than one before."""
    return len(bits) > 2 and bits[-1] > min(bits[1:-1])


def epoch_weights(state: TuneState, epoch: int) -> dict[str, Tensor]:
    """Return the weights after an epoch, from 1."""
    return load_file(_weights_file(state, epoch))


def _trainer(job: FinetuneJob) -> Trainer:
    recipe = tune_recipe(
        job.base, job.n_rows, name=job.name, seed=job.seed, lora_rank=job.lora_rank
    )
    tokenizer = job.base.tokenizer()
    return Trainer(
        recipe,
        lambda stage: ShardReader(job.rows / stage.shards),
        pad_id=tokenizer.special_id("<|fim_pad|>"),
        end_id=tokenizer.end_id,
        adapt=(lambda network: adapt(network, job.lora_rank)) if job.lora_rank else None,
    )


def _measure_bits(trainer: Trainer, job: FinetuneJob) -> float:
    scorer = network_scorer(trainer.network, job.base.tokenizer(), job.base.info.block_size)
    return bits_per_byte(measure_cost(scorer, passage) for passage in job.passages)


def _read_bits(state: TuneState) -> list[float]:
    """Return what an earlier session recorded, as far as its weights are there."""
    bits: list[float] = (state.table(EPOCHS) or {"bits": []})["bits"]
    while len(bits) > 1 and not all(_weights_file(state, n).is_file() for n in range(1, len(bits))):
        bits.pop()
    return bits


def _save_weights(state: TuneState, epoch: int, weights: Mapping[str, Tensor]) -> None:
    final = _weights_file(state, epoch)
    aside = final.with_suffix(".part")
    save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, aside)
    aside.replace(final)


def _weights_file(state: TuneState, epoch: int) -> Path:
    return state.folder / f"epoch-{epoch}.safetensors"


@contextlib.contextmanager
def _restored_signals() -> Iterator[None]:
    """Give the signals that the loop takes back to whom they belonged."""
    before = {number: signal.getsignal(number) for number in _RETURNS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
