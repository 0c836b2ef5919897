"""The report as one page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from training.evaluation.replay import report_plots as plots
from training.evaluation.replay.report_tables import Table, make_tables

Report = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --quiet: #66707d; --rule: #d8dde3;
  --paper: #fff; --c0: #2463b8; --c1: #b3541e; --c2: #2c7d4f; --c3: #6f6f76; --c4: #8a4aa8;
  --c5: #a5862a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ec; --quiet: #9aa4b0; --rule: #3a424c;
  --paper: #14181d; --c0: #6aa5f0; --c1: #e8915c; --c2: #66bf8c; --c3: #a0a0a8; --c4: #c493de;
  --c5: #d9bd62; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
td { white-space: nowrap; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; } th { color: var(--quiet); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem; }
.plot { width: 100%; } .plot text { font-size: 12px; fill: var(--ink); }
.axis { stroke: var(--rule); fill: none; } .range { stroke: var(--ink); fill: none; }
.line { fill: none; stroke-width: 2; } .legend { list-style: none; padding: 0; display: flex;
  flex-wrap: wrap; gap: .2rem 1rem; } .warning { border-left: 4px solid var(--c1);
  padding: .3rem .8rem; } p, figcaption { color: var(--quiet); } figure { margin: 0; }
.wide { overflow-x: auto; }
""" + "".join(
    f".s{i} {{ fill: var(--c{i}); }} .line.s{i} {{ fill: none; stroke: var(--c{i}); }}\n"
    for i in range(plots.N_COLOURS)
)
_HOW = (
    "Cursors are uniform over the characters that later commits added; moved, indented and edited "
    "lines are left out. The document is the parent's file with one hunk typed down to the cursor, "
    "the tree is the parent's. Means are over repositories, with 95% bootstrap intervals over "
    "commits. Right is what the author could take as it stands: a beginning of the rest of the "
    "line of two characters or more, or all of it."
)


def format_page(report: Report) -> str:
    """Return the page."""
    title = escape(f"{report['model']}: replay of later commits")
    plan = ", ".join(f"{key} {value}" for key, value in report["plan"].items())
    made_by = f"Model {report['model']} ({report['content_hash'][:12]}); {plan}"
    body = [
        *_warnings(report),
        f"<p>{escape(_HOW)}</p>",
        _plots(report),
        *map(_table, make_tables(report)),
        f"<p>{escape(made_by)}.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1>{''.join(body)}</body></html>\n"
    )


def _warnings(report: Report) -> Iterable[str]:
    if not report["is_complete"]:
        yield (
            f'<p class="warning"><strong>Not complete</strong>: {escape(report["stopped"])}.'
            " These are the figures until then.</p>"
        )
    for reason in report["skipped"]:
        yield f'<p class="warning">Skipped: {escape(reason)}</p>'


def _plots(report: Report) -> str:
    systems: dict[str, Report] = report["systems"]
    drawn = [
        _bars("Exact rest of the line", systems, "exact"),
        _bars("Characters saved", systems, "saved"),
        _figure(
            "Precision by how much is shown, the surest first",
            plots.curves(
                "Precision and coverage",
                {
                    name: [(point["shown"], point["right"]) for point in its["curve"]]
                    for name, its in systems.items()
                },
                across="cursors at which something is shown",
                up="of that, right",
            ),
        ),
        _reliability(systems),
        _figure(
            "Time to answer at a cursor in a document just opened",
            plots.latencies("Latency", {name: its["cold_ms"] for name, its in systems.items()}),
        ),
    ]
    return f'<div class="plots">{"".join(drawn)}</div>'


def _bars(title: str, systems: dict[str, Report], metric: str) -> str:
    shown = {name: its[metric] for name, its in systems.items() if its[metric] is not None}
    return _figure(title, plots.bars(title, shown)) if shown else ""


def _reliability(systems: dict[str, Report]) -> str:
    shown = {}
    for name, found in systems.items():
        if bins := found.get("reliability"):
            most = max(one["n"] for one in bins)
            shown[name] = [
                (one["claimed"], one["right"], 2 + 5 * (one["n"] / most) ** 0.5) for one in bins
            ]
    if not shown:
        return ""
    drawn = plots.curves(
        "Reliability", shown, across="probability that was claimed", up="share right", diagonal=True
    )
    return _figure("Reliability: on the diagonal, claims are true", drawn)


def _figure(caption: str, drawn: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawn}</figure>"


def _table(table: Table) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    title = escape(table.title.capitalize())
    return f'<h2>{title}</h2><div class="wide"><table><tr>{cells}</tr>{lines}</table></div>'
