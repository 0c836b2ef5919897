"""The manifest of a corpus: what each source gave, what was refused and why, as JSON and as text.

A source's row is made when its files are written; the totals are sums over rows. The funnel says
how many files and bytes came in, what each reason took away, and what was left. Its reasons stand
in the order in which they are asked, so every row's rest is what the next one saw (but for a
repository's cap, which ends the reading of it). `foretype data funnel` shows it for a prepared
corpus. Writes no file.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.cli import report_mistakes
from training.data.collect import Collected, Kept, Refusals, Rules
from training.data.corpus import SPLITS, CorpusError, read_manifest

MAX_HITS_LISTED = 1000
_PATH_SETTINGS = ("sources", "never_train", "evaluation_repositories", "evaluation_sources")
_NAME_SETTINGS = ("evaluation_hashes", "benchmarks")

# In the order of `training.data.collect` and `training.data.dedup`.
ORDER = (
    "secret by its name",
    "vendored",
    "migration or data",
    "too small",
    "too large",
    "test not sampled",
    "repository byte cap",
    "unreadable",
    "evaluation file",
    "undecodable",
    "minified",
    "long lines",
    "generated",
    "markup",
    "few letters",
    "data as code",
    "licence header",
    "benchmark overlap",
    "duplicate",
    "near an evaluation file",
    "near duplicate",
)


def main(argv: list[str]) -> int:
    """Run `foretype data funnel`; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="foretype data funnel",
        description="Show what a corpus was made of, and why files were left out.",
    )
    parser.add_argument("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    corpus: Path = parser.parse_args(argv).corpus
    return report_mistakes("data funnel", lambda: _show(corpus))


def _show(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    if "funnel" not in manifest:
        raise CorpusError(f"{corpus} was prepared without a funnel; prepare it again")
    sys.stdout.write(format_summary(manifest))


def source_row(
    collected: Collected, kept: Sequence[Kept], refusals: Refusals, held_out: Sequence[Kept]
) -> dict[str, Any]:
    """Return the manifest's row of a source, of whose files `kept` came into the corpus.

    `held_out` are those of them that are in `validation`.
    """
    source = collected.source
    scrubbed = _summed(file.scrubbed for file in kept)
    return {
        **{name: getattr(source, name) for name in ("name", "kind", "commit", "version", "sha256")},
        "files_sha256": _digest(kept),
        "licence": collected.licence,
        "refused": collected.refused,
        "split": SPLITS[bool(held_out) and len(held_out) == len(kept)],
        "files_seen": collected.n_seen,
        "bytes_seen": collected.n_bytes_seen,
        "files": len(kept),
        "bytes": sum(len(file.text) for file in kept),
        "files_held_out": len(held_out),
        "bytes_held_out": sum(len(file.text) for file in held_out),
        "lines": sum(file.text.count(b"\n") for file in kept),
        "lines_scrubbed": sum(file.n_lines_scrubbed for file in kept),
        "files_scrubbed": sum(bool(file.scrubbed) for file in kept),
        "scrubbed": dict(sorted(scrubbed.items())),
        "reasons": dict(sorted(refusals.files.items())),
        "refused_bytes": dict(sorted(refusals.bytes.items())),
    }


def _digest(files: Iterable[Kept]) -> str:
    """Return one hash of the files taken, by path: a folder has no commit that would pin them."""
    digest = hashlib.sha256()
    for kept in sorted(files, key=lambda kept: kept.path):
        digest.update(f"{kept.sha256}  {kept.path}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def make_manifest(
    rows: list[dict[str, Any]],
    refused: Mapping[str, str],
    rules: Rules,
    hits: list[dict[str, str]],
) -> dict[str, Any]:
    """Return the whole manifest; `refused` are the sources that were not even opened."""
    used = [row for row in rows if not row["refused"]]
    seen, kept, held_out = (
        {what: sum(row[f"{what}{end}"] for row in used) for what in ("files", "bytes")}
        for end in ("_seen", "", "_held_out")
    )
    reasons, refused_bytes = (
        _summed(row[name] for row in used) for name in ("reasons", "refused_bytes")
    )
    return {
        "settings": _settings(rules),
        "totals": {
            "sources": len(rows) + len(refused),
            "sources_refused": len(refused) + len(rows) - len(used),
            **{f"{what}_seen": n for what, n in seen.items()},
            "train": {what: n - held_out[what] for what, n in kept.items()},
            "validation": held_out,
        },
        "reasons": dict(reasons.most_common()),
        "funnel": funnel_rows(seen, Refusals(files=reasons, bytes=refused_bytes), kept),
        "scrubbed": {
            "files": sum(row["files_scrubbed"] for row in rows),
            "lines": sum(row["lines_scrubbed"] for row in rows),
            "of_lines": sum(row["lines"] for row in rows),
            "kinds": dict(_summed(row["scrubbed"] for row in rows).most_common()),
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


def funnel_rows(
    seen: Mapping[str, int], refusals: Refusals, kept: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the table; `seen` and `kept` count files and bytes.

    Bytes kept are of scrubbed text with plain line ends, those before as they lay in the sources.
    """
    left = dict(seen)
    rows = [{"step": "seen", "files": 0, "bytes": 0, **_left(left)}]
    for reason in sorted(refusals.files, key=_order_of):
        lost = {"files": refusals.files[reason], "bytes": refusals.bytes[reason]}
        left = {what: n - lost[what] for what, n in left.items()}
        rows.append({"step": reason, **lost, **_left(left)})
    return [*rows, {"step": "kept", "files": 0, "bytes": 0, **_left(kept)}]


def _left(counts: Mapping[str, int]) -> dict[str, int]:
    return {f"{what}_left": n for what, n in counts.items()}


def format_funnel(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table for reading."""
    lines = ["    files        MB    files left   MB left"]
    for row in rows:
        refused = f"{-row['files']:>9} {-row['bytes'] / 1e6:>9.1f}" if row["files"] else " " * 19
        left = f"{row['files_left']:>13} {row['bytes_left'] / 1e6:>9.1f}"
        lines.append(f"{refused} {left}  {row['step']}")
    return "\n".join(lines) + "\n"


def format_summary(manifest: Mapping[str, Any]) -> str:
    """Return the manifest for reading: the funnel, the splits, what was scrubbed."""
    totals, scrubbed = manifest["totals"], manifest["scrubbed"]
    lines = [f"{totals['sources']:>9} sources, of which {totals['sources_refused']} refused"]
    lines += format_funnel(manifest["funnel"]).splitlines()
    for split in SPLITS:
        n_files, n_bytes = totals[split]["files"], totals[split]["bytes"]
        lines.append(f"{n_files:>9} files, {n_bytes / 1e6:.1f} MB in {split}")
    share = scrubbed["lines"] / max(1, scrubbed["of_lines"])
    lines.append(f"{scrubbed['lines']:>9} lines scrubbed ({share:.3%}):")
    lines += [f"{n:>9} {kind}" for kind, n in scrubbed["kinds"].items()]
    return "\n".join(lines) + "\n"


def _settings(rules: Rules) -> dict[str, Any]:
    """Return the recipe; where files lay on this machine is nobody's business."""
    settings = dataclasses.asdict(rules.recipe)
    for key in _PATH_SETTINGS:  # what they were is in the rows
        settings[key] = len(settings[key])
    for key in _NAME_SETTINGS:
        settings[key] = sorted(Path(path).name for path in settings[key])
    return settings


def _summed(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return Counter(dict(sorted(total.items())))  # equal counts are in the alphabet's order


def _order_of(reason: str) -> tuple[int, str]:
    return (ORDER.index(reason) if reason in ORDER else len(ORDER), reason)
