"""Pack a corpus into shards of token rows, the form that training reads.

Groups of documents are packed by worker processes and written in order, so the result does not
depend on how many there are. The folder appears complete or not at all; an interrupted command
leaves its groups in `OUT.parts` and goes on from there. How rows are made is
`training.data.rows`'s business.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.files import sha256_file
from model.tokenizer import Tokenizer
from training.cli import report_mistakes
from training.data.corpus import MANIFEST, SPLITS, Split
from training.data.folders import Parts, new_folder
from training.data.progress import Progress
from training.data.rows import SHARES, CrossFileSnippets, Packed, PackSettings, n_groups, pack_group
from training.data.shards import INDEX, ShardReader, ShardWriter, ids_dtype
from training.data.workers import map_in_order
from training.errors import TrainingError
from training.recipe import require

_FORMAT = 2  # of the rows that are kept; another one when rows are made otherwise


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackJob:
    """What to pack, how, and where to."""

    corpus: Path
    tokenizer: Path
    out: Path
    split: str = "train"
    epochs: int = 1
    tokens: int = 0  # to stop at, after a whole group; 0: all there are
    processes: int = 2
    scheduler: str = ""  # of a Dask cluster, whose workers take the processes' place
    replace: bool = False

    def __post_init__(self) -> None:
        require(self, "", "tokens", 0)
        require(self, "", "epochs processes", 1)

    @property
    def parts(self) -> Path:
        """Where packed groups are kept until all are there."""
        return self.out.with_name(f"{self.out.name}.parts")


def main(argv: Sequence[str]) -> int:
    """Run the command; errors of the user's making are one line on stderr."""
    default = PackSettings()
    parser = argparse.ArgumentParser(
        prog="foretype data pack",
        description="Pack a prepared corpus into rows of token ids for training. A SHARE is one of "
        "the chunks that documents are cut into.",
    )
    parser.add_argument("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--split", choices=SPLITS, default="train")
    for flag, metavar, text in (
        ("--block-size", "N", f"tokens in a row (default: {default.block_size})"),
        ("--epochs", "N", "passes, each with spans of its own (default: 1)"),
        ("--tokens", "N", "stop when there are so many, a fair sample (default: all there are)"),
        ("--suffix-tokens", "N", f"longest suffix (default: {default.suffix_tokens})"),
        ("--snippet-tokens", "N", "longest snippets of a chunk (default: a quarter of the row)"),
        ("--seed", "N", "of all draws (default: 0)"),
        ("--processes", "N", "that pack (default: 2)"),
        ("--spm", "SHARE", f"with the suffix first (default: {default.spm_frac})"),
        ("--psm", "SHARE", f"with the prefix first (default: {default.psm_frac})"),
        ("--short", "SHARE", f"cut short for more holes in a row (default: {default.short_frac})"),
        ("--snippets", "SHARE", f"with code from other files (default: {default.snippet_frac})"),
    ):
        kind: type = int if metavar == "N" else float
        name = SHARES.get(flag[2:], flag[2:].replace("-", "_"))
        parser.add_argument(flag, type=kind, dest=name, metavar=metavar, help=text)
    text = "of a Dask cluster whose workers take their place and see the same files"
    parser.add_argument("--scheduler", metavar="ADDRESS", help=text)
    text = "replace shards that are there"
    parser.add_argument("--force", action="store_true", dest="replace", help=text)
    return report_mistakes("data pack", lambda: _run(vars(parser.parse_args(argv))))


def _run(options: dict[str, Any]) -> None:
    given = {name: value for name, value in options.items() if value is not None}
    job, settings = (
        {name: given[name] for name in table.__dataclass_fields__ if name in given}
        for table in (PackJob, PackSettings)
    )
    index = pack(PackJob(**job), PackSettings(**settings))
    n_tokens = index["rows"] * index["block_size"]
    sys.stdout.write(f"{index['rows']} rows, {n_tokens / 1e6:.1f} M tokens in {options['out']}\n")


def pack(job: PackJob, settings: PackSettings) -> dict[str, Any]:
    """Write the shards of a corpus and return their index."""
    split = Split(job.corpus, job.split)
    if not len(split):
        raise TrainingError(f"{job.corpus} has no documents in {job.split}")
    vocab_size = Tokenizer.from_file(job.tokenizer).vocab_size
    with new_folder(job.out, marker=INDEX, replace=job.replace) as part:
        index = _write(part, job, settings, len(split), vocab_size)
    Parts(job.parts).clear()
    return index


def is_packed(job: PackJob, settings: PackSettings) -> bool:
    """Say whether the rows of a job are there, made from the same corpus in the same way."""
    try:
        index = ShardReader(job.out).index
    except TrainingError:
        return False
    return all(index.get(key) == value for key, value in _origin(job, settings).items())


def _origin(job: PackJob, settings: PackSettings) -> dict[str, Any]:
    """Return what decides on the rows, but for how many there are."""
    return {
        "split": job.split,
        "settings": dataclasses.asdict(settings),
        "tokenizer_sha256": sha256_file(job.tokenizer),
        "corpus_manifest_sha256": sha256_file(job.corpus / MANIFEST),
    }


def _write(
    part: Path, job: PackJob, settings: PackSettings, n_documents: int, vocab_size: int
) -> dict[str, Any]:
    block_size = settings.block_size
    tasks = list(itertools.product(range(job.epochs), range(n_groups(n_documents, settings))))
    n_workers = min(job.processes, len(tasks))
    packer = _GroupPacker(job, settings)
    found = map_in_order(packer, tasks, processes=n_workers, scheduler=job.scheduler)
    counts: Counter[str] = Counter()
    first_rows: list[int] = []
    progress = Progress("groups", len(tasks))
    with ShardWriter(part, block_size=block_size, vocab_size=vocab_size) as writer:
        for n_done, ((_, group), packed) in enumerate(zip(tasks, found, strict=False), start=1):
            first_rows += [writer.n_rows] if group == 0 else []
            writer.add(packed.rows)
            counts.update(packed.counts)
            n_tokens = writer.n_rows * block_size
            is_enough = 0 < job.tokens <= n_tokens
            progress.show(n_done, f"{n_tokens / 1e6:.1f} M tokens", last=is_enough)
            if is_enough:
                break
        found.close()
        if not writer.n_rows:
            raise TrainingError(f"{job.split} has too little text for one row of {block_size}")
        writer.description = {
            **_origin(job, settings),
            "epochs": len(first_rows),
            "first_row_of_epoch": first_rows,
            "counts": dict(sorted(counts.items())),
        }
    return {"rows": writer.n_rows, "block_size": block_size, **writer.description}


class _GroupPacker:
    """Packs groups of one corpus; what it needs is opened by the process that packs."""

    def __init__(self, job: PackJob, settings: PackSettings) -> None:
        self._job = job
        self._settings = settings
        self._parts = Parts(job.parts)
        self._key = json.dumps([_FORMAT, _origin(job, settings)])

    @functools.cached_property
    def _inputs(self) -> tuple[Split, Tokenizer, CrossFileSnippets]:
        split = Split(self._job.corpus, self._job.split)
        return split, Tokenizer.from_file(self._job.tokenizer), CrossFileSnippets(split.files_of)

    def __call__(self, task: tuple[int, int]) -> Packed:
        key = f"{self._key} {task}"
        split, tokenizer, neighbours = self._inputs
        if (found := self._parts.read(key)) is not None:
            counts, _, content = found.partition(b"\n")
            ids = np.frombuffer(content, ids_dtype(tokenizer.vocab_size))
            rows = ids.reshape(-1, self._settings.block_size + 1)
            return Packed(rows=rows, counts=Counter(json.loads(counts)))
        epoch, group = task
        packed = pack_group(
            split, tokenizer, self._settings, epoch=epoch, group=group, neighbours=neighbours
        )
        counts = json.dumps(packed.counts).encode()
        self._parts.write(key, counts + b"\n" + packed.rows.tobytes())
        return packed
