"""Train a small network on a fixed text until it foresees held-out files well enough.

The rows of docs/why-cheaper.md, each the one before with one more cause: tokens and seconds to the
same bits per byte. The text is PyTorch's own Python files, which everyone with the `train` extra
has.
`scripts/speedrun` runs it in an environment of its own.
"""

import argparse
import hashlib
import json
import shutil
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.gpt import GPT
from model.tokenizer import Tokenizer
from training.cli import report_mistakes
from training.data import train_tokenizer
from training.data.corpus import MANIFEST
from training.data.prepare import prepare, recipe_hash
from training.data.shards import ShardReader
from training.pretrain import loop
from training.pretrain.command import RunFiles, pack_rows, pack_settings
from training.pretrain.loop import MEASURED, Validator
from training.pretrain.trainer import Trainer
from training.recipe import StageTable, load_corpus_recipe, load_recipe

ROOT = Path(__file__).resolve().parents[1]
RECIPE = Path("speedrun")
TARGET = 2.20  # bits per byte of the held-out files
RECORD = "compiled"
PACKED_TOKENS = 2_000_000  # of each kind of rows; who reads more reads them again
CLEAN = ("corpus.near_duplicate=0.8", "corpus.filters={}")
# Each row has the settings of those before it, too.
ROWS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "block": ("network.block='qwen3'",),
    "muon": (
        "train.optimiser='muon'",  # the best of three scales of rates
        "train.matrix_lr=0.06",
        "train.embed_lr=0.15",
        "train.gain_lr=0.045",
        "train.tokens=400_000",  # at most
        "train.validate_steps=25",
    ),
    "schedule": (
        "train.warmdown_share=0.6",
        "train.tokens=150_000",
        "train.validate_steps=0",  # only the end of a schedule counts
    ),
    "packed": ("rows.padded=false",),
    "bf16": ("train.dtype='bfloat16'",),
    "compiled": ("train.compile=true",),
    "data": CLEAN,
    "holes": ("rows.spm=0.7", "rows.psm=0.05"),
}


class Runs:
    """One text and what is made of it, below a folder that is used again."""

    def __init__(self, place: Path, source: Path) -> None:
        self.place, self.source = place, source
        clean = self.corpus(CLEAN)  # all rows are judged on the same files, in the same tokens
        tokenizer = clean.with_name(f"{clean.name}-tokenizer.json")
        if not tokenizer.is_file():
            train_tokenizer.write(clean, tokenizer, load_recipe(RECIPE).network.config().vocab_size)
        self.files = RunFiles(run=place / "runs", tokenizer=tokenizer, corpus=clean)
        self.tokenizer = Tokenizer.from_file(tokenizer)

    def corpus(self, overrides: tuple[str, ...]) -> Path:
        """Return the corpus that a row reads, made when it is not there."""
        recipe = load_corpus_recipe(RECIPE, [str(self.source)], overrides=overrides)
        folder = self.place / f"corpus-{recipe_hash(recipe)[:8]}"
        if not (folder / MANIFEST).is_file():
            prepare(recipe, folder)
        return folder

    def trainer(self, overrides: tuple[str, ...]) -> Trainer:
        """Return the trainer of a row before its first step, its rows packed."""
        recipe = load_recipe(RECIPE, overrides=overrides)
        corpus = self.corpus(tuple(each for each in overrides if each.startswith("corpus.")))
        settings = pack_settings(recipe, StageTable())
        name = hashlib.sha256(f"{corpus.name} {settings}".encode()).hexdigest()[:8]
        files = RunFiles(run=self.files.run, tokenizer=self.files.tokenizer, corpus=corpus)
        pack_rows(settings, rows := self.place / f"rows-{name}", files, PACKED_TOKENS)
        pad_id = self.tokenizer.special_id("<|fim_pad|>")
        return Trainer(recipe, lambda _: ShardReader(rows), pad_id=pad_id)

    def run(self, name: str, overrides: tuple[str, ...], target: float) -> dict[str, Any]:
        """Train until the target is met or the tokens are read; return what it took."""
        folder = self.files.run / name
        shutil.rmtree(folder, ignore_errors=True)
        trainer = self.trainer(overrides)
        assert self.files.corpus is not None
        validator = Validator(self.files.corpus, self.tokenizer, trainer.recipe)
        judge = _Judge(validator, trainer, target)
        loop.train(trainer, folder, validate=judge)
        done, bits = trainer.progress, judge.curve[-1][1]
        share = (tokens := judge.tokens_to_target()) / done.tokens
        looks, looks_cpu = judge.spent[:-1].sum(0)  # the run's clock stood before the last one
        return {
            "row": name,
            "reached": bits <= target,
            "bits_per_byte": round(bits, 4),
            "tokens": tokens,
            "seconds": round(share * (done.seconds - looks), 1),
            "cpu_seconds": round(share * (done.cpu_seconds - looks_cpu), 1),
        }


class _Judge:
    """Measures the network, ends the run when it is good enough, and keeps its own time apart."""

    def __init__(self, validator: Validator, trainer: Trainer, target: float) -> None:
        self.validator, self.trainer, self.target = validator, trainer, target
        self.curve: list[tuple[int, float]] = []  # tokens read, bits per byte
        self.spent = np.zeros((1, 2))  # seconds and processor seconds of each look, after none

    def __call__(self, network: GPT) -> dict[str, Any]:
        wall, cpu = time.monotonic(), time.process_time()
        figures = self.validator(network)
        self.curve.append((self.trainer.progress.tokens, figures[MEASURED]))
        spent = time.monotonic() - wall, time.process_time() - cpu
        self.spent = np.concatenate([self.spent, [spent]])
        if figures[MEASURED] <= self.target:
            signal.raise_signal(signal.SIGTERM)  # the loop saves and ends
        return figures

    def tokens_to_target(self) -> int:
        """Return where a line through the last two measurements meets the target."""
        (before, high), (after, low) = [self.curve[0], *self.curve][-2:]
        if not low <= self.target < high:
            return after  # never, or at the first look
        return round(after - (after - before) * (self.target - low) / (high - low))


def overrides_of(name: str) -> tuple[str, ...]:
    """Return the settings of a row and of all before it."""
    names = list(ROWS)
    return sum((ROWS[each] for each in names[: names.index(name) + 1]), ())


def time_rows(runs: Runs, names: list[str], rounds: int, steps: int) -> str:
    """Take the rows' steps in turns; return processor milliseconds per thousand tokens of each."""
    trainers = {name: runs.trainer(overrides_of(name)) for name in names}
    for trainer in trainers.values():
        trainer.step()  # compiles, and pays for memory
    spent: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, trainer in trainers.items():
            started, before = time.process_time(), trainer.progress.tokens
            for _ in range(steps):
                trainer.step()
            passed = time.process_time() - started
            spent[name].append(1e6 * passed / (trainer.progress.tokens - before))
    lines = [f"{'row':<12}{'ms / 1,000 tokens':>18}{'of the row before':>20}"]
    before_row: list[float] = []
    for name, each in spent.items():
        shares = [now / then for now, then in zip(each, before_row, strict=False)]
        share = f"{statistics.median(shares):.3f}" if shares else ""
        lines.append(f"{name:<12}{statistics.median(each):>18.1f}{share:>20}")
        before_row = each
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the rows that are asked for; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(prog="scripts/speedrun", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument("--target", type=float, default=TARGET, help="bits per byte")
    text = "a folder of Python files instead of PyTorch's; then its figures are its own"
    parser.add_argument("--source", type=Path, default=Path(torch.__file__).parent, help=text)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "speedrun")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    text = "time steps of the rows in turns, so many rounds, instead of training"
    parser.add_argument("--time", type=int, default=0, metavar="ROUNDS", help=text)
    return report_mistakes("speedrun", lambda: _run(parser.parse_args()))


def _run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    runs = Runs(args.out, args.source)
    names = args.rows or [RECORD]
    if args.time:
        sys.stdout.write(time_rows(runs, names, args.time, steps=5))
        return
    for name in names:
        found = runs.run(name, (*overrides_of(name), *args.set), args.target)
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    sys.exit(main())
