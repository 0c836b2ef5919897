"""The report as one page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from training.evaluation.replay import report_plots as plots
from training.evaluation.replay.report_plots import Bar, Curve
from training.evaluation.replay.report_text import percent, ranged

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


def page(report: Report) -> str:
    """Return the page."""
    title = f"{report['model']}: replay of later commits"
    return document(title, [*_warnings(report), *sections(report)])


def document(title: str, body: Iterable[str]) -> str:
    """Return a page of its own, with its title above its parts."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escaped(title)}</h1>{''.join(body)}</body></html>\n"
    )


def sections(report: Report) -> list[str]:
    """Return how it was measured, the plots and the tables."""
    return [
        f"<p>{escaped(_HOW)}</p>",
        _plots(report),
        "<h2>Systems</h2>",
        _systems(report),
        "<h2>What a setting of <code>show</code> does</h2>",
        _settings(report),
        "<h2>Exact line by kind of cursor</h2>",
        _splits(report),
        "<h2>Differences, cursor by cursor</h2>",
        _differences(report),
        "<h2>What was replayed</h2>",
        _replayed(report),
    ]


def escaped(text: object) -> str:
    """Return a text as HTML."""
    return html.escape(str(text))


def _warnings(report: Report) -> Iterable[str]:
    if not report["is_complete"]:
        yield (
            f'<p class="warning"><strong>Not complete</strong>: {escaped(report["stopped"])}.'
            " These are the figures until then.</p>"
        )
    for reason in report["skipped"]:
        yield f'<p class="warning">Skipped: {escaped(reason)}</p>'


def _plots(report: Report) -> str:
    systems: dict[str, Report] = report["systems"]
    drawn = [
        _bars("Exact rest of the line", systems, "exact"),
        _bars("Characters saved", systems, "saved"),
        figure(
            "Precision by how much is shown, the surest first",
            plots.curves(
                "Precision and coverage",
                [
                    Curve(label=name, points=[(p["shown"], p["right"]) for p in found["curve"]])
                    for name, found in systems.items()
                ],
                across="cursors at which something is shown",
                up="of that, right",
            ),
        ),
        _reliability(systems),
        figure(
            "Time to answer at a cursor in a document just opened",
            plots.latencies("Latency", {name: its["cold_ms"] for name, its in systems.items()}),
        ),
    ]
    return f'<div class="plots">{"".join(drawn)}</div>'


def _bars(title: str, systems: dict[str, Report], metric: str) -> str:
    shown = [
        Bar(label=name, **found[metric])
        for name, found in systems.items()
        if found[metric] is not None
    ]
    return figure(title, plots.bars(title, shown)) if shown else ""


def _reliability(systems: dict[str, Report]) -> str:
    shown = []
    for name, found in systems.items():
        if bins := found.get("reliability"):
            most = max(one["n"] for one in bins)
            points = [(one["claimed"], one["right"]) for one in bins]
            radii = [2 + 5 * (one["n"] / most) ** 0.5 for one in bins]
            shown.append(Curve(label=name, points=points, radii=radii))
    if not shown:
        return ""
    drawn = plots.curves(
        "Reliability", shown, across="probability that was claimed", up="share right", diagonal=True
    )
    return figure("Reliability: on the diagonal, claims are true", drawn)


def figure(caption: str, drawn: str) -> str:
    """Return a plot with its caption."""
    return f"<figure><figcaption>{escaped(caption)}</figcaption>{drawn}</figure>"


def _systems(report: Report) -> str:
    head = (
        "", "exact line", "right", "similarity", "shown", "right of shown", "exact, surer half",
        "right, surer half", "characters saved", "wrong / 100 chars", "p50 ms", "p95 ms",
        "p50 ms typing", "p95 ms typing", "p50 ms of processor", "typing",
    )  # fmt: skip
    rows = []
    for name, found in report["systems"].items():
        half = found["when_half_is_shown"] or {}
        typing = found["typing_ms"] or {}
        rows.append(
            [
                name,
                ranged(found["exact"]),
                ranged(found["right"]),
                percent(found["similarity"]),
                percent(found["offered"]),
                percent(found["precision"]),
                percent(half.get("exact")),
                percent(half.get("right")),
                ranged(found["saved"]),
                _number(found["wrong_per_100_chars"]),
                *(_number(found["cold_ms"][key]) for key in ("p50", "p95")),
                *(_number(typing.get(key)) for key in ("p50", "p95")),
                *(
                    _number((found[key] or {}).get("p50"))
                    for key in ("cold_cpu_ms", "typing_cpu_ms")
                ),
            ]
        )
    return table(head, rows)


def _settings(report: Report) -> str:
    head = (
        "", "show", "from probability", "shown", "right of that", "exact of that",
        "right ones hidden", "characters saved", "wrong / 100 chars",
    )  # fmt: skip
    rows = [
        [
            name,
            level,
            ", ".join(f"{least:.2f}" for least in sorted(set(its["thresholds"].values()))),
            percent(its["shown"]),
            ranged(its["precision"]),
            percent(its["exact_precision"]),
            percent(its["right_but_hidden"]),
            ranged(its["saved"]),
            _number(its["wrong_per_100_chars"]),
        ]
        for name, found in report["systems"].items()
        for level, its in found.get("show", {}).items()
    ]
    return table(head, rows) if rows else "<p>No system has a gate.</p>"


def _splits(report: Report) -> str:
    names = list(report["systems"])
    strata = [report["systems"][name]["strata"] for name in names]
    rows = [
        [f"{split}: {value}", str(figures["tasks"])]
        + [ranged(its[split][value].get("exact")) for its in strata]
        for split, values in strata[0].items()
        for value, figures in values.items()
    ]
    return table(("", "cursors", *names), rows)


def _differences(report: Report) -> str:
    rows = [
        [
            f"{found['left']} - {found['right']}",
            found["metric"],
            f"{100 * found['mean']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]",
        ]
        for found in report["differences"]
    ]
    return table(("", "metric", "points [95%]"), rows)


def _replayed(report: Report) -> str:
    rows = [
        [item["name"], *(str(item[key]) for key in ("commits", "tasks", "lines"))]
        for item in report["repositories"]
    ]
    plan = ", ".join(f"{key} {value}" for key, value in report["plan"].items())
    return (
        table(("repository", "commits", "cursors", "lines typed"), rows)
        + f"<p>Model {escaped(report['model'])} ({escaped(report['content_hash'][:12])});"
        f" {escaped(plan)}.</p>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts."""
    cells = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{cells}</tr>{lines}</table></div>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
