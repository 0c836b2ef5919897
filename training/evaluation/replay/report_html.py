"""The report as one page that needs nothing else: the tables as text, and two plots as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from training.evaluation.replay.report_tables import format_report

WIDTH, HEIGHT, LEFT, TOP = 460, 330, 58, 12  # of a plot; the square of the plot is SIZE wide
SIZE = 270
N_COLOURS = 6
_STYLE = """
:root { color-scheme: light dark; --c0: #2463b8; --c1: #b3541e; --c2: #2c7d4f; --c3: #6f6f76;
  --c4: #8a4aa8; --c5: #a5862a; }
@media (prefers-color-scheme: dark) { :root { --c0: #6aa5f0; --c1: #e8915c; --c2: #66bf8c;
  --c3: #a0a0a8; --c4: #c493de; --c5: #d9bd62; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
pre { font-size: 13px; overflow-x: auto; } svg { max-width: 30rem; width: 100%; }
text { font-size: 12px; fill: currentColor; } path { fill: none; stroke: #888; }
""" + "".join(
    f"text.s{i}, circle.s{i} {{ fill: var(--c{i}); }} path.s{i} {{ stroke: var(--c{i}); }}\n"
    for i in range(N_COLOURS)
)


def format_page(report: Mapping[str, Any]) -> str:
    """Return the page."""
    title = escape(f"{report['model']}: replay of later commits")
    plan = ", ".join(f"{key} {value}" for key, value in report["plan"].items())
    made_by = f"Model {report['model']} ({report['content_hash'][:12]}); {plan}"
    systems = report["systems"].items()
    shown = {
        name: [(point["shown"], point["right"]) for point in its["curve"]] for name, its in systems
    }
    claimed = {
        name: [(one["claimed"], one["right"]) for one in its["reliability"]]
        for name, its in systems
        if its.get("reliability")
    }
    plots = _plot("Right of what is shown, the surest first", "shown", shown)
    if claimed:
        title_2 = "Reliability: on the diagonal, claimed probabilities are true"
        plots += _plot(title_2, "claimed", claimed, has_diagonal=True)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<pre>{escape(format_report(dict(report)))}</pre>{plots}<p>{escape(made_by)}</p>"
        "</body></html>\n"
    )


def _plot(
    title: str,
    across: str,
    shown: Mapping[str, Sequence[tuple[float, float]]],
    *,
    has_diagonal: bool = False,
) -> str:
    """Return a figure with a line through (x, y), both 0..1, for each system, and their names."""
    ticks = [i / 5 for i in range(6)]
    grid = (
        "".join(f"M{_x(tick)} {TOP}v{SIZE}M{LEFT} {_y(tick)}h{SIZE}" for tick in ticks)
        + has_diagonal * f"M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"
    )
    parts = [f'<path opacity="0.4" d="{grid}"/>']
    for tick in ticks:
        label = f"{100 * tick:.0f}%"
        parts.append(
            f'<text x="{_x(tick)}" y="{TOP + SIZE + 16}" text-anchor="middle">{label}</text>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{_y(tick) + 4}" text-anchor="end">{label}</text>')
    parts.append(f'<text x="{_x(0.5)}" y="{HEIGHT - 6}" text-anchor="middle">{across}</text>')
    parts.append(f'<text x="4" y="{_y(0.5)}">right</text>')
    for index, (name, points) in enumerate(shown.items()):
        colour, row = f"s{index % N_COLOURS}", TOP + 14 + 18 * index
        line = "L".join(f"{_x(x)} {_y(y)}" for x, y in points)
        parts += [f'<path class="{colour}" d="M{line}"/>'] if points else []
        parts += [f'<circle class="{colour}" cx="{_x(x)}" cy="{_y(y)}" r="2"/>' for x, y in points]
        parts.append(
            f'<text class="{colour}" x="{LEFT + SIZE + 8}" y="{row}">{escape(name)}</text>'
        )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg></figure>'
    )


def _x(value: float) -> float:
    return round(LEFT + SIZE * value, 1)


def _y(value: float) -> float:
    return round(TOP + SIZE * (1 - value), 1)
