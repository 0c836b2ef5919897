"""The steps of a tuning, each done once: what it leaves in the state folder is found again.

After kill -9 a run goes on with the step that was under way; training goes on with its last
checkpoint. Knows the order of a step's parts, not their insides.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.folder import FolderInfo, ModelFolder, load_folder, save_folder
from training.data.progress import Progress
from training.data.shards import ShardReader
from training.evaluation.bits_per_byte import Passage
from training.finetune import candidates, gather, run
from training.finetune.candidates import Bits, WeightCandidate
from training.finetune.errors import TuneError
from training.finetune.gather import Gathered
from training.finetune.judging.eval_spans import MAX_BYTES, added_passages, general_passages
from training.finetune.plan import TunePlan, disk_bytes, lora_rank
from training.finetune.rows import epoch_folder, pack_settings, write_rows
from training.finetune.run import FinetuneJob, Trained
from training.finetune.state import TuneState

TEXTS, ROWS, CANDIDATE, REFITTED = "texts", "rows", "candidate", "refitted"
_BYTES_PER_TOKEN = 2.5  # from below, for the estimate of disk space


def require_space(folder: Path, plan: TunePlan, model: ModelFolder, n_bytes: int) -> None:
    """Raise TuneError unless the disk holds what a run will write."""
    wanted = disk_bytes(
        model.config,
        n_tokens=round(n_bytes / _BYTES_PER_TOKEN),
        n_epochs=plan.options.n_epochs,
    )
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise TuneError(
            f"{wanted / 1e9:.1f} GB are needed in {folder} and {free / 1e9:.1f} GB are free; "
            "make room, or set XDG_DATA_HOME to another disk"
        )


def texts_of(state: TuneState, plan: TunePlan, start: ModelFolder) -> Gathered:
    """Gather the texts, or find them again."""
    if (account := state.table(TEXTS)) is not None and state.path(TEXTS).is_dir():
        return gather.load(state.path(TEXTS), account)
    gathered = gather.gather(plan, start.tokenizer())
    require_space(state.folder, plan, start, gathered.account.n_bytes)
    with state.new_folder(TEXTS) as folder:
        gather.save(folder, gathered)
    state.write_table(TEXTS, dataclasses.asdict(gathered.account))
    return gathered


def rows_of(
    state: TuneState, plan: TunePlan, start: ModelFolder, gathered: Gathered
) -> tuple[int, ...]:
    """Pack the rows of all epochs, or find them again; return how many each has."""
    folder, n_epochs = state.path(ROWS), plan.options.n_epochs
    if not folder.is_dir():
        settings = pack_settings(start.info, seed=plan.options.seed)
        progress = Progress("epochs packed", n_epochs)
        with state.new_folder(ROWS) as part:
            write_rows(
                part,
                gathered.mixture,
                start.tokenizer(),
                settings,
                n_epochs=n_epochs,
                on_progress=progress.show,
            )
    return tuple(len(ShardReader(epoch_folder(folder, epoch))) for epoch in range(n_epochs))


def development_passages(plan: TunePlan) -> tuple[Passage, ...]:
    """Return the lines that choose: those that the development commits added."""
    return tuple(
        added_passages(
            Path(plan.root), plan.split.development, max_bytes=MAX_BYTES, seed=plan.options.seed
        )
    )


def require_judgeable(plan: TunePlan) -> None:
    """Raise ReplayError unless the judging commits add code: better known before than after."""
    added_passages(Path(plan.root), plan.split.judged, max_bytes=1, seed=plan.options.seed)


def train(
    state: TuneState,
    plan: TunePlan,
    start: ModelFolder,
    n_rows: tuple[int, ...],
    passages: tuple[Passage, ...],
) -> Trained:
    """Train, or go on."""
    job = FinetuneJob(
        start=start,
        n_rows=n_rows,
        passages=passages,
        name=plan.name,
        seed=plan.options.seed,
        lora_rank=lora_rank(plan.options, start.config),
    )
    return run.train(state, job, state.path(ROWS))


def candidate_of(
    state: TuneState,
    plan: TunePlan,
    trained: Trained,
    passages: tuple[Passage, ...],
    gathered: Gathered,
) -> dict[str, Any]:
    """Choose the weights and write them as a model folder, or find it again; return the scores."""
    table = state.table(CANDIDATE)
    if table is not None and state.path(CANDIDATE).is_dir():
        return table
    start, base = load_folder(Path(plan.start.path)), load_folder(Path(plan.base.path))
    general = general_passages(
        [(text.path, text.text) for text in gathered.held_out],
        max_bytes=MAX_BYTES,
        seed=plan.options.seed,
    )
    score = candidates.scorer(start, passages, general)
    tuned = run.epoch_weights(state, trained.best)
    measured = candidates.measure(_tensors(start), tuned, score)
    base_bits = measured[0].bits
    if plan.base != plan.start:
        base_bits = candidates.scorer(base, passages, general)(_tensors(base))
    limit = base_bits.general * (1 + candidates.MAX_GENERAL_LOSS)
    chosen = candidates.choose(measured, limit)
    _write_candidate(state, plan, start, candidates.between(_tensors(start), tuned, chosen.share))
    table = candidate_table(trained, measured, chosen, base_bits)
    state.write_table(CANDIDATE, table)
    return table


def candidate_table(
    trained: Trained,
    measured: tuple[WeightCandidate, ...],
    chosen: WeightCandidate,
    base_bits: Bits,
) -> dict[str, Any]:
    """Return what the choice was made by."""
    return {
        "epoch": trained.best,
        "share": chosen.share,
        "base": dataclasses.asdict(base_bits),
        "candidates": [dataclasses.asdict(candidate) for candidate in measured],
    }


def _tensors(folder: ModelFolder) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in folder.tensors().items()}


def _write_candidate(
    state: TuneState, plan: TunePlan, start: ModelFolder, weights: dict[str, Tensor]
) -> None:
    """Write the chosen weights with the ranker that they begin with."""
    arrays = {name: tensor.numpy().astype(np.float32) for name, tensor in weights.items()}
    info: FolderInfo = dataclasses.replace(start.info, name=plan.name, parent=start.content_hash)
    save_folder(
        state.path(CANDIDATE),
        config=start.config,
        tensors=arrays,
        tokenizer_json=(start.path / "tokenizer.json").read_text(encoding="utf-8"),
        info=info,
        card=f"# {plan.name}\n\nNot judged yet.\n",
        ranker=start.ranker,
    )
