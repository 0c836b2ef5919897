"""`foretype train kit`: a network from scratch on a machine that is lent for minutes, offline.

Here `cut` makes pieces of a corpus and its tokenizer. There `join` puts them together, and `run`
trains a large network and then a small one that it teaches, in legs: each ends before a given time,
saved, and the same command goes on. Its results are cut into pieces, too.

The machine may take and give files only in small parts. All pieces in their order are one archive:
`cat piece-*.xz | tar xJ` reads them, too.
"""

import argparse
import hashlib
import json
import re
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from model.config import ConfigError
from model.files import sha256_file
from model.publish import write_atomically
from training.cli import existing_folder, report_mistakes
from training.data.corpus import MANIFEST
from training.data.folders import new_folder
from training.data.progress import say, time_text
from training.errors import TrainingError
from training.pretrain.command import RunFiles, train_and_export
from training.pretrain.plan import measure
from training.pretrain.schedule import make_plan
from training.recipe import Recipe, load_recipe

INDEX = "pieces.json"
_ARCHIVE = ".archive"
_NAME = re.compile(r"piece-\d{3}\.xz")
TOKENIZER = "tokenizer.json"  # in a joined kit, beside the corpus
MEGABYTE = 1 << 20
_PLAN = "plan.json"  # how many tokens each network reads, as the first leg found
_TEACHER_SHARE = 0.7  # of the time for training
_MARGIN = 0.9  # of the speed that a few steps have shown is counted on
_MIN_STEPS = 2


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(prog="foretype train kit", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="cut|join|run", dest="step")
    step = steps.add_parser("cut", help="write files and folders as compressed pieces")
    step.add_argument("paths", type=Path, nargs="+", metavar="PATH")
    step.add_argument("--out", type=Path, required=True, help="the folder to write")
    step.add_argument("--piece-mb", type=int, default=36, metavar="N", help="default: 36")
    step.add_argument("--force", action="store_true", help="replace pieces that are there")
    step = steps.add_parser("join", help="put pieces together again")
    step.add_argument("places", type=existing_folder, nargs="+", metavar="PIECES")
    step.add_argument("--into", type=Path, required=True, help="the folder to write")
    step.add_argument("--force", action="store_true", help="replace what is there")
    step = steps.add_parser("run", help="train both networks, or go on with that")
    text = f"a folder with a corpus and its {TOKENIZER}, as `join` leaves it"
    step.add_argument("kit", type=existing_folder, help=text)
    step.add_argument("--out", type=Path, required=True, help="the folder of all that is made")
    text = "end, saved, so many seconds from now"
    step.add_argument("--seconds", type=float, default=540.0, metavar="N", help=text)
    text = "seconds of training in all, which decide how much is read (default: 1200)"
    step.add_argument("--budget", type=float, default=1200.0, metavar="N", help=text)
    for role, name in (("teacher", "60m"), ("pupil", "60m-pupil")):
        step.add_argument(f"--{role}", type=Path, default=Path(name), metavar="RECIPE")
    return report_mistakes("train kit", lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    if args.step == "cut":
        size = args.piece_mb * MEGABYTE
        pieces = cut(args.paths, args.out, piece_bytes=size, replace=args.force)
        sys.stdout.write(f"wrote {len(pieces)} pieces to {args.out}\n")
    elif args.step == "join":
        join(args.places, args.into, replace=args.force)
        sys.stdout.write(f"wrote {args.into}\n")
    else:
        deadline = time.monotonic() + args.seconds
        roles = {"teacher": args.teacher, "pupil": args.pupil}
        done = all(_leg(args, role, recipe, deadline) for role, recipe in roles.items())
        say(
            f"== all is in {args.out}" if done else "== stopped and saved: the same command goes on"
        )


def _leg(args: argparse.Namespace, role: str, path: Path, deadline: float) -> bool:
    """Go on with one network until the deadline; say whether it is finished."""
    folder, results = args.out / role, args.out / f"{role}-pieces"
    if results.is_dir():
        return True
    overrides = []
    if role == "pupil":
        overrides.append(f"train.teacher={json.dumps(str(args.out / 'teacher' / 'model'))}")
    tokens = _tokens(args, role, load_recipe(path, overrides=overrides))
    recipe = load_recipe(path, overrides=[*overrides, f"train.tokens={tokens}"])
    files = RunFiles(run=folder / "run", tokenizer=args.kit / TOKENIZER, corpus=_corpus(args.kit))
    model, seconds = folder / "model", deadline - time.monotonic()
    if not train_and_export(recipe, files, args.out, model, seconds=seconds):
        return False
    made = [files.run / name for name in ("log.jsonl", "recipe.json", "report.html")]
    cut([model, *made], results, piece_bytes=16 * MEGABYTE)
    return True


def _corpus(kit: Path) -> Path:
    found = [path.parent for path in kit.glob(f"*/{MANIFEST}")]
    if len(found) != 1:
        raise ConfigError(f"{kit} has {len(found)} corpora below it, one is wanted")
    return found[0]


def _tokens(args: argparse.Namespace, role: str, recipe: Recipe) -> int:
    """Return how many tokens a network reads: what its share of the budget allows."""
    path = args.out / _PLAN
    plan: dict[str, int] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if role not in plan:
        share = _TEACHER_SHARE if role == "teacher" else 1.0 - _TEACHER_SHARE
        seconds = share * args.budget
        say(f"== measuring the {role}, to fill {time_text(seconds)}")
        schedule = make_plan(recipe)
        each = schedule.flops(recipe.network.config()) / schedule.tokens
        least = _MIN_STEPS * max(stage.tokens_per_step for stage in schedule.stages)
        plan[role] = max(least, int(_MARGIN * seconds * measure(recipe) / each))
        args.out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(plan).encode(), mode=0o644)
    return plan[role]


def cut(paths: Sequence[Path], out: Path, *, piece_bytes: int, replace: bool = False) -> list[Path]:
    """Write files and folders as pieces of at most so many bytes; return the pieces."""
    with new_folder(out, marker=INDEX, replace=replace) as part:
        archive = part / _ARCHIVE
        hashes: dict[str, str] = {}
        with tarfile.open(archive, "w:xz") as tar:
            for path in paths:
                tar.add(path, arcname=path.resolve().name, filter=_drop_owner)
        with archive.open("rb") as file:
            while piece := file.read(piece_bytes):
                name = f"piece-{len(hashes):03d}.xz"
                (part / name).write_bytes(piece)
                hashes[name] = hashlib.sha256(piece).hexdigest()
        archive.unlink()
        (part / INDEX).write_text(json.dumps({"sha256": hashes}, indent=1), encoding="utf-8")
    return [out / name for name in hashes]


def join(places: Sequence[Path], into: Path, *, replace: bool = False) -> None:
    """Put back as the folder `into` what was cut; its pieces may lie in several places."""
    index = _find(INDEX, places)
    try:
        hashes: dict[str, str] = dict(json.loads(index.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{index} is not an index of pieces: {error}") from error
    if wrong := [name for name in hashes if not _NAME.fullmatch(name)]:
        raise TrainingError(f"{index} names {wrong[0]!r}, which is no piece")
    pieces = [_find(name, places) for name in hashes]
    for path in pieces:
        if sha256_file(path) != hashes[path.name]:
            raise TrainingError(f"{path} is damaged: send it again")
    with new_folder(into, marker=INDEX, replace=replace) as part:
        archive = part / _ARCHIVE
        with archive.open("wb") as file:
            for path in pieces:
                file.write(path.read_bytes())
        with tarfile.open(archive, "r:xz") as tar:
            tar.extractall(part, filter="data")
        archive.unlink()
        (part / INDEX).write_bytes(index.read_bytes())


def _find(name: str, places: Sequence[Path]) -> Path:
    for place in places:
        if (place / name).is_file():
            return place / name
    raise TrainingError(f"{name} is not in {' or '.join(map(str, places))}")


def _drop_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)
