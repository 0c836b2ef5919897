"""The funnel as a picture, and `foretype data funnel`, which shows it again for a prepared corpus.

One SVG without script or font of its own, so any browser shows it. For each reason a bar of what
was left after it, with what it took away in a lighter colour; files on the left, megabytes on the
right. Knows only the rows of `training.data.funnel`.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.corpus import CorpusError, read_manifest
from training.data.corpus_stats import summary
from training.data.funnel import FUNNEL

_ROW, _BAR = 24, 16  # pixels down
_LABEL, _PLOT, _GAP, _NUMBER = 190, 300, 30, 120  # pixels across
_TOP = 56
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.head{font-weight:600}.left{fill:#2f6f9f}"
    ".gone{fill:#c9dbe8}.note{fill:#666}rect.page{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.note{fill:#999}rect.page{fill:#1b1d20}"
    ".left{fill:#6aa9d6}.gone{fill:#34506a}}"
)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="foretype data funnel",
        description="Show what a corpus was made of, and why files were left out.",
    )
    parser.add_argument("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    args = parser.parse_args(argv)
    try:
        manifest = _manifest(args.corpus)
    except CorpusError as error:
        sys.stderr.write(f"foretype data funnel: {error}\n")
        return 1
    sys.stdout.write(summary(manifest))
    if (args.corpus / FUNNEL).is_file():
        sys.stdout.write(f"plot: {args.corpus / FUNNEL}\n")
    return 0


def _manifest(corpus: Path) -> dict[str, Any]:
    manifest = read_manifest(corpus)
    if "funnel" not in manifest:
        raise CorpusError(f"{corpus} was prepared without a funnel; prepare it again")
    return manifest


def funnel_svg(rows: Sequence[Mapping[str, Any]], title: str = "From sources to corpus") -> str:
    """Return the picture of a funnel's rows."""
    width = _LABEL + 2 * (_PLOT + _NUMBER) + _GAP
    height = _TOP + _ROW * len(rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f'<style>{_STYLE}</style><rect class="page" width="{width}" height="{height}"/>',
        _text(12, 24, title, "head"),
        _text(_LABEL, _TOP - 10, "files left", "note"),
        _text(_LABEL + _PLOT + _NUMBER + _GAP, _TOP - 10, "MB left", "note"),
    ]
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number
        label = _text(_LABEL - 10, y + 13, str(row["step"]), "", anchor="end")
        parts += [label, *_bar(rows, row, "files", _LABEL, y)]
        parts += _bar(rows, row, "bytes", _LABEL + _PLOT + _NUMBER + _GAP, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(
    rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any], what: str, x: int, y: int
) -> list[str]:
    """Return the bar of what is left of files or bytes, and of what went; then both as numbers."""
    most = max((each[f"{what}_left"] for each in rows), default=0) or 1
    left = _PLOT * max(0, row[f"{what}_left"]) / most
    gone = min(_PLOT - left, _PLOT * max(0, row[what]) / most)
    scale, form = (1, "{:,.0f}") if what == "files" else (1e6, "{:,.1f}")
    number = form.format(row[f"{what}_left"] / scale)
    if row["files"]:
        number += f" (-{form.format(row[what] / scale)})"
    return [
        f'<rect class="left" x="{x}" y="{y}" width="{left:.1f}" height="{_BAR}"/>',
        f'<rect class="gone" x="{x + left:.1f}" y="{y}" width="{gone:.1f}" height="{_BAR}"/>',
        _text(x + left + gone + 6, y + 13, number, "note"),
    ]


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{html.escape(text)}</text>"
    )
