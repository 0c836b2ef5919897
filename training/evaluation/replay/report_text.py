"""The report as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.evaluation.intervals import Interval

_WIDTH = 16  # of the first column


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [_head(report)]
    if not report["is_complete"]:
        lines.append(f"NOT COMPLETE: {report['stopped']}; these are the figures until then.")
    lines += [f"skipped: {reason}" for reason in report["skipped"]]
    lines += ["", *_systems(report), "", *_splits(report)]
    lines += ["", *_differences(report), *_settings(report)]
    return "\n".join(lines) + "\n"


def _head(report: dict[str, Any]) -> str:
    tasks = sum(item["tasks"] for item in report["repositories"])
    commits = sum(item["commits"] for item in report["repositories"])
    names = ", ".join(item["name"] for item in report["repositories"])
    what = "1 later commit" if commits == 1 else f"{commits} later commits"
    return f"{report['model']} on {names}: {tasks} cursors in {what}"


def _systems(report: dict[str, Any]) -> list[str]:
    row = "{:<16}{:<22}{:<22}{:>9}{:>8}  {:<20}{:>8}{:>8}{:>8}".format
    lines = [
        row("", "exact line [95%]", "right [95%]", "similar", "shown", "characters saved", "p50 ms",
            "p95 ms", "cpu ms")
    ]  # fmt: skip
    for name, found in report["systems"].items():
        cold = found["cold_ms"]
        figures = [ranged(found[metric]) for metric in ("exact", "right")]
        lines.append(
            row(name, *figures, percent(found["similarity"]), percent(found["offered"]),
                ranged(found["saved"]), f"{cold['p50']:.1f}", f"{cold['p95']:.1f}",
                f"{found['cold_cpu_ms']['p50']:.1f}")
        )  # fmt: skip
    return lines


def _splits(report: dict[str, Any]) -> list[str]:
    names = list(report["systems"])
    lines = ["exact line by".ljust(26) + f"{'cursors':>8}" + _columns(names)]
    strata = {name: report["systems"][name]["strata"] for name in names}
    for split, values in strata[names[0]].items():
        for value, figures in values.items():
            cells = [percent(strata[name][split][value].get("exact")) for name in names]
            label = f"  {split}: {value}"
            lines.append(f"{label[:25]:<26}{figures['tasks']:>8}" + _columns(cells))
    return lines


def _columns(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>{_WIDTH}}" for cell in cells)


def _differences(report: dict[str, Any]) -> list[str]:
    lines = ["differences, cursor by cursor, in points"]
    for found in report["differences"]:
        if found["metric"] in ("exact", "saved"):
            what = {"exact": "exact line", "saved": "characters saved"}[found["metric"]]
            lines.append(
                f"  {found['left']} - {found['right']}, {what}: {100 * found['mean']:+.1f}"
                f" [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"
            )
    return lines


def _settings(report: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, found in report["systems"].items():
        if half := found["when_half_is_shown"]:
            lines.append(
                f"{name}: of the surer half of cursors {percent(half['right'])} right,"
                f" {percent(half['exact'])} exact"
            )
    lines = ["", *lines] if lines else []
    for name, found in report["systems"].items():
        for level, its in found.get("show", {}).items():
            lines.append(
                f"{name}, show = {level}: {percent(its['shown'])} shown,"
                f" {percent(its['precision'])} of that right,"
                f" {percent(its['saved'])} of characters saved"
            )
    return lines


def percent(value: dict[str, float] | float | None) -> str:
    """Return a share or an interval's mean, "-" for none."""
    mean = value["mean"] if isinstance(value, dict) else value
    return "-" if mean is None else f"{100 * mean:.1f}%"


def ranged(value: dict[str, float] | None) -> str:
    """Return a mean with its range, if it has one: one commit alone says nothing of others."""
    if value is None or value["low"] == value["high"]:
        return percent(value)
    return str(Interval(**value))
