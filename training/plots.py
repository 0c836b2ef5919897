"""Line plots of a page: one figure as SVG and as PNG; knows not what is plotted.

matplotlib draws, by its own settings whatever a user's say; its list of fonts is in our cache.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from model.paths import cache_folder, claim

Points = Sequence[tuple[float, float]]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
pre { font-size: 13px; overflow-x: auto; } svg { max-width: 100%; height: auto; }
"""
_COLUMNS, _INCHES = 3, (4.4, 3.4)  # of the figure; of a plot
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "foretype", "text.parse_math": False}


class Plot(NamedTuple):
    """Lines in data units, by name; both axes begin at 0."""

    title: str
    axes: tuple[str, str]
    series: Mapping[str, Points]
    dots: bool = False


def make_page(title: str, body: str) -> str:
    """Return a whole page; `title` is text, `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def draw(title: str, plots: Sequence[Plot]) -> tuple[str, bytes]:
    """Return one figure of all plots, as an SVG element and as a PNG.

    Without matplotlib, as on a lent machine: a line that says so, and nothing.
    """
    with contextlib.suppress(OSError):  # then it takes a temporary folder, and says so
        os.environ.setdefault("MPLCONFIGDIR", str(claim(cache_folder() / "matplotlib")))
    try:
        from matplotlib import style  # a second of CPU time
        from matplotlib.figure import Figure
    except ImportError:
        return "<p>No curves here: matplotlib is not installed.</p>", b""
    n_rows = -(-len(plots) // _COLUMNS)
    svg, png = io.StringIO(), io.BytesIO()
    with style.context(["default", _SETTINGS]):
        figure = Figure((_COLUMNS * _INCHES[0], n_rows * _INCHES[1]), layout="constrained")
        figure.suptitle(title)
        for place, plot in enumerate(plots, 1):
            axes = figure.add_subplot(n_rows, _COLUMNS, place, title=plot.title)
            for name, points in plot.series.items():
                axes.plot(*zip(*points, strict=True), "." * plot.dots + "-", label=name)
            axes.set(xlabel=plot.axes[0], ylabel=plot.axes[1], xlim=(0, None), ylim=(0, None))
            axes.grid(alpha=0.4)
            if len(plot.series) > 1:
                axes.legend()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png")
    return svg.getvalue()[svg.getvalue().index("<svg") :], png.getvalue()
