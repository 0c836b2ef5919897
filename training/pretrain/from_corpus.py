"""From a corpus and its tokenizer to a model folder: rows, a run, the export. What is done is left.

Needs no more than a machine has that only trains: nothing of how a corpus is made, or served.
"""

import dataclasses
import math
import time
from pathlib import Path

from training.cli import n_threads
from training.data import packing
from training.data.corpus import Split
from training.data.packing import PackJob
from training.data.progress import say
from training.data.rows import SHARES, PackSettings
from training.pretrain.command import MAX_PASSES, RunFiles, export_network, train_network
from training.pretrain.schedule import make_plan
from training.recipe import Recipe, StageTable


def train_and_export(
    recipe: Recipe,
    files: RunFiles,
    out: Path,
    model: Path,
    *,
    threads: int = 0,
    seconds: float = math.inf,
) -> bool:
    """Pack the rows of a corpus below `out`, train, write `model`; False: stopped and saved."""
    assert files.corpus is not None
    deadline = time.monotonic() + seconds
    shards, plan = [], make_plan(recipe)
    for stage in recipe.stages or (StageTable(),):
        rows = out / ("rows" if stage.shards == "rows" else f"rows-{stage.shards}")
        n_tokens = sum(each.tokens for each in plan.stages if each.shards == stage.shards)
        pack_rows(pack_settings(recipe, stage), rows, files, n_tokens)
        shards.append(f"{stage.shards}={rows}")
    say("== training")
    held_out = Split(files.corpus, "validation")
    seen = files if len(held_out) else dataclasses.replace(files, corpus=None)
    seconds = deadline - time.monotonic()
    if not train_network(recipe, seen, shards=shards, threads=threads, seconds=seconds):
        return False
    export_network(recipe, files, out=model, average=recipe.train.average_tokens > 0)
    return True


def pack_rows(settings: PackSettings, rows: Path, files: RunFiles, n_tokens: int) -> None:
    """Pack at least `n_tokens` of a corpus to the folder `rows`, unless they are there."""
    assert files.corpus is not None
    job = PackJob(
        corpus=files.corpus,
        tokenizer=files.tokenizer,
        out=rows,
        epochs=MAX_PASSES,  # each has holes of its own; packing ends when there are tokens enough
        tokens=n_tokens,
        processes=n_threads(),
        replace=True,
    )
    if packing.is_packed(job, settings):
        say(f"== {rows.name} are there")
        return
    say(f"== packing {rows.name}")
    packing.pack(job, settings)


def pack_settings(recipe: Recipe, stage: StageTable) -> PackSettings:
    """Return how a stage's rows are made: as it says, else as [rows] says."""
    shares = {
        field: share if (share := getattr(stage, name)) >= 0 else getattr(recipe.rows, name)
        for name, field in SHARES.items()
    }
    block_size = stage.block_size or recipe.network.config().block_size
    return PackSettings(
        block_size=block_size,
        suffix_tokens=recipe.folder.suffix_tokens,
        snippet_tokens=min(recipe.folder.snippet_tokens, block_size // 4),
        padded=recipe.rows.padded,
        **shares,
    )
