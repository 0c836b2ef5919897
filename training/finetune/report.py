"""A judgement as text for a terminal: the decision, the 2x2, what it was decided by."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from training.evaluation.intervals import format_percent, format_points
from training.evaluation.replay.report import Report
from training.evaluation.replay.report_tables import WIDTH, format_range, format_table
from training.finetune.judge import ALL_LINES, BASE, TUNED, system_name

_LINES = {ALL_LINES: "", "new": ", new lines", "seen elsewhere": ", seen lines"}


def format_report(report: Report) -> str:
    """Return the judgement as text; what was decided stands first and last."""
    parts = (_decision, _systems, _gains, _bits, _refit)
    return "\n\n".join("\n".join(part(report)) for part in parts).rstrip() + "\n"


def _decision(report: Report) -> Iterator[str]:
    [repository] = report["replay"]["repositories"]
    commits = repository["commits"]
    yield (
        f"{report[TUNED]['name']} against {report[BASE]['name']} on {repository['name']}:"
        f" {repository['tasks']} cursors in {commits} judged commit{'s' * (commits != 1)}"
    )
    if report["promoted"]:
        yield "The tuned model is better by the stated margins: it takes the base's place here."
    else:
        yield "The tuned model is not better by the stated margins: the base stays."
    for reason in report["reasons"]:
        yield textwrap.fill(f"- {reason}", WIDTH, subsequent_indent="  ")


def _systems(report: Report) -> Iterator[str]:
    names = [system_name(name, has_index=has) for name in (BASE, TUNED) for has in (False, True)]
    rows = []
    for name in names:
        its = report["replay"]["systems"][name]
        half = (its["when_half_is_shown"] or {}).get("right")
        figures = [format_range(its[metric]) for metric in ("exact", "right", "saved")]
        rows.append([name, *figures, format_percent(half)])
    head = ("", "exact line", "right", "characters\nsaved", "right in the\nsurer half")
    yield from format_table("what each has, with 95% ranges", head, rows)


def _gains(report: Report) -> Iterator[str]:
    yield "tuned minus base, paired by cursor, in points"
    for gain in report["gains"]:
        if gain["metric"] != "right":
            index = "with index" if gain["index"] else "without index"
            label = f"{gain['metric']}, {index}{_LINES[gain['lines']]}"
            yield f"  {label:<38}{format_points(gain)}"


def _bits(report: Report) -> Iterator[str]:
    yield f"{'bits per byte':<26}{'base':>8}{'tuned':>8}  fewer, in percent"
    labels = {"later": "lines added later", "general": "general code"}
    if report["general_base"] != report[BASE]:
        labels["general"] += f" (base: {report['general_base']['name']})"
    for key, label in labels.items():
        its = report["bits"][key]
        yield f"  {label:<24}{its[BASE]:>8.4f}{its[TUNED]:>8.4f}  {format_points(its['gain'])}"


def _refit(report: Report) -> Iterator[str]:
    if refit := report.get("refit"):
        yield textwrap.fill(
            f"ranker {refit['ranker']}, gate {refit['gate']} after the development commits"
            f" ({refit['cursors']} cursors in {refit['commits']} commits): {refit['reason']}",
            WIDTH,
        )
