"""A judgement as one page that needs nothing else: the decision, the gains, the whole replay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from training.evaluation.replay import report_plots as plots
from training.evaluation.replay.report_html import document, escaped, figure, sections, table
from training.evaluation.replay.report_plots import Bar
from training.finetune.judging.judging import BASE, TUNED
from training.finetune.judging.report_text import (
    bits_rows,
    decision,
    gain_label,
    nats,
    points,
    refitted,
)

Report = dict[str, Any]

_PLOTTED = ("exact", "saved")


def page(report: Report) -> str:
    """Return the page."""
    title = f"{report[TUNED]['name']} against {report[BASE]['name']}"
    return document(
        title,
        [
            f"<p><strong>{escaped(decision(report))}</strong></p>",
            f"<ul>{''.join(f'<li>{escaped(reason)}</li>' for reason in report['reasons'])}</ul>",
            "<h2>What tuning changed</h2>",
            _gain_plot(report),
            table(
                ("tuned less base", "cursors", "points [95%]"),
                [[gain_label(each), str(each["tasks"]), points(each)] for each in report["gains"]],
            ),
            "<h2>Bits a byte</h2>",
            table(
                ("", BASE, TUNED, "gain [95%]"),
                [[label, *cells] for label, cells in bits_rows(report)],
            ),
            *_refit(report),
            "<h2>The replay: both models, with memory and without</h2>",
            *sections(report["replay"]),
        ],
    )


def _gain_plot(report: Report) -> str:
    shown = [
        Bar(
            label=gain_label(each),
            **{key: each[key] for key in ("mean", "low", "high")},
        )
        for each in report["gains"]
        if each["metric"] in _PLOTTED
    ]
    caption = "Tuned less base, in points, with 95% intervals over commits: right of 0 is better"
    drawn = figure(caption, plots.ranges("What tuning changed", shown))
    return f'<div class="plots">{drawn}</div>'


def _refit(report: Report) -> Iterator[str]:
    if not (its := report.get("refit")):
        return
    yield f"<h2>Ranker and gate</h2><p>{escaped(refitted(its))}</p>"
    rows = [
        [
            ways,
            *(f"{found[key]:.4f}" for key in ("ranking", "claim")),
            nats(found["gain"]),
            points(found["exact_gain"]),
        ]
        for ways, found in its["tried"].items()
    ]
    if rows:
        head = ("ranker / gate", "ranking, nats", "claim, nats", "gain [95%]", "exact, points")
        yield table(head, rows)
