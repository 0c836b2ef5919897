"""The report as one page that needs nothing else: the tables as text, and two plots as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from training.evaluation.replay.report_tables import format_report
from training.plots import make_page, plot_lines


def format_page(report: Mapping[str, Any]) -> str:
    """Return the page."""
    plan = ", ".join(f"{key} {value}" for key, value in report["plan"].items())
    hashes = ", ".join(each[:12] for each in report["content_hash"].split(", "))
    made_by = f"Model {report['model']} ({hashes}); {plan}"
    systems = report["systems"].items()
    shown = {
        name: [(point["shown"], point["right"]) for point in its["curve"]] for name, its in systems
    }
    claimed = {
        name: [(one["claimed"], one["right"]) for one in its["reliability"]]
        for name, its in systems
        if its.get("reliability")
    }
    title = "Right of what is shown, the surest first"
    plots = plot_lines(title, ("shown", "right"), shown, percent=True, dots=True)
    if claimed:
        title = "Reliability: on the diagonal, claimed probabilities are true"
        axes = ("claimed", "right")
        plots += plot_lines(title, axes, claimed, percent=True, diagonal=True, dots=True)
    return make_page(
        f"{report['model']}: replay of later commits",
        f"<pre>{escape(format_report(dict(report)))}</pre>{plots}<p>{escape(made_by)}</p>",
    )
