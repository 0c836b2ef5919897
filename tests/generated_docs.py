"""Tables of the documentation that tests measure: written on demand, read to be checked.

A page marks a table's place by `<!-- NAME -->` and `<!-- /NAME -->`. With FORETYPE_WRITE_DOCS set,
tests that were wholly run write their tables there.
"""

import os
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
WRITES = bool(os.environ.get("FORETYPE_WRITE_DOCS", ""))  # read now: tests run without ours


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written(page: str, name: str) -> str:
    """Return what stands at a table's place."""
    text = (DOCS / page).read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    assert text.count(start) == text.count(end) == 1, f"{page} has no place for {name}"
    return text.partition(start)[2].partition(end)[0]


def write(page: str, name: str, table: str) -> None:
    """Put `table` in its place."""
    old = written(page, name)
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    start = f"<!-- {name} -->\n"
    path.write_text(text.replace(start + old, start + table, 1), encoding="utf-8")
