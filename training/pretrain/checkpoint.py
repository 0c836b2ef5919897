"""Train state on disk: everything a run needs to go on, on a CPU to the last bit. No pickle.

A checkpoint is a folder `step-000123` with two safetensors files and `state.json`. It is written
under another name and renamed, so a folder with the right name is complete; kill -9 leaves the one
before. Of a sharded network each process writes its share, and the first makes of them the same two
files: any number of processes, sharded or not, goes on from them.
"""

import dataclasses
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.publish import LEFTOVERS, delete, publish_folder
from training.errors import TrainingError
from training.pretrain.distributed import Group
from training.pretrain.optim import AVERAGE

_CHECKPOINTS = "checkpoints"
_NAME = re.compile(r"step-\d+")
_SHARES = ".shares"  # below the checkpoints, while one is written
# A loss is too high this far above its running mean (deviations, and at least so many nats), and
# after warm-up so far above that of guessing; so many steps of it in a row are a divergence.
HIGH_DEVIATIONS, HIGH_NATS = 6.0, 1.0
HIGH_STEPS = 8
LOSS_MEMORY = 0.9
KEEP = 2  # newest checkpoints kept: one more than needed, in case the newest cannot be read


@dataclasses.dataclass(kw_only=True, slots=True)
class RunProgress:
    """How far a run is."""

    step: int = 0  # optimizer steps done
    tokens: int = 0
    seconds: float = 0.0  # wall-clock spent training, all sessions together
    cpu_seconds: float = 0.0
    recipe_hash: str = ""
    parent: str = ""  # content hash of the model folder whose weights it began with
    teacher: str = ""  # content hash of the model folder that teaches it
    tokenizer: str = ""  # SHA-256 of the file that its ids are of
    plan: dict[str, Any] = dataclasses.field(default_factory=dict)  # a Schedule's table
    # Chosen when the run began, so that it goes on alike.
    dtype: str = ""  # of activations
    compiled: bool = False
    threads: int = 0
    rows: dict[str, int] = dataclasses.field(default_factory=dict)  # next one to read, by shards
    n_skipped: int = 0  # steps without an update, their loss or gradient being no number
    n_skipped_in_row: int = 0
    n_rollback: int = 0
    loss_mean: float = 0.0  # running, of the stage's losses that are not too high; 0: none yet
    loss_deviation: float = 0.0
    n_high_in_row: int = 0  # steps whose loss was too high

    @property
    def is_healthy(self) -> bool:
        """Say whether the last step was a good one."""
        return self.n_skipped_in_row == 0 and self.n_high_in_row == 0

    def watch_loss(self, loss: float, guess: float, *, is_new_stage: bool) -> None:
        """Take a step's loss into the running mean, or count it as too high.

        `guess` is the loss of guessing, which must have been left behind; inf: not yet. The mean
        begins anew with a stage, whose rows are others.
        """
        if is_new_stage:
            self.loss_mean = self.loss_deviation = 0.0
        mean = self.loss_mean or loss
        room = max(HIGH_NATS, HIGH_DEVIATIONS * self.loss_deviation)
        if loss > mean + room or loss > guess + HIGH_NATS:
            self.n_high_in_row += 1
            return
        self.n_high_in_row = 0
        self.loss_mean = mean + (1 - LOSS_MEMORY) * (loss - mean)
        self.loss_deviation += (1 - LOSS_MEMORY) * (abs(loss - mean) - self.loss_deviation)


class Checkpoint(NamedTuple):
    """What `save` wrote and `load_newest` read."""

    folder: Path
    progress: RunProgress
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def save(
    run: Path,
    progress: RunProgress,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    *,
    shares: Group | None = None,
) -> Path:
    """Write a checkpoint below `run`, delete all but the newest two, return its folder.

    With `shares` all processes of a group call it, each with its own of the tensors.
    """
    parent = run / _CHECKPOINTS
    final = parent / f"step-{progress.step:06d}"
    if shares is None or shares.is_first:
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(parent):  # of a killed run; one process deletes and publishes
            delete(leftover)
    parts = {"weights": weights, "optimizer": optimizer}
    if shares is not None:
        shares.wait()
        for name, tensors in parts.items():
            _join_shares(parent / _SHARES / name, tensors)
    if shares is None or shares.is_first:
        with publish_folder(final, mode=0o777) as aside:
            for name, tensors in parts.items():
                file = aside / f"{name}.safetensors"
                if shares is not None:
                    next((parent / _SHARES / name).glob("*.safetensors")).rename(file)
                else:
                    _write(file, tensors)
            text = json.dumps(dataclasses.asdict(progress), indent=1)
            (aside / "state.json").write_text(text, encoding="utf-8")
        for old in (*_folders(run)[:-KEEP], *parent.glob(_SHARES)):
            shutil.rmtree(old, ignore_errors=True)  # on Windows, what was resumed from is in use
    if shares is not None:
        shares.wait()
    return final


def _write(file: Path, tensors: Mapping[str, Tensor]) -> None:
    try:
        save_file({key: each.contiguous() for key, each in tensors.items()}, file)
    except SafetensorError as error:  # of a full disk, where others raise OSError
        raise TrainingError(
            f"cannot write a checkpoint below {file.parent.parent}: {error}; the same command goes "
            "on from the one before"
        ) from error


def _join_shares(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write each process's tensors below `folder`, then one safetensors file of all in it."""
    from torch.distributed.checkpoint import state_dict_saver  # seconds: only where it is used
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True, enable_consolidation=True)
    state_dict_saver.save(dict(tensors), storage_writer=writer)


def load_shares(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill this process's share of the tensors from a checkpoint's; all of a group call it."""
    from torch.distributed.checkpoint import state_dict_loader
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    state_dict_loader.load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)))


def load_newest(
    run: Path, *, accept: Callable[[RunProgress], bool] = lambda progress: True
) -> Checkpoint | None:
    """Return the newest readable checkpoint below `run` that is accepted, None if there is none.

    A damaged newest one is passed over for the one before; TrainingError when none can be read.
    """
    problems = []
    for folder in reversed(_folders(run)):
        try:
            table = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            progress = RunProgress(**table)
            if not accept(progress):
                continue
            return Checkpoint(
                folder,
                progress,
                load_file(folder / "weights.safetensors"),
                load_file(folder / "optimizer.safetensors"),
            )
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            problems.append(f"{folder.name}: {error}")
    if problems:
        raise TrainingError(
            f"no checkpoint in {run} can be read ({'; '.join(problems)}); use another --run folder"
        )
    return None


def load_run(run: Path, *, average: bool = False) -> Checkpoint:
    """Return the newest checkpoint of `run`, or it with the averaged weights for its own.

    Raises TrainingError when there is no checkpoint, or no average in it.
    """
    checkpoint = load_newest(run)
    if checkpoint is None:
        raise TrainingError(f"{run} holds no checkpoint: train first")
    if not average:
        return checkpoint
    weights = {
        name.removeprefix(AVERAGE): tensor
        for name, tensor in checkpoint.optimizer.items()
        if name.startswith(AVERAGE)
    }
    if not weights:
        raise TrainingError(f"{run} keeps no average: train with train.average_tokens")
    return checkpoint._replace(weights=weights)


def discard_after(run: Path, step: int) -> None:
    """Delete checkpoints of later steps: a run that went back would otherwise resume from them."""
    for folder in _folders(run):
        if _step_of(folder) > step:
            shutil.rmtree(folder)


def _leftovers(parent: Path) -> Iterator[Path]:
    return itertools.chain.from_iterable(map(parent.glob, (*LEFTOVERS, _SHARES)))


def _folders(run: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first; what else stands there is not ours."""
    found = filter(_NAME.fullmatch, (path.name for path in (run / _CHECKPOINTS).glob("step-*")))
    return sorted((run / _CHECKPOINTS / name for name in found), key=_step_of)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
