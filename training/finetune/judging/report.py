"""A judgement as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from training.evaluation.intervals import format_interval, format_percent
from training.finetune.judging.judge import ALL_LINES, BASE, TUNED, Report, system_name

_LINES = {ALL_LINES: "", "new": ", new lines", "seen elsewhere": ", seen lines"}
_NOT_SHOWN = ("similarity", "right")  # of the metrics


def format_report(report: Report) -> str:
    """Return the judgement as text: the decision, the 2x2, what it was decided by."""
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
    yield from (f"  {reason}" for reason in report["reasons"])


def _systems(report: Report) -> Iterator[str]:
    row = "{:<18}{:<24}{:<24}{:>12}  {:<24}".format
    yield row("", "exact line [95%]", "right [95%]", "surer half", "characters saved")
    for name in (BASE, TUNED):
        for has_index in (False, True):
            system = system_name(name, has_index=has_index)
            its = report["replay"]["systems"][system]
            half = (its["when_half_is_shown"] or {}).get("right")
            yield row(
                system,
                *(format_interval(its[metric]) for metric in ("exact", "right")),
                format_percent(half),
                format_interval(its["saved"]),
            ).rstrip()


def _gains(report: Report) -> Iterator[str]:
    yield "tuned minus base, paired by cursor, in points"
    for gain in report["gains"]:
        if gain["metric"] not in _NOT_SHOWN:
            index = "with index" if gain["index"] else "without index"
            label = f"{gain['metric']}, {index}{_LINES[gain['lines']]}"
            mean, low, high = (100 * gain[key] for key in ("mean", "low", "high"))
            yield f"  {label:<46}{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _bits(report: Report) -> Iterator[str]:
    yield f"{'bits per byte':<26}{'base':>8}{'tuned':>8}  gain"
    labels = {"later": "lines added later", "general": "general code"}
    if report["general_base"] != report[BASE]:
        labels["general"] += f" (base: {report['general_base']['name']})"
    for key, label in labels.items():
        its = report["bits"][key]
        mean, low, high = (100 * its["gain"][part] for part in ("mean", "low", "high"))
        yield (
            f"  {label:<24}{its[BASE]['mean']:>8.4f}{its[TUNED]['mean']:>8.4f}"
            f"  {mean:+.1f}% [{low:+.1f}, {high:+.1f}]"
        )


def _refit(report: Report) -> Iterator[str]:
    if refit := report.get("refit"):
        yield (
            f"ranker {refit['ranker']}, gate {refit['gate']} after the development commits"
            f" ({refit['cursors']} cursors in {refit['commits']} commits): {refit['reason']}"
        )
