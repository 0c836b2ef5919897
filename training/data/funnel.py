"""The funnel: how many files and bytes came in, what each reason took away, and what was left.

Reasons stand in the order in which they are asked, so every row's rest is what the next one saw
(but for a repository's cap, which ends the reading of it). Knows no source and no text.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

# In the order of `training.data.collect` and `training.data.dedup`.
ORDER = (
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
    "few letters",
    "data as code",
    "licence header",
    "benchmark overlap",
    "duplicate",
    "near an evaluation file",
    "near duplicate",
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """Files and bytes by the reason against them."""

    files: Counter[str] = dataclasses.field(default_factory=Counter)
    bytes: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, reason: str, n_bytes: int) -> None:
        """Count one file."""
        self.files[reason] += 1
        self.bytes[reason] += n_bytes


def funnel_rows(
    seen: tuple[int, int], refusals: Iterable[Refusals], kept: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the table; `seen` and `kept` are (files, bytes).

    Bytes kept are of scrubbed text with plain line ends, those before as they lay in the sources.
    """
    total = Refusals()
    for each in refusals:
        total.files.update(each.files)
        total.bytes.update(each.bytes)
    n_files, n_bytes = seen
    rows = [_row("seen", 0, 0, seen)]
    for reason in sorted(total.files, key=_order_of):
        n_files -= total.files[reason]
        n_bytes -= total.bytes[reason]
        rows.append(_row(reason, total.files[reason], total.bytes[reason], (n_files, n_bytes)))
    return [*rows, _row("kept", 0, 0, kept)]


def format_funnel(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table for reading."""
    lines = ["    files        MB    files left   MB left"]
    for row in rows:
        refused = f"{-row['files']:>9} {-row['bytes'] / 1e6:>9.1f}" if row["files"] else " " * 19
        left = f"{row['files_left']:>13} {row['bytes_left'] / 1e6:>9.1f}"
        lines.append(f"{refused} {left}  {row['step']}")
    return "\n".join(lines) + "\n"


def _row(step: str, n_files: int, n_bytes: int, left: tuple[int, int]) -> dict[str, Any]:
    return {
        "step": step,
        "files": n_files,
        "bytes": n_bytes,
        "files_left": left[0],
        "bytes_left": left[1],
    }


def _order_of(reason: str) -> tuple[int, str]:
    return (ORDER.index(reason) if reason in ORDER else len(ORDER), reason)
