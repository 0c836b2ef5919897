"""`foretype train RECIPE [SOURCE ...]`: from sources to a model folder in one command.

What is done is left alone and what was interrupted goes on, so the same command is also the way to
continue. The stages are the commands of `foretype data` and `foretype train`, on one folder.
"""

import argparse
import os
import sys
from pathlib import Path

from assistant.generate.engine import Engine
from assistant.settings import Settings
from model.config import ConfigError
from training.cli import report_mistakes
from training.data import train_tokenizer
from training.data.corpus import MANIFEST, Document, Split, format_summary, read_manifest
from training.data.prepare import prepare, recipe_hash
from training.data.progress import say
from training.evaluation.answers import ask_engine
from training.evaluation.held_out import sample_tasks
from training.pretrain.command import RunFiles, require_servable, train_and_export
from training.pretrain.report import read_log, tell_samples
from training.recipe import CorpusRecipe, load_corpus_recipe, load_recipe

_SHOWN = 3  # lines of one's own files that the model completes


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(prog="foretype train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file, or the name of a bundled recipe")
    text = "folder or git repository, in place of the recipe's"
    parser.add_argument("sources", nargs="*", metavar="[OWNER/NAME=]SOURCE", help=text)
    text = "folder of all that is made (default: the model's name)"
    parser.add_argument("--out", type=Path, help=text)
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="for training")
    return report_mistakes("train", lambda: _make(parser.parse_args(argv)))


def _make(args: argparse.Namespace) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("this is for one process; several share `foretype train run` alone")
    recipe = load_recipe(args.recipe, overrides=args.set)
    corpus_recipe = load_corpus_recipe(args.recipe, args.sources, overrides=args.set)
    require_servable(recipe)
    out = args.out or Path(recipe.folder.name)
    files = RunFiles(run=out / "run", tokenizer=out / "tokenizer.json", corpus=out / "corpus")
    say(f"== everything goes to {out}; the same command goes on from there")
    _prepare(corpus_recipe, out)
    if files.tokenizer.is_file():
        say("== the tokenizer is there")
    else:
        say("== making a tokenizer")
        train_tokenizer.write(out / "corpus", files.tokenizer, recipe.network.config().vocab_size)
    held_out = Split(out / "corpus", "validation")
    if not train_and_export(recipe, files, out, out / "model", threads=args.threads):
        say("== stopped and saved")
        return
    sys.stdout.write(tell_samples(read_log(files.run)))
    sys.stdout.write(
        _complete_lines(out / "model", held_out if len(held_out) else Split(out / "corpus"))
    )
    sys.stdout.write(f"use it: foretype complete --model {out / 'model'} FILE:LINE:COL\n")


def _prepare(recipe: CorpusRecipe, out: Path) -> None:
    corpus = out / "corpus"
    if (corpus / MANIFEST).is_file():
        if read_manifest(corpus).get("recipe_sha256") == recipe_hash(recipe):
            say(f"== the corpus is there; delete {out} to read the sources again")
            return
        if (out / "run").is_dir():
            raise ConfigError(
                f"{out} was made from other sources or by other rules; choose another --out"
            )
    say("== reading the sources")
    sys.stdout.write(format_summary(prepare(recipe, corpus, replace=True)))


def _complete_lines(model: Path, split: Split) -> str:
    """Return lines of a split as the model completes them, and what is there."""
    engine = Engine(Settings(model=str(model)))
    engine.load()
    files = [
        Document(source=split.name, path=document.path, text=document.text) for document in split
    ]
    which = "held-out files" if split.name == "validation" else "files it was trained on"
    text = f"lines of {which}, completed from | on, and what is written there:\n"
    for task in sample_tasks(files, _SHOWN, seed=0):
        before = task.text[: task.offset].rpartition("\n")[2].lstrip()
        text += f"  {task.file.path}: {before}|{ask_engine(engine, task).text}\n"
        text += f"{'':>{len(task.file.path) + 4}}{before}|{task.truth}\n"
    return text
