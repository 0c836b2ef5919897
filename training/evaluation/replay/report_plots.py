"""The plots of the report page, as inline SVG: bars with intervals, curves, latencies.

Colours are classes s0, s1, ... of the page's style sheet, so they follow the reader's dark or light
scheme. Every text is escaped here; the callers pass plain strings.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 12, 44
N_COLOURS = 6


def bars(title: str, shown: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a horizontal bar for each label; its mean, low and high are 0..1."""
    top = max([bar["high"] for bar in shown.values()], default=0.0)
    limit = next(step / 10 for step in range(1, 11) if step / 10 >= min(top, 1.0))
    height = TOP + 34 * len(shown) + BOTTOM
    left, right = 110, 56  # room for names and figures

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * value / limit

    parts = [_axis_x(x, [limit * i / 5 for i in range(6)], height - BOTTOM)]
    for row, (label, bar) in enumerate(shown.items()):
        mean, low, high = (x(bar[key]) for key in ("mean", "low", "high"))
        y = TOP + 34 * row + 6
        parts += [
            _text(left - 8, y + 15, label, anchor="end"),
            (
                f'<rect class="s{row % N_COLOURS}" x="{left}" y="{y}" height="22"'
                f' width="{_n(mean - left)}"/>'
            ),
            (
                f'<path class="range" d="M{_n(low)} {y + 11}H{_n(high)}'
                f'M{_n(low)} {y + 6}v10M{_n(high)} {y + 6}v10"/>'
            ),
            _text(high + 6, y + 15, f"{100 * bar['mean']:.1f}%"),
        ]
    return _svg(title, parts, height)


def curves(
    title: str,
    shown: Mapping[str, Sequence[tuple[float, ...]]],
    *,
    across: str,
    up: str,
    diagonal: bool = False,
) -> str:
    """Draw a line over the unit square for each label, through (x, y) or dots (x, y, radius)."""
    parts = [
        _axis_x(_x, _TICKS, HEIGHT - BOTTOM),
        _axis_y(_TICKS),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, across, anchor="middle"),
        (
            f'<text transform="translate(12 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
            f"{html.escape(up)}</text>"
        ),
    ]
    if diagonal:
        parts.append(f'<path class="range" d="M{_n(_x(0))} {_n(_y(0))}L{_n(_x(1))} {_n(_y(1))}"/>')
    for index, points in enumerate(shown.values()):
        path = "L".join(f"{_n(_x(x))} {_n(_y(y))}" for x, y, *_ in points)
        colour = f"s{index % N_COLOURS}"
        parts.append(f'<path class="line {colour}" d="M{path}"/>' if path else "")
        parts += [
            f'<circle class="{colour}" cx="{_n(_x(x))}" cy="{_n(_y(y))}" r="{_n(radius)}"/>'
            for x, y, *radii in points
            for radius in radii
        ]
    return _svg(title, parts) + _legend(list(shown))


def latencies(title: str, shown: dict[str, dict[str, Any]]) -> str:
    """Draw the shares of calls by time; `shown` is label -> a latency of the report."""
    edges = next(iter(shown.values()))["edges"]
    step = (WIDTH - LEFT - RIGHT) / len(edges)
    width = step * 0.8 / len(shown)
    top: float = max(max(its["counts"]) / sum(its["counts"]) for its in shown.values())

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share / top)

    parts = [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "milliseconds", anchor="middle")]
    for place, edge in enumerate(edges):
        parts.append(_text(LEFT + step * place, HEIGHT - BOTTOM + 16, str(edge), anchor="middle"))
    for row, its in enumerate(shown.values()):
        for place, count in enumerate(its["counts"]):
            share = count / sum(its["counts"])
            left = LEFT + step * (place + 0.1) + width * row
            parts.append(
                f'<rect class="s{row % N_COLOURS}" x="{_n(left)}" y="{_n(y(share))}"'
                f' width="{_n(width)}" height="{_n(HEIGHT - BOTTOM - y(share))}"/>'
            )
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    return _svg(title, parts) + _legend(list(shown))


_TICKS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def _x(value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value


def _y(value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value)


def _axis_x(x: Any, ticks: Sequence[float], bottom: float) -> str:
    lines = "".join(f"M{_n(x(tick))} {TOP}V{_n(bottom)}" for tick in ticks)
    labels = [_text(x(tick), bottom + 16, f"{100 * tick:.0f}%", anchor="middle") for tick in ticks]
    return f'<path class="axis" d="{lines}"/>' + "".join(labels)


def _axis_y(ticks: Sequence[float]) -> str:
    lines = "".join(f"M{LEFT} {_n(_y(tick))}H{WIDTH - RIGHT}" for tick in ticks)
    labels = [_text(LEFT - 6, _y(tick) + 4, f"{100 * tick:.0f}%", anchor="end") for tick in ticks]
    return f'<path class="axis" d="{lines}"/>' + "".join(labels)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _legend(labels: Sequence[str]) -> str:
    items = "".join(
        f'<li><svg width="12" height="12"><rect class="s{index % N_COLOURS}" width="12"'
        f' height="12"/></svg> {html.escape(label)}</li>'
        for index, label in enumerate(labels)
    )
    return f'<ul class="legend">{items}</ul>'


def _svg(title: str, parts: Sequence[str], height: float = HEIGHT) -> str:
    name = html.escape(title)
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{''.join(parts)}</svg>"
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
