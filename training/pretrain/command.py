"""`foretype train run` and `foretype train export`: packed rows -> train state -> model folder."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from model.config import ConfigError
from model.files import sha256_file
from model.folder import ModelFolderError, load_folder
from model.tokenizer import Tokenizer, TokenizerError
from training.cli import existing_folder, keep_freed_memory, n_threads
from training.data.corpus import CorpusError, read_manifest
from training.data.shards import ShardError
from training.pretrain import loop
from training.pretrain.card import model_card
from training.pretrain.checkpoint import StateError
from training.pretrain.distributed import Group, join, leave
from training.pretrain.export import export, newest
from training.pretrain.recipe import Recipe, load_recipe
from training.pretrain.schedule import make_plan
from training.pretrain.stages import ShardFolders
from training.pretrain.threads import choose_threads
from training.pretrain.trainer import DivergedError, Trainer
from training.pretrain.validation import Validator

_COMPILING = "compiling: the first step, and that of each stage, takes a minute or more\n"


def main(argv: list[str]) -> int:
    """Run one step, `run` or `export`; a user's mistake is one line on stderr."""
    args = _parser().parse_args(argv)
    try:
        recipe = load_recipe(args.recipe, overrides=tuple(args.set))
        step: Callable[[argparse.Namespace, Recipe], None] = args.step
        step(args, recipe)
    except (ConfigError, CorpusError, ShardError, TokenizerError, ModelFolderError) as error:
        return _complain(error)
    except (StateError, DivergedError, OSError, json.JSONDecodeError) as error:
        return _complain(error)
    return 0


def _complain(error: Exception) -> int:
    sys.stderr.write(f"foretype train: {error}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="foretype train", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="run|export")
    run = steps.add_parser("run", help="train, or go on with a run that was stopped")
    run.set_defaults(step=_run)
    run.add_argument(
        "--shards",
        action="append",
        required=True,
        metavar="[NAME=]FOLDER",
        help="from `foretype data pack`; repeat it for stages with rows of their own, by name or "
        "in their order",
    )
    run.add_argument(
        "--init", type=existing_folder, help="model folder whose weights to begin with"
    )
    run.add_argument("--corpus", type=existing_folder, help="validate on its held-out split")
    text = "processor threads (default: those of a run's start, which are tried)"
    run.add_argument("--threads", type=int, metavar="N", help=text)
    out = steps.add_parser("export", help="write the newest checkpoint as a model folder")
    out.set_defaults(step=_export)
    out.add_argument("--out", type=Path, required=True, help="model folder to write")
    out.add_argument(
        "--corpus", type=existing_folder, required=True, help="named in the model card"
    )
    out.add_argument(
        "--average", action="store_true", help="take the run's averaged weights (average_tokens)"
    )
    out.add_argument("--report", type=Path, help="JSON of `train score`, for the model card")
    out.add_argument("--notes", type=Path, help="Markdown for the model card: where it fails")
    for sub in (run, out):
        sub.add_argument("recipe", type=Path, help="a TOML file, or the name of a bundled recipe")
        sub.add_argument("--run", type=Path, required=True, help="folder of the train state")
        sub.add_argument(
            "--tokenizer", type=Path, required=True, help="tokenizer.json of the shards"
        )
        sub.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    return parser


def _run(args: argparse.Namespace, recipe: Recipe) -> None:
    group = join(recipe.train.device)
    try:
        _train(args, recipe, group)
    finally:
        leave()


def _train(args: argparse.Namespace, recipe: Recipe, group: Group) -> None:
    most = max(1, args.threads or n_threads() // group.size)
    torch.set_num_threads(most)
    keep_freed_memory()
    tokenizer = Tokenizer.from_file(args.tokenizer)
    config = recipe.network.config()
    if tokenizer.vocab_size != config.vocab_size:
        raise ConfigError(
            f"{args.tokenizer} has {tokenizer.vocab_size} ids, the recipe's network wants "
            f"{config.vocab_size}"
        )
    shards = ShardFolders(args.shards, make_plan(recipe), vocab_size=config.vocab_size)
    trainer = Trainer(
        recipe,
        shards.open,
        pad_id=tokenizer.special_id("<|fim_pad|>"),
        end_id=tokenizer.end_id,
        group=group,
    )
    resumed = trainer.resume(args.run)
    if args.init:
        _begin_with(trainer, args.init, args.tokenizer)
    if trainer.progress.step < trainer.plan.n_step:
        shards.open(trainer.stage)  # a mistake is known before the first step
    _use_threads(trainer, most, is_given=bool(args.threads))
    if group.is_first:
        sys.stderr.write(
            f"{'going on at' if resumed else 'starting at'} step {trainer.progress.step} of "
            f"{trainer.plan.n_step}, {config.n_params / 1e6:.1f}M parameters, {group.size} x "
            f"{trainer.device.device.type} {trainer.network.dtype}, threads: "
            f"{torch.get_num_threads()}\n{shards.missing()}"
        )
        sys.stderr.write(_COMPILING * bool(trainer.progress.compiled))
    validate = None
    if args.corpus:
        suffix_tokens = recipe.folder.suffix_tokens
        validate = Validator(
            args.corpus, tokenizer, block_size=config.block_size, suffix_tokens=suffix_tokens
        )
    loop.train(trainer, args.run, validate=validate)


def _use_threads(trainer: Trainer, most: int, *, is_given: bool) -> None:
    """Take the threads that are given or that the run began with, else those found fastest.

    Several processes take their share: with different numbers their last bits would differ.
    """
    chosen = most if is_given else min(most, trainer.progress.threads)
    is_cpu = trainer.device.device.type == "cpu"
    if not chosen and is_cpu and trainer.group.size == 1 and trainer.progress.step == 0:
        chosen = choose_threads(trainer.rehearse, most)
    torch.set_num_threads(chosen or most)
    trainer.progress = dataclasses.replace(trainer.progress, threads=chosen or most)


def _begin_with(trainer: Trainer, model: Path, tokenizer: Path) -> None:
    """Take the weights of a model folder with the same tokenizer, or check that the run did."""
    folder = load_folder(model)
    if trainer.progress.step:
        if trainer.progress.parent != folder.content_hash:
            raise StateError(f"the run did not begin with {model}; leave --init out")
        return
    if sha256_file(model / "tokenizer.json") != sha256_file(tokenizer):
        raise ConfigError(
            f"{tokenizer} is not the tokenizer of {model}; pack the corpus with {model}'s"
        )
    weights = {name: torch.from_numpy(array) for name, array in folder.tensors().items()}
    trainer.begin_with(weights, folder.content_hash)


def _export(args: argparse.Namespace, recipe: Recipe) -> None:
    config, manifest = recipe.network.config(), read_manifest(args.corpus)
    report = json.loads(args.report.read_text(encoding="utf-8")) if args.report else None
    notes = args.notes.read_text(encoding="utf-8") if args.notes else ""

    checkpoint = newest(args.run, average=args.average)
    card = model_card(
        recipe.folder,
        config,
        checkpoint.progress,
        manifest=manifest,
        report=report,
        notes=notes,
    )
    export(
        checkpoint,
        args.out,
        config=config,
        table=recipe.folder,
        tokenizer=args.tokenizer,
        card=card,
    )
    sys.stdout.write(f"wrote {args.out}\n")
