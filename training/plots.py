"""Line plots as SVG inside one HTML page that needs nothing else; knows not what is plotted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP = 480, 330, 70, 12  # of a figure; the plot's square is SIZE wide
SIZE = 270
N_COLOURS = 6
_N_TICKS = 5
_STYLE = """
:root { color-scheme: light dark; --c0: #2463b8; --c1: #b3541e; --c2: #2c7d4f; --c3: #6f6f76;
  --c4: #8a4aa8; --c5: #a5862a; }
@media (prefers-color-scheme: dark) { :root { --c0: #6aa5f0; --c1: #e8915c; --c2: #66bf8c;
  --c3: #a0a0a8; --c4: #c493de; --c5: #d9bd62; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
pre { font-size: 13px; overflow-x: auto; } svg { max-width: 30rem; width: 100%; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
text { font-size: 12px; fill: currentColor; } path { fill: none; stroke: #888; }
""" + "".join(
    f"text.s{i}, circle.s{i} {{ fill: var(--c{i}); }} path.s{i} {{ stroke: var(--c{i}); }}\n"
    for i in range(N_COLOURS)
)


def make_page(title: str, body: str) -> str:
    """Return a whole page; `title` is text, `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def plot_lines(
    title: str,
    axes: tuple[str, str],
    series: Mapping[str, Points],
    *,
    dots: bool = False,
) -> str:
    """Return a figure with a line for each of `series`, in data units, and their names beside it.

    The axes go from 0 to what the points reach. Points that are no numbers are left out.
    """
    lines = {name: [p for p in each if all(map(math.isfinite, p))] for name, each in series.items()}
    points = [point for each in lines.values() for point in each]
    most_x, most_y = (_round_up(max([p[i] for p in points] or [1])) for i in (0, 1))
    steps = [SIZE * i / _N_TICKS for i in range(_N_TICKS + 1)]
    grid = "".join(f"M{LEFT + step:g} {TOP}v{SIZE}M{LEFT} {TOP + step:g}h{SIZE}" for step in steps)
    parts = [f'<path opacity="0.4" d="{grid}"/>', *_axes(axes, (most_x, most_y))]
    for index, (name, each) in enumerate(lines.items()):
        colour, row = f"s{index % N_COLOURS}", TOP + 14 + 18 * index
        placed = [
            (round(LEFT + SIZE * x / most_x, 1), round(TOP + SIZE * (1 - y / most_y), 1))
            for x, y in each
        ]
        if placed:
            parts.append(f'<path class="{colour}" d="M{"L".join(f"{x} {y}" for x, y in placed)}"/>')
        if dots:
            parts += [f'<circle class="{colour}" cx="{x}" cy="{y}" r="2"/>' for x, y in placed]
        parts.append(
            f'<text class="{colour}" x="{LEFT + SIZE + 8}" y="{row}">{escape(name)}</text>'
        )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg></figure>'
    )


def _axes(names: tuple[str, str], most: tuple[float, float]) -> Iterator[str]:
    """Yield the texts of both axes: at each line of the grid its value, and what it counts."""
    for i in range(_N_TICKS + 1):
        share = i / _N_TICKS
        across, up = (f"{share * reached:g}" for reached in most)
        x, y = round(LEFT + SIZE * share, 1), round(TOP + SIZE * (1 - share), 1)
        yield f'<text x="{x}" y="{TOP + SIZE + 16}" text-anchor="middle">{across}</text>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{up}</text>'
    middle = f'x="{LEFT + SIZE / 2}" y="{HEIGHT - 6}"'
    yield f'<text {middle} text-anchor="middle">{escape(names[0])}</text>'
    turned = f'transform="translate(14 {TOP + SIZE / 2}) rotate(-90)"'
    yield f'<text {turned} text-anchor="middle">{escape(names[1])}</text>'


def _round_up(value: float) -> float:
    """Return a number at or just above `value` whose fifths are short."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if step * unit >= value)
