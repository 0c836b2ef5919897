"""Train state -> model folder, through `model.folder`: everything that serving needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from model.config import ModelConfig
from model.folder import FolderInfo, save_folder
from training.pretrain.checkpoint import Checkpoint, StateError, load_newest
from training.pretrain.optim import AVERAGE
from training.pretrain.recipe import FolderTable


def newest(run: Path, *, average: bool = False) -> Checkpoint:
    """Return the newest checkpoint of `run`, or it with the averaged weights for its own.

    Raises StateError when there is no checkpoint, or no average in it.
    """
    checkpoint = load_newest(run)
    if checkpoint is None:
        raise StateError(f"{run} holds no checkpoint: train first")
    if not average:
        return checkpoint
    weights = {
        name.removeprefix(AVERAGE): tensor
        for name, tensor in checkpoint.optimizer.items()
        if name.startswith(AVERAGE)
    }
    if not weights:
        raise StateError(f"{run} keeps no average: train with train.average_tokens")
    return dataclasses.replace(checkpoint, weights=weights)


def export(
    checkpoint: Checkpoint,
    out: Path,
    *,
    config: ModelConfig,
    table: FolderTable,
    tokenizer: Path,
    card: str,
) -> None:
    """Write a checkpoint as the model folder `out`; ModelFolderError when the parts do not fit."""
    tensors = {
        name: tensor.float().numpy().astype(np.float32)
        for name, tensor in checkpoint.weights.items()
    }
    info = FolderInfo(
        name=table.name,
        block_size=config.block_size,
        suffix_tokens=table.suffix_tokens,
        snippet_tokens=table.snippet_tokens,
        languages=table.languages,
        licence=table.licence,
        parent=checkpoint.progress.parent,
    )
    save_folder(
        out,
        config=config,
        tensors=tensors,
        tokenizer_json=tokenizer.read_text(encoding="utf-8"),
        info=info,
        card=card,
    )
