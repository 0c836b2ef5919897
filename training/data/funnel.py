"""The manifest of a corpus: what each source gave, what was refused and why, as JSON and as text.

A source's row is made when its files are written; the totals are sums over rows. The funnel says
how many files came in, what each reason took away, and what was left. `foretype data
funnel` shows it for a prepared corpus. Writes no file.
"""

import argparse
import dataclasses
import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.cli import report_mistakes
from training.data.collect import Collected, Kept, Rules
from training.data.corpus import SPLITS, read_manifest
from training.data.sources import Source

MAX_HITS_LISTED = 1000
_PATH_SETTINGS = ("sources", "never_train", "evaluation_repositories", "evaluation_sources")


def main(argv: list[str]) -> int:
    """Run `foretype data funnel`; a user's mistake is one line on stderr."""
    text = "Show what a corpus was made of, and why files were left out."
    parser = argparse.ArgumentParser(prog="foretype data funnel", description=text)
    parser.add_argument("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    corpus: Path = parser.parse_args(argv).corpus
    show = sys.stdout.write
    return report_mistakes("data funnel", lambda: show(format_summary(read_manifest(corpus))))


def source_row(
    source: Source, collected: Collected, kept: Sequence[Kept], held_out: Sequence[Kept]
) -> dict[str, Any]:
    """Return the manifest's row of a source, of whose files `kept` came into the corpus.

    `held_out` are those of them that are in `validation`.
    """
    return {
        "name": source.name,
        "commit": source.commit,
        "files_sha256": _digest(kept),
        "licence": collected.licence,
        "refused": collected.refused,
        "split": SPLITS[bool(held_out) and len(held_out) == len(kept)],
        "files_seen": collected.n_seen,
        "files": len(kept),
        "bytes": sum(file.n_bytes for file in kept),
        "files_held_out": len(held_out),
        "bytes_held_out": sum(file.n_bytes for file in held_out),
        "files_scrubbed": sum(bool(file.scrubbed) for file in kept),
        "scrubbed": _sum(file.scrubbed for file in kept),
        "reasons": _sum([collected.refusals]),
    }


def _digest(files: Iterable[Kept]) -> str:
    """Return one hash of the files taken, by path: a folder has no commit that would pin them."""
    digest = hashlib.sha256()
    for kept in sorted(files, key=lambda kept: kept.path):
        digest.update(f"{kept.sha256}  {kept.path}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def make_manifest(
    rows: list[dict[str, Any]], refused: Mapping[str, str], rules: Rules, hits: list[dict[str, str]]
) -> dict[str, Any]:
    """Return the whole manifest; `refused` are the sources that were not even opened."""
    used = [row for row in rows if not row["refused"]]
    kept, held_out = (
        {what: sum(row[f"{what}{end}"] for row in used) for what in ("files", "bytes")}
        for end in ("", "_held_out")
    )
    return {
        "settings": _settings(rules),
        "totals": {
            "sources": len(rows) + len(refused),
            "sources_refused": len(refused) + len(rows) - len(used),
            "files_seen": sum(row["files_seen"] for row in used),
            "train": {what: n - held_out[what] for what, n in kept.items()},
            "validation": held_out,
        },
        "reasons": _sum(row["reasons"] for row in used),
        "scrubbed": {
            "files": sum(row["files_scrubbed"] for row in rows),
            "kinds": _sum(row["scrubbed"] for row in rows),
        },
        "evaluation": {
            "blocked_files": len(rules.blocked),
            "benchmark_runs": len(rules.overlap),
            "n_hits": len(hits),
            "hits": hits[:MAX_HITS_LISTED],
        },
        "refused_by_name": [
            {"name": name, "refused": why} for name, why in sorted(refused.items())
        ],
        "sources": rows,
    }


def format_summary(manifest: Mapping[str, Any]) -> str:
    """Return the manifest for reading: what each reason took away, what is kept and replaced."""
    totals, scrubbed = manifest["totals"], manifest["scrubbed"]
    kept = [(split, *totals[split].values()) for split in SPLITS]
    lines = [
        f"{totals['sources']:>9} sources, of which {totals['sources_refused']} refused",
        f"{totals['files_seen']:>9} files seen",
        *(f"{-n:>9} {why}" for why, n in manifest["reasons"].items()),
        *(f"{n:>9} files in {split}, {n_bytes / 1e6:.1f} MB" for split, n, n_bytes in kept),
        f"{scrubbed['files']:>9} files with secrets or personal data, which were replaced:",
        *(f"{n:>9} {kind}" for kind, n in scrubbed["kinds"].items()),
    ]
    return "\n".join(lines) + "\n"


def _settings(rules: Rules) -> dict[str, Any]:
    """Return the recipe; where files lay on this machine is nobody's business."""
    settings = dataclasses.asdict(rules.recipe)
    for key in _PATH_SETTINGS:  # what they were is in the rows
        settings[key] = len(settings[key])
    settings["benchmarks"] = sorted(Path(path).name for path in rules.recipe.benchmarks)
    return settings


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of counts, the largest first; equal ones in the alphabet's order."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
