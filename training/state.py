"""Train state on disk: everything a run needs to go on to the same last bit. No pickle.

A checkpoint is a folder `step-000123` with two safetensors files and `state.json`. It is written
under another name and renamed, so a folder with the right name is complete; kill -9 leaves the one
before.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2  # newest checkpoints kept: one more than needed, in case the newest cannot be read


class StateError(ValueError):
    """A run folder cannot be resumed; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is."""

    step: int = 0  # optimizer steps done
    tokens: int = 0
    seconds: float = 0.0  # wall-clock spent training, all sessions together
    cpu_seconds: float = 0.0
    recipe_hash: str = ""
    n_step: int = 0  # planned in all


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """What `save` wrote and `load_newest` read."""

    progress: Progress
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def save(
    run: Path, progress: Progress, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]
) -> Path:
    """Write a checkpoint below `run`, delete all but the newest two, return its folder."""
    parent = run / "checkpoints"
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"step-{progress.step:06d}"
    aside = parent / f".tmp-{final.name}-{os.getpid()}"
    for leftover in parent.glob(".tmp-*"):  # of a killed run; one process writes a run folder
        shutil.rmtree(leftover)
    aside.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        aside / "weights.safetensors",
    )
    save_file(
        {name: tensor.contiguous() for name, tensor in optimizer.items()},
        aside / "optimizer.safetensors",
    )
    (aside / "state.json").write_text(
        json.dumps(dataclasses.asdict(progress), indent=1), encoding="utf-8"
    )
    for path in [*aside.iterdir(), aside]:
        _fsync(path)
    if final.exists():  # resumed from an older checkpoint and arrived here again
        shutil.rmtree(final)
    aside.rename(final)
    _fsync(parent)
    for old in sorted(parent.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    return final


def load_newest(run: Path) -> Checkpoint | None:
    """Return the newest readable checkpoint below `run`, None when there is none at all.

    A damaged newest one is passed over for the one before; StateError when none can be read.
    """
    folders = sorted((run / "checkpoints").glob("step-*"), reverse=True)
    problems = []
    for folder in folders:
        try:
            table = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            return Checkpoint(
                Progress(**table),
                load_file(folder / "weights.safetensors"),
                load_file(folder / "optimizer.safetensors"),
            )
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            problems.append(f"{folder.name}: {error}")
    if problems:
        raise StateError(
            f"no checkpoint in {run} can be read ({'; '.join(problems)}); use another --run folder"
        )
    return None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
