"""Pack a corpus into shards of token rows, the form that training reads.

Groups of documents are packed by worker processes and written in order, so the result does not
depend on how many there are. The folder appears complete or not at all. How rows are made is
`training.data.rows`'s business.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.tokenizer import Tokenizer, TokenizerError
from training.data.corpus import MANIFEST, SPLITS, CorpusError, Split, sha256_of
from training.data.cross_file import CrossFileSnippets
from training.data.folders import new_folder
from training.data.infill import SpanShares
from training.data.progress import Progress
from training.data.rows import Packed, PackSettings, n_groups, pack_group
from training.data.shards import INDEX, ShardError, ShardWriter
from training.data.workers import in_order


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackJob:
    """What to pack, how, and where to."""

    corpus: Path
    tokenizer: Path
    out: Path
    split: str = "train"
    epochs: int = 1
    processes: int = 2
    replace: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "processes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors of the user's making are one line on stderr."""
    args = _parser().parse_args(argv)
    try:
        settings = PackSettings(
            block_size=args.block_size,
            spm_frac=args.spm,
            psm_frac=args.psm,
            short_frac=args.short,
            suffix_tokens=args.suffix_tokens,
            snippet_frac=args.snippets,
            snippet_tokens=args.snippet_tokens,
            seed=args.seed,
            spans=_spans(args.spans),
        )
        job = PackJob(
            corpus=args.corpus,
            tokenizer=args.tokenizer,
            out=args.out,
            split=args.split,
            epochs=args.epochs,
            processes=args.processes,
            replace=args.force,
        )
        index = pack(job, settings)
    except (ConfigError, CorpusError, ShardError, TokenizerError, OSError) as error:
        sys.stderr.write(f"foretype data pack: {error}\n")
        return 1
    n_tokens = index["rows"] * index["block_size"]
    sys.stdout.write(f"{index['rows']} rows, {n_tokens / 1e6:.1f} M tokens in {args.out}\n")
    return 0


def pack(job: PackJob, settings: PackSettings) -> dict[str, Any]:
    """Write the shards of a corpus and return their index."""
    split = Split(job.corpus, job.split)
    if not len(split):
        raise CorpusError(f"{job.corpus} has no documents in {job.split}")
    tokenizer = Tokenizer.from_file(job.tokenizer)
    with new_folder(job.out, marker=INDEX, replace=job.replace) as part:
        return _write(part, job, settings, (split, tokenizer))


def _parser() -> argparse.ArgumentParser:
    defaults = PackSettings()
    parser = argparse.ArgumentParser(
        prog="foretype data pack",
        description="Pack a prepared corpus into rows of token ids for training.",
    )
    parser.add_argument("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument(
        "--block-size",
        type=int,
        default=defaults.block_size,
        help="tokens in a row (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=int, default=1, help="passes, each with spans of its own (default: 1)"
    )
    _add_contents(parser, defaults)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--force", action="store_true", help="replace shards that are there")
    return parser


def _add_contents(parser: argparse.ArgumentParser, defaults: PackSettings) -> None:
    """Add the flags that say what an example holds."""
    for flag, default, text in (
        ("--spm", defaults.spm_frac, "of chunks with the suffix first"),
        ("--psm", defaults.psm_frac, "of chunks with the prefix first"),
        (
            "--short",
            defaults.short_frac,
            "of chunks that are shorter than a row has room for, so that rows hold more holes",
        ),
        (
            "--snippets",
            defaults.snippet_frac,
            "of chunks with code from other files of the repository, never of plain text",
        ),
    ):
        parser.add_argument(
            flag,
            type=float,
            default=default,
            metavar="SHARE",
            help=f"share {text} (default: %(default)s)",
        )
    parser.add_argument(
        "--suffix-tokens",
        type=int,
        default=defaults.suffix_tokens,
        help="longest suffix (default: %(default)s)",
    )
    parser.add_argument(
        "--snippet-tokens",
        type=int,
        default=-1,
        metavar="N",
        help="longest snippets of a chunk, together (default: a quarter of the row)",
    )
    parser.add_argument(
        "--spans",
        metavar="KIND=SHARE,...",
        help="kinds of holes, of which the others get none (default: "
        + ",".join(
            f"{kind}={share:g}" for kind, share in dataclasses.asdict(defaults.spans).items()
        )
        + ")",
    )


def _spans(text: str | None) -> SpanShares:
    """Read `KIND=SHARE,...`; kinds that are not named have no share."""
    if text is None:
        return SpanShares()
    shares = dict.fromkeys((field.name for field in dataclasses.fields(SpanShares)), 0.0)
    for part in text.split(","):
        kind, _, share = part.partition("=")
        if kind not in shares:
            raise ConfigError(f"unknown kind of hole {kind!r}; known: {', '.join(shares)}")
        try:
            shares[kind] = float(share)
        except ValueError:
            raise ConfigError(f"--spans: {kind} needs a number, got {share!r}") from None
    return SpanShares(**shares)


def _write(
    part: Path, job: PackJob, settings: PackSettings, parts: tuple[Split, Tokenizer]
) -> dict[str, Any]:
    split, tokenizer = parts
    tasks = [(epoch, group) for epoch in range(job.epochs) for group in _groups(split, settings)]
    counts: Counter[str] = Counter()
    first_rows = [0] * job.epochs
    progress = Progress("groups", len(tasks))
    with ShardWriter(
        part, block_size=settings.block_size, vocab_size=tokenizer.vocab_size
    ) as writer:
        for n_done, (task, packed) in enumerate(
            zip(tasks, _packed(tasks, job, settings), strict=True), start=1
        ):
            epoch, group = task
            if group == 0:
                first_rows[epoch] = writer.n_rows
            writer.add(packed.rows)
            counts.update(packed.counts)
            n_tokens = writer.n_rows * settings.block_size
            progress.show(n_done, f"{n_tokens / 1e6:.1f} M tokens", last=n_done == len(tasks))
        if not writer.n_rows:
            raise CorpusError(
                f"{job.split} has too little text for one row of {settings.block_size}"
            )
        writer.description = {
            "split": job.split,
            "epochs": job.epochs,
            "first_row_of_epoch": first_rows,
            "settings": dataclasses.asdict(settings),
            "tokenizer_sha256": sha256_of(job.tokenizer),
            "corpus_manifest_sha256": sha256_of(job.corpus / MANIFEST),
            "counts": dict(sorted(counts.items())),
        }
        n_rows = writer.n_rows
    return {"rows": n_rows, "block_size": settings.block_size, **writer.description}


def _groups(split: Split, settings: PackSettings) -> range:
    return range(n_groups(len(split), settings))


class _Worker:
    """What a worker process keeps open between groups."""

    def __init__(self, job: PackJob, settings: PackSettings) -> None:
        self._split = Split(job.corpus, job.split)
        self._neighbours = CrossFileSnippets(self._split.files_of)
        self._tokenizer = Tokenizer.from_file(job.tokenizer)
        self._settings = settings

    def pack(self, epoch: int, group: int) -> Packed:
        return pack_group(
            self._split,
            self._tokenizer,
            self._settings,
            epoch=epoch,
            group=group,
            neighbours=self._neighbours,
        )


_worker: _Worker | None = None  # set once in each worker process


def _start_worker(job: PackJob, settings: PackSettings) -> None:
    global _worker
    _worker = _Worker(job, settings)


def _pack_in_worker(task: tuple[int, int]) -> Packed:
    assert _worker is not None
    return _worker.pack(*task)


def _packed(tasks: list[tuple[int, int]], job: PackJob, settings: PackSettings) -> Iterator[Packed]:
    """Yield the rows of each task, in order; a bounded number is worked on or waits."""
    n_workers = min(job.processes, len(tasks))
    if n_workers <= 1:
        worker = _Worker(job, settings)
        yield from (worker.pack(epoch, group) for epoch, group in tasks)
        return
    yield from in_order(
        _pack_in_worker,
        tasks,
        processes=n_workers,
        start=_start_worker,
        arguments=(job, settings),
    )


if __name__ == "__main__":
    raise SystemExit(main())
