"""Train state -> model folder, through `model.folder`: everything that serving needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from model.config import ModelConfig
from model.folder import FolderInfo, save_folder
from training import state
from training.config import FolderTable


def export(
    run: Path,
    out: Path,
    *,
    config: ModelConfig,
    table: FolderTable,
    tokenizer: Path,
    card: Callable[[state.Progress], str],
) -> None:
    """Write the newest checkpoint of `run` as the model folder `out`.

    The card is made from the run's progress. Raises StateError when there is no checkpoint,
    ModelFolderError when the parts do not fit.
    """
    checkpoint = state.load_newest(run)
    if checkpoint is None:
        raise state.StateError(f"{run} holds no checkpoint: train first")
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
    )
    save_folder(
        out,
        config=config,
        tensors=tensors,
        tokenizer_json=tokenizer.read_text(encoding="utf-8"),
        info=info,
        card=card(checkpoint.progress),
    )
