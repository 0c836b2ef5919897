"""The report's tables, once for the terminal and the page, and the terminal's rendering of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from training.evaluation.intervals import format_interval, format_percent

Report = dict[str, Any]

_METRICS = {
    "exact": "exact line", "right": "right", "similarity": "similarity", "saved": "characters saved"
}  # fmt: skip
_SAVED = ("characters saved", "wrong in 100 characters")


class Table(NamedTuple):
    """Rows of plain texts under a head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def format_report(report: Report) -> str:
    """Return the report as text for a terminal."""
    commits = sum(item["commits"] for item in report["repositories"])
    names = ", ".join(item["name"] for item in report["repositories"])
    tasks = sum(item["tasks"] for item in report["repositories"])
    what = "1 later commit" if commits == 1 else f"{commits} later commits"
    lines = [f"{report['model']} on {names}: {tasks} cursors in {what}"]
    if not report["is_complete"]:
        lines.append(f"NOT COMPLETE: {report['stopped']}; these are the figures until then.")
    lines += [f"skipped: {reason}" for reason in report["skipped"]]
    for table in make_tables(report):
        lines += ["", table.title, *_align([table.head, *table.rows])]
    return "\n".join(lines) + "\n"


def _align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    sides = [">" if title else "<" for title in rows[0]]  # labels have no title
    for row in rows:
        cells = zip(row, sides, widths, strict=True)
        yield "".join(f"  {cell:{side}{width}}" for cell, side, width in cells).rstrip()


def make_tables(report: Report) -> list[Table]:
    """Return all tables, the most important first."""
    makers = (_systems, _times, _thresholds, _splits, _differences, _repositories)
    return [table for make in makers if (table := make(report)).rows]


def _systems(report: Report) -> Table:
    metrics = ("exact", "right", "similarity", "offered", "precision", "saved")
    ranged = ("exact", "right", "saved")
    rows = [
        [name]
        + [(format_interval if key in ranged else format_percent)(its[key]) for key in metrics]
        + [_number(its["wrong_per_100_chars"])]
        for name, its in report["systems"].items()
    ]
    head = ("", "exact line", "right", "similarity", "shown", "right of shown", *_SAVED)
    return Table("systems, means with 95% ranges", head, rows)


def _times(report: Report) -> Table:
    kinds = {"cold": "document just opened", "typing": "while typing"}
    rows = [
        [name, label, *(_number(its[f"{kind}_ms"][key]) for key in ("p50", "p95"))]
        + [_number(its[f"{kind}_cpu_ms"][key]) for key in ("p50", "p95")]
        for name, its in report["systems"].items()
        for kind, label in kinds.items()
        if its[f"{kind}_ms"]
    ]
    head = ("", "", "median", "95th percentile", "CPU time, median", "95th percentile")
    return Table("milliseconds to answer", head, rows)


def _thresholds(report: Report) -> Table:
    """What is shown at each setting of `show`, and at the half of cursors that is surest."""
    rows = []
    for name, its in report["systems"].items():
        if half := its["when_half_is_shown"]:
            means = (format_interval(half["right"]), format_percent(half["exact"]))
            rows.append([name, "the surer half", "-", "50.0%", *means, "-", "-", "-"])
        for level, figures in its.get("show", {}).items():
            least = sorted(set(figures["thresholds"].values()))
            rows.append(
                [
                    name,
                    f"show = {level}",
                    ", ".join(f"{value:.2f}" for value in least),
                    format_percent(figures["shown"]),
                    format_interval(figures["precision"]),
                    format_percent(figures["exact_precision"]),
                    format_percent(figures["right_but_hidden"]),
                    format_interval(figures["saved"]),
                    _number(figures["wrong_per_100_chars"]),
                ]
            )
    head = (
        "", "", "from probability", "shown", "right of shown", "exact of shown",
        "right but hidden", *_SAVED,
    )  # fmt: skip
    return Table("when only the surer suggestions are shown", head, rows)


def _splits(report: Report) -> Table:
    strata = [its["strata"] for its in report["systems"].values()]
    rows = [
        [f"{split}: {value}", str(figures["tasks"])]
        + [format_interval(its[split][value].get("exact")) for its in strata]
        for split, values in strata[0].items()
        for value, figures in values.items()
    ]
    return Table("exact line by kind of cursor", ("", "cursors", *report["systems"]), rows)


def _differences(report: Report) -> Table:
    rows = [
        [
            f"{found['left']} against {found['right']}",
            _METRICS[found["metric"]],
            f"{100 * found['mean']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]",
        ]
        for found in report["differences"]
    ]
    return Table("differences, cursor by cursor", ("", "", "points, with 95% range"), rows)


def _repositories(report: Report) -> Table:
    keys = ("commits", "tasks", "lines")
    rows = [[item["name"], *(str(item[key]) for key in keys)] for item in report["repositories"]]
    return Table("what was replayed", ("", "commits", "cursors", "lines typed"), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
