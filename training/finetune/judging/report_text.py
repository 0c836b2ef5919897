"""A judgement as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from training.evaluation.replay.report_text import percent, ranged
from training.finetune.judging.judging import ALL_LINES, BASE, TUNED, system_name

Report = dict[str, Any]

_LINES = {ALL_LINES: "", "new": ", new lines", "seen elsewhere": ", seen lines"}


def table(report: Report) -> str:
    """Return the judgement as text: the decision, the 2x2, what it was decided by."""
    parts = (_decision, _cells, _gains, _bits, _refit)
    return "\n\n".join("\n".join(part(report)) for part in parts).rstrip() + "\n"


def decision(report: Report) -> str:
    """Return the decision as a sentence."""
    if report["promoted"]:
        return "The tuned model is better by the stated margins: it takes the base's place here."
    return "The tuned model is not better by the stated margins: the base stays."


def _decision(report: Report) -> Iterator[str]:
    [repository] = report["replay"]["repositories"]
    commits = repository["commits"]
    yield (
        f"{report[TUNED]['name']} against {report[BASE]['name']} on {repository['name']}:"
        f" {repository['tasks']} cursors in {commits} judged commit{'s' * (commits != 1)}"
    )
    yield decision(report)
    yield from (f"  {reason}" for reason in report["reasons"])


def _cells(report: Report) -> Iterator[str]:
    row = "{:<18}{:<24}{:<24}{:>12}  {:<24}".format
    yield row("", "exact line [95%]", "right [95%]", "surer half", "characters saved")
    for name in (BASE, TUNED):
        for memory in (False, True):
            system = system_name(name, memory=memory)
            its = report["replay"]["systems"][system]
            half = (its["when_half_is_shown"] or {}).get("right")
            yield row(
                system, ranged(its["exact"]), ranged(its["right"]), percent(half),
                ranged(its["saved"]),
            ).rstrip()  # fmt: skip


def _gains(report: Report) -> Iterator[str]:
    yield "tuned less base, cursor by cursor, in points"
    for each in report["gains"]:
        if each["metric"] in ("similarity", "right"):
            continue
        yield f"  {gain_label(each):<46}{points(each)}"


def gain_label(gain: Report) -> str:
    """Say what a difference is of."""
    lines = _LINES[gain["lines"]]
    return f"{gain['metric']}, memory {'on' if gain['memory'] else 'off'}{lines}"


def points(gain: Report) -> str:
    """Return a difference with its range, in points."""
    return f"{100 * gain['mean']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"


def nats(gain: Report) -> str:
    """Return a difference of losses with its range."""
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


def _bits(report: Report) -> Iterator[str]:
    yield f"{'bits a byte':<26}{'base':>8}{'tuned':>8}  {'gain':<24}"
    for label, cells in bits_rows(report):
        yield f"  {label:<24}{cells[0]:>8}{cells[1]:>8}  {cells[2]}"


def _refit(report: Report) -> Iterator[str]:
    if its := report.get("refit"):
        yield refitted(its)


def refitted(refit: Report) -> str:
    """Say which parameters rank and gate the tuned model's suggestions."""
    return (
        f"refitted on the development commits: ranker {refit['ranker']}, gate {refit['gate']}"
        f" ({refit['cursors']} cursors in {refit['commits']} commits): {refit['reason']}"
    )


def bits_rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Yield a label, bits/byte of base and tuned, and the gain with its range, in percent."""
    labels = {"later": "lines added later", "general": "general code"}
    general = report["general_base" if "general_base" in report else BASE]  # older: no such entry
    if general != report[BASE]:
        labels["general"] += f" (base: {general['name']})"
    for key, label in labels.items():
        its = report["bits"][key]
        gain = its["gain"]
        ranged_gain = (
            f"{100 * gain['mean']:+.1f}% [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        )
        yield label, [f"{its[BASE]['mean']:.4f}", f"{its[TUNED]['mean']:.4f}", ranged_gain]
