"""`foretype train run` and `foretype train export`: packed rows -> train state -> model folder.

A stage's rows are opened when it begins: they may still be packed while an earlier one runs.
`train_and_export` is all of it, from a corpus and its tokenizer; what is done is left. It needs no
more than a machine has that only trains: nothing of how a corpus is made, or served.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout

from model.config import ConfigError, from_table
from model.files import sha256_file
from model.folder import FolderInfo, load_folder, save_folder
from model.tokenizer import Tokenizer
from training.cli import existing_folder, keep_freed_memory, n_threads, report_mistakes
from training.data import packing
from training.data.corpus import Split, read_manifest
from training.data.packing import PackJob
from training.data.progress import say
from training.data.rows import SHARES, PackSettings
from training.data.shards import ShardReader
from training.errors import TrainingError
from training.pretrain import loop
from training.pretrain.card import model_card
from training.pretrain.checkpoint import RunProgress, load_run
from training.pretrain.distributed import join, leave
from training.pretrain.loop import Validator, choose_threads
from training.pretrain.report import write_report
from training.pretrain.schedule import Schedule, Stage, make_plan
from training.pretrain.trainer import Trainer
from training.recipe import Recipe, StageTable, load_recipe, recipe_hash

_COMPILING = "compiling: the first step, and that of each stage, takes a minute or more\n"
_LOCK = "lock"  # in a run folder
MAX_PASSES = 4  # over the same rows: a fifth is worth much less than new text


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
    seen = files if len(held_out) else files._replace(corpus=None)
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


class RunFiles(NamedTuple):
    """Where a run is, and what it was made from."""

    run: Path  # the train state
    tokenizer: Path
    corpus: Path | None  # with the split that is validated on


def main(argv: list[str]) -> int:
    """Run one step, `run` or `export`; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(prog="foretype train", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="run|export")
    run = steps.add_parser("run", help="train, or go on with a run that was stopped")
    run.set_defaults(step=train_network)
    option = run.add_argument
    help_ = "from `foretype data pack`; repeat it for stages with rows of their own"
    option("--shards", action="append", required=True, metavar="[NAME=]FOLDER", help=help_)
    option("--init", type=existing_folder, help="model folder whose weights to begin with")
    option("--corpus", type=existing_folder, help="validate on its held-out split")
    help_ = "processor threads (default: those of a run's start, which are tried)"
    option("--threads", type=int, default=0, metavar="N", help=help_)
    help_ = "stop, saved, so many seconds from now"
    option("--seconds", type=float, default=math.inf, metavar="N", help=help_)
    out = steps.add_parser("export", help="write the newest checkpoint as a model folder")
    out.set_defaults(step=export_network)
    option = out.add_argument
    option("--out", type=Path, required=True, help="model folder to write")
    option("--corpus", type=existing_folder, required=True, help="named in the model card")
    help_ = "take the run's averaged weights (average_tokens)"
    option("--average", action="store_true", help=help_)
    option("--report", type=Path, help="JSON of `train score`, for the model card")
    option("--notes", type=Path, help="Markdown for the model card: where it fails")
    for option in (run.add_argument, out.add_argument):
        option("recipe", type=Path, help="a TOML file, or the name of a bundled recipe")
        option("--run", type=Path, required=True, help="folder of the train state")
        option("--tokenizer", type=Path, required=True, help="tokenizer.json of the shards")
        option("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    return report_mistakes("train", lambda: _run(vars(parser.parse_args(argv))))


def _run(options: dict[str, Any]) -> None:
    step, path, overrides = (options.pop(name) for name in ("step", "recipe", "set"))
    files = RunFiles(**{name: options.pop(name) for name in ("run", "tokenizer", "corpus")})
    step(load_recipe(path, overrides=overrides), files, **options)


def train_network(
    recipe: Recipe,
    files: RunFiles,
    *,
    shards: Sequence[str],
    init: Path | None = None,
    threads: int = 0,
    seconds: float = math.inf,
) -> bool:
    """Train to the end, or until it is stopped and saved; say whether it is at its end.

    After so many `seconds` it stops itself.
    """
    deadline = time.monotonic() + seconds
    group = join(recipe.train.device)
    lock = FileLock(files.run / _LOCK)
    try:
        most = max(1, threads or n_threads() // group.size)
        torch.set_num_threads(most)
        keep_freed_memory()
        tokenizer = _open_tokenizer(recipe, files)
        digest, size = sha256_file(files.tokenizer), tokenizer.vocab_size
        folders = ShardFolders(shards, make_plan(recipe), vocab_size=size, tokenizer=digest)
        pad_id = tokenizer.special_id("<|fim_pad|>")
        trainer = Trainer(recipe, folders.open, pad_id=pad_id, group=group)
        if group.is_first and files.run.is_dir():  # a mistake makes none
            _take(lock, files.run)
        resumed = _resume(trainer, files, init)
        if trainer.progress.step < trainer.plan.n_step:
            folders.open(trainer.stage)  # a mistake is known before the first step
        use_threads(trainer, most, is_given=threads > 0)
        if group.is_first:
            _take(lock, files.run)
            sys.stderr.write(announce(trainer, folders, resumed=resumed))
        validate = Validator(files.corpus, tokenizer, recipe) if files.corpus else None
        loop.train(trainer, files.run, validate=validate, deadline=deadline)
        if group.is_first and trainer.progress.step:
            sys.stderr.write(f"wrote {write_report(files.run, corpus=files.corpus)}\n")
        return trainer.progress.step >= trainer.plan.n_step
    finally:
        lock.release(force=True)
        leave()


def _open_tokenizer(recipe: Recipe, files: RunFiles) -> Tokenizer:
    tokenizer = Tokenizer.from_file(files.tokenizer)
    if recipe.train.teacher:
        _check_tokenizer(Path(recipe.train.teacher), files.tokenizer)
    if tokenizer.vocab_size != (wanted := recipe.network.config().vocab_size):
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the recipe's network wants {wanted}"
        )
    return tokenizer


def _resume(trainer: Trainer, files: RunFiles, init: Path | None) -> bool:
    resumed = trainer.resume(files.run)
    _check_run_tokenizer(trainer.progress, files)
    trainer.progress.tokenizer = sha256_file(files.tokenizer)
    if init:
        _begin_with(trainer, init, files.tokenizer)
    return resumed


def _take(lock: FileLock, run: Path) -> None:
    """Keep other processes out of a run: two would delete each other's checkpoints."""
    run.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0.0)
    except Timeout:
        raise TrainingError(
            f"another process trains in {run}; wait for it, stop it, or use another --run folder"
        ) from None


def announce(trainer: Trainer, folders: ShardFolders, *, resumed: bool) -> str:
    """Return the lines that a session begins with."""
    text = (
        f"{'going on at' if resumed else 'starting at'} step {trainer.progress.step} of "
        f"{trainer.plan.n_step}, {trainer.network.config.n_params / 1e6:.1f}M parameters, "
        f"{trainer.group.size} x {trainer.device.device.type} {trainer.network.dtype}, threads: "
        f"{torch.get_num_threads()}\n{folders.remarks()}"
    )
    return text + _COMPILING * trainer.progress.compiled


def use_threads(trainer: Trainer, most: int, *, is_given: bool) -> None:
    """Take the threads that are given or that the run began with, else those found fastest.

    Several processes take their share: with different numbers their last bits would differ.
    """
    chosen = most if is_given else min(most, trainer.progress.threads)
    is_cpu = trainer.device.device.type == "cpu"
    if not chosen and is_cpu and trainer.group.size == 1 and trainer.progress.step == 0:
        chosen = choose_threads(trainer.rehearse, most)
    torch.set_num_threads(chosen or most)
    trainer.progress.threads = chosen or most


def _begin_with(trainer: Trainer, model: Path, tokenizer: Path) -> None:
    """Take the weights of a model folder with the same tokenizer, or check that the run did."""
    folder = load_folder(model)
    if trainer.progress.step:
        if trainer.progress.parent != folder.content_hash:
            raise TrainingError(f"the run did not begin with {model}; leave --init out")
        return
    _check_tokenizer(model, tokenizer)
    weights = {name: torch.from_numpy(array) for name, array in folder.tensors().items()}
    trainer.begin_with(weights, folder.content_hash)


def require_servable(recipe: Recipe) -> None:
    """Raise ConfigError for a network that is only there to be compared."""
    if recipe.network.block != "qwen3":
        raise ConfigError('network.block = "gpt2" is for comparison and cannot be exported')


def _check_run_tokenizer(progress: RunProgress, files: RunFiles) -> None:
    """Raise ConfigError for another tokenizer than that of a run; older runs do not say."""
    if progress.tokenizer not in ("", sha256_file(files.tokenizer)):
        raise ConfigError(
            f"{files.tokenizer} is not the tokenizer that {files.run} was begun with; name that one"
        )


def _check_tokenizer(model: Path, tokenizer: Path) -> None:
    if sha256_file(model / "tokenizer.json") != sha256_file(tokenizer):
        raise ConfigError(
            f"{tokenizer} is not the tokenizer of {model}; pack the corpus with {model}'s"
        )


def export_network(
    recipe: Recipe,
    files: RunFiles,
    *,
    out: Path,
    average: bool = False,
    report: Path | None = None,
    notes: Path | None = None,
) -> None:
    """Write the newest checkpoint of a run as the model folder `out`."""
    assert files.corpus is not None, "the card names it"
    require_servable(recipe)
    config, table = recipe.network.config(), recipe.folder
    checkpoint = load_run(files.run, average=average)
    _check_run_tokenizer(checkpoint.progress, files)
    stages = from_table(Schedule, checkpoint.progress.plan).stages
    longest = max(stage.block_size for stage in stages)
    if (checkpoint.progress.recipe_hash, longest) != (recipe_hash(recipe), config.block_size):
        raise ConfigError(
            f"{files.run} was trained by another recipe, with rows of {longest} tokens; name the "
            f"one it was trained by ({files.run / 'recipe.json'})"
        )
    card = model_card(
        table,
        config,
        checkpoint.progress,
        manifest=read_manifest(files.corpus),
        report=json.loads(report.read_text(encoding="utf-8")) if report else None,
        notes=notes.read_text(encoding="utf-8") if notes else "",
    )
    info = FolderInfo(
        block_size=config.block_size, parent=checkpoint.progress.parent, **dataclasses.asdict(table)
    )
    save_folder(
        out,
        config=config,
        tensors={name: tensor.float().numpy() for name, tensor in checkpoint.weights.items()},
        tokenizer_json=files.tokenizer.read_text(encoding="utf-8"),
        info=info,
        card=card,
    )
    sys.stdout.write(f"wrote {out}\n")


class ShardFolders:
    """Folders by the name that the stages give their rows."""

    def __init__(
        self, arguments: Sequence[str], plan: Schedule, *, vocab_size: int, tokenizer: str = ""
    ) -> None:
        """Read `[NAME=]FOLDER` arguments; those without a name are taken in the stages' order.

        `tokenizer` is the hash of the file that their ids are of, as far as they say.
        """
        self._tokenizer = tokenizer
        self._plan = plan
        self._vocab_size = vocab_size
        self._names = list(dict.fromkeys(stage.shards for stage in plan.stages))
        starts = tuple(f"{name}=" for name in self._names)
        unnamed = [each for each in arguments if not each.startswith(starts)]
        named = [each for each in arguments if each.startswith(starts)]
        folders = dict(each.split("=", 1) for each in named)
        free = [name for name in self._names if name not in folders]
        if len(unnamed) > len(free):
            raise ConfigError(
                f"--shards {unnamed[len(free)]} belongs to no stage; the recipe's stages read "
                f"{', '.join(self._names)}"
            )
        folders |= dict(zip(free, unnamed, strict=False))
        self._folders = {name: Path(folder) for name, folder in folders.items()}

    def open(self, stage: Stage) -> ShardReader:
        """Return a stage's rows; TrainingError where there are none, ConfigError if they misfit."""
        folder = self._folders.get(stage.shards)
        if folder is None:
            raise TrainingError(
                f"the stage that begins now reads {stage.shards}; say --shards "
                f"{stage.shards}=FOLDER to go on"
            )
        rows = ShardReader(folder)
        if (rows.block_size, rows.vocab_size) != (stage.block_size, self._vocab_size):
            raise ConfigError(
                f"{folder} has rows of {rows.block_size} tokens and {rows.vocab_size} ids; the "
                f"recipe wants {stage.block_size} and {self._vocab_size}"
            )
        if rows.index.get("tokenizer_sha256", self._tokenizer) != self._tokenizer:
            raise ConfigError(
                f"{folder} was packed with another tokenizer; name that one, or pack it again"
            )
        return rows

    def remarks(self) -> str:
        """Return lines on rows that are not there yet, and on those that will be read too often."""
        there = {name for name, folder in self._folders.items() if folder.is_dir()}
        absent = [name for name in self._names if name not in there]
        text = f"not there yet: the rows of {', '.join(absent)}\n" if absent else ""
        for name in self._names:
            if name in absent:
                continue
            wanted = [stage for stage in self._plan.stages if stage.shards == name]
            rows = self.open(wanted[0])
            n_read = sum(stage.tokens for stage in wanted) / (rows.n_rows * rows.block_size)
            n_passes = n_read * rows.index.get("epochs", 1)
            if n_passes > MAX_PASSES:
                text += (
                    f"the rows ({name}) are read {n_passes:.1f} times: above {MAX_PASSES} passes "
                    "little more is learnt; take more text, or lower train.tokens\n"
                )
        return text
