"""The training itself: epoch after epoch until the later lines are foreseen no better.

Drives the trainer and its loop, which save and go on to the same last bit; here is only what an
epoch's end means. After each, bits per byte of the development commits' lines; the best epoch's
weights are kept. Knows no repository and no registry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.folder import ModelFolder
from training.data.shards import ShardReader
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.errors import TuneError
from training.finetune.lora import adapt, adapted_weights, plain_weights
from training.finetune.recipe import tune_recipe
from training.finetune.rows import epoch_folder
from training.finetune.state import TuneState
from training.pretrain import loop
from training.pretrain.trainer import Trainer

RUN, EPOCHS = "run", "epochs"  # names in the state folder
_RETURNS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(TuneError):
    """The user stopped the run; what was done is saved."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneJob:
    """What is trained: which weights, on which rows, held against which lines."""

    start: ModelFolder
    n_rows: tuple[int, ...]  # of each epoch
    passages: tuple[Passage, ...]  # of the development commits
    name: str
    seed: int
    lora_rank: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """The bits per byte before the first epoch and after each, and what it took."""

    bits: tuple[float, ...]
    tokens: int
    seconds: float
    cpu_seconds: float

    @property
    def best(self) -> int:
        """The epoch with the fewest bits, from 1."""
        return min(range(1, len(self.bits)), key=self.bits.__getitem__)

    @property
    def is_over(self) -> bool:
        """Say whether another epoch is not worth it: the last one was worse than one before."""
        return len(self.bits) > 2 and self.bits[-1] > min(self.bits[1:-1])


def train(state: TuneState, job: FinetuneJob, rows: Path) -> Trained:
    """Train to the end or until it gets worse; StoppedError after Ctrl-C or SIGTERM."""
    trainer = _trainer(job, rows)
    run = state.path(RUN)
    if not trainer.resume(run):
        weights = {name: torch.from_numpy(array) for name, array in job.start.tensors().items()}
        if job.lora_rank:
            weights = adapted_weights(trainer.network, weights)
        trainer.begin_with(weights, job.start.content_hash)
    trained = _recorded(state) or _record(state, trainer, (_bits(trainer, job),))
    _say(f"before: {trained.bits[0]:.4f} bits/byte of later lines")
    ends = itertools.accumulate(stage.n_step for stage in trainer.plan.stages)
    for epoch, end in enumerate(ends, 1):
        if epoch < len(trained.bits):
            continue
        if trained.is_over:
            _say("the last epoch was no better: stopping early")
            break
        with _signals_returned():
            loop.train(trainer, run, until=end)
        if trainer.progress.step < end:
            raise StoppedError(f"stopped and saved in epoch {epoch} of {len(job.n_rows)}")
        _save_weights(state, epoch, plain_weights(trainer.network))
        trained = _record(state, trainer, (*trained.bits, _bits(trainer, job)))
        _say(f"epoch {epoch} of {len(job.n_rows)}: {trained.bits[-1]:.4f} bits/byte of later lines")
    return trained


def epoch_weights(state: TuneState, epoch: int) -> dict[str, Tensor]:
    """Return the weights after an epoch, from 1."""
    return load_file(_weights_file(state, epoch))


def _trainer(job: FinetuneJob, rows: Path) -> Trainer:
    recipe = tune_recipe(
        job.start, job.n_rows, name=job.name, seed=job.seed, lora_rank=job.lora_rank
    )
    tokenizer = job.start.tokenizer()
    numbers = {epoch_folder(rows, epoch).name: epoch for epoch in range(len(job.n_rows))}
    return Trainer(
        recipe,
        lambda stage: ShardReader(epoch_folder(rows, numbers[stage.shards])),
        pad_id=tokenizer.special_id("<|fim_pad|>"),
        end_id=tokenizer.end_id,
        adapt=(lambda network: adapt(network, job.lora_rank)) if job.lora_rank else None,
    )


def _bits(trainer: Trainer, job: FinetuneJob) -> float:
    scorer = network_scorer(trainer.network, job.start.tokenizer(), job.start.info.block_size)
    return bits_per_byte(measure_cost(scorer, passage) for passage in job.passages)


def _record(state: TuneState, trainer: Trainer, bits: Sequence[float]) -> Trained:
    trained = Trained(
        bits=tuple(bits),
        tokens=trainer.progress.tokens,
        seconds=trainer.progress.seconds,
        cpu_seconds=trainer.progress.cpu_seconds,
    )
    state.write_table(EPOCHS, dataclasses.asdict(trained))
    return trained


def _recorded(state: TuneState) -> Trained | None:
    """Return what an earlier session recorded, as far as its weights are there."""
    table = state.table(EPOCHS)
    if table is None:
        return None
    n_whole = 1
    while n_whole < len(table["bits"]) and _weights_file(state, n_whole).is_file():
        n_whole += 1
    return Trained(**(table | {"bits": tuple(table["bits"][:n_whole])}))


def _save_weights(state: TuneState, epoch: int, weights: Mapping[str, Tensor]) -> None:
    final = _weights_file(state, epoch)
    aside = final.with_suffix(".part")
    save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, aside)
    aside.replace(final)


def _weights_file(state: TuneState, epoch: int) -> Path:
    return state.folder / f"epoch-{epoch}.safetensors"


@contextlib.contextmanager
def _signals_returned() -> Iterator[None]:
    """Give the signals that the loop takes back to whom they belonged."""
    before = {number: signal.getsignal(number) for number in _RETURNS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
