"""`foretype train report RUN`: what a run did, as one page: curves, samples, time, money.

Reads the run folder (`recipe.json`, `log.jsonl`) and nothing else; writes `report.html` and its
curves as `report.png` there. matplotlib draws, by its own settings whatever a user's say.
"""

import argparse
import bisect
import contextlib
import io
import json
import math
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.config import from_table
from model.paths import cache_folder, claim
from model.publish import write_atomically
from training.cli import existing_folder, report_mistakes
from training.data.corpus import format_summary, read_manifest
from training.data.progress import time_text
from training.errors import TrainingError
from training.pretrain.loop import LOG, MEASURED
from training.pretrain.plan import GPT2_COSTS, GPT2_FLOPS, dollars_text
from training.pretrain.schedule import Schedule

Points = Sequence[tuple[float, float]]

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
pre { font-size: 13px; overflow-x: auto; } svg { max-width: 100%; height: auto; }
</style>"""
_COLUMNS, _INCHES = 3, (4.4, 3.4)  # of the figure; of a plot
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "foretype", "text.parse_math": False}
PAGE = "report.html"
CPU_PRICE = 0.04  # dollars an hour and thread, about what small cloud machines cost in 2026
_DRAWN = 400  # points of a curve; each is the mean of the steps around it
_SAMPLES = 5


class Plot(NamedTuple):
    """Lines in data units, by name; both axes begin at 0."""

    title: str
    axes: tuple[str, str]
    series: Mapping[str, Points]
    dots: bool = False


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


class RunLog(NamedTuple):
    """A run as its folder tells it."""

    name: str
    plan: Schedule
    steps: Sequence[Mapping[str, Any]]  # the last line of each; a return drops those behind it
    flops: float  # of the steps taken
    seconds: float  # by the wall clock, of all sessions
    gflops: float  # sustained: the median step's
    peak_gflops: float  # of the machine's matrix products, as the newest session found; 0: unknown
    threads: int  # of the newest session


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = argparse.ArgumentParser(prog="foretype train report", description=__doc__)
    parser.add_argument("run", type=existing_folder, help="folder of the train state")
    text = "whose funnel the page is to have"
    parser.add_argument("--corpus", type=existing_folder, help=text)
    text = f"of the machine, dollars an hour (default: {CPU_PRICE} for each CPU thread)"
    parser.add_argument("--price", type=float, help=text)
    args = parser.parse_args(argv)
    return report_mistakes(
        "train report",
        lambda: sys.stdout.write(f"wrote {write_report(args.run, args.price, args.corpus)}\n"),
    )


def write_report(run: Path, price: float | None = None, corpus: Path | None = None) -> Path:
    """Write the page of a run that has taken a step; return its path.

    `price` is in dollars an hour. Raises TrainingError when the folder holds no run.
    """
    log, page = read_log(run), run / PAGE
    funnel = format_summary(read_manifest(corpus)) if corpus else ""
    hourly = CPU_PRICE * log.threads if price is None else price
    text, picture = format_report(log, hourly, funnel)
    if picture:
        write_atomically(page.with_suffix(".png"), picture, mode=0o644)
    write_atomically(page, text.encode(), mode=0o644)
    return page


def read_log(run: Path) -> RunLog:
    """Return a run's log; TrainingError if there is none."""
    try:
        table = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
        lines = list(_read_lines(run / LOG))
        plan = from_table(Schedule, table["plan"])
        steps = _steps(lines)
        flops, seconds = _flops(steps), max((line["seconds"] for line in steps), default=0.0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{run} holds no log of a run: {error}") from error
    if not steps:
        raise TrainingError(f"{run} has taken no step yet")
    return RunLog(
        name=table["recipe"]["folder"]["name"],
        plan=plan,
        steps=steps,
        flops=flops,
        seconds=seconds,
        gflops=statistics.median(line["gflops"] for line in steps),
        peak_gflops=float(table.get("peak_gflops") or 0.0),
        threads=int(table.get("threads") or 1),
    )


def _read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of a log; one that a kill or a full disk has cut off is none."""
    for line in path.read_text("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _steps(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of the steps that count.

    A killed session may have logged steps behind the checkpoint from which the next one went on.
    """
    steps: list[dict[str, Any]] = []
    for line in lines:
        last = line.get("went_back_to_step", line.get("step", math.inf) - 1)
        del steps[bisect.bisect_right(steps, last, key=lambda step: step["step"]) :]
        steps += [dict(line)] if "step" in line else []
    return steps


def _flops(steps: Sequence[Mapping[str, Any]]) -> float:
    """Return the operations of steps."""
    flops, before = 0.0, 0
    for line in steps:
        # GFLOPS over tokens a second is what a token costs at its stage's length.
        flops += 1e9 * line["gflops"] / line["tokens_per_s"] * (line["tokens"] - before)
        before = line["tokens"]
    return flops


def format_report(log: RunLog, price: float, funnel: str = "") -> tuple[str, bytes]:
    """Return the page and its curves as a PNG.

    `price` is in dollars an hour, `funnel` what became of the corpus's files.
    """
    last = log.steps[-1]
    is_done = last["step"] >= log.plan.n_step
    state = "" if is_done else f", stopped at step {last['step']:,} of {log.plan.n_step:,}"
    title = f"{log.name}: a training run{state}"
    curves, picture = draw(title, _plots(log, price))
    parts = [f"<h1>{escape(title)}</h1><pre>{escape(_figures(log, price))}</pre>{curves}"]
    if samples := tell_samples(log):
        parts.append("<h2>What it wrote</h2><p>A held-out line from | on.</p>")
        parts.append(f"<pre>{escape(samples)}</pre>")
    if funnel:
        parts.append(f"<h2>The corpus</h2><pre>{escape(funnel)}</pre>")
    return f"{_HEAD}<title>{escape(title)}</title>{''.join(parts)}\n", picture


def _figures(log: RunLog, price: float) -> str:
    last, hours = log.steps[-1], log.seconds / 3600
    cost = hours * price
    planned_h = log.flops / (log.gflops * 1e9) / 3600
    peak = ""
    if log.peak_gflops:
        share = 100 * log.gflops / log.peak_gflops
        peak = f"; {share:.0f}% of the {log.peak_gflops:,.0f} of large products"
    rows = [
        ("tokens", f"{last['tokens'] / 1e6:.2f} of {log.plan.tokens / 1e6:.2f} million"),
        ("operations", f"{log.flops:.3g}, {log.flops / GPT2_FLOPS:.2g} of a GPT-2"),
        ("sustained", f"{log.gflops:,.0f} GFLOPS, the median step{peak}"),
        ("time", f"{time_text(log.seconds)}; {time_text(planned_h * 3600)} at that speed"),
        ("cost", f"{dollars_text(cost)} at {price:g} dollars an hour"),
    ]
    measured = [line[MEASURED] for line in log.steps if MEASURED in line]
    if measured:
        rows.append(
            ("bits per byte", f"{measured[-1]:.4f} on held-out code (first {measured[0]:.4f})")
        )
    if cost > 0:
        equal = cost * GPT2_FLOPS / log.flops
        rows.append(("at this price", f"a GPT-2's operations would cost {dollars_text(equal)}"))
    lines = [f"{name:<15}{text}" for name, text in rows]
    return "\n".join([*lines, "", GPT2_COSTS])


def _plots(log: RunLog, price: float) -> list[Plot]:
    def curve(name: str, across: str = "tokens", unit: float = 1e6) -> list[tuple[float, float]]:
        points = [(line[across] / unit, line[name]) for line in log.steps if name in line]
        return _thin(points)

    rate, tokens = [], 0
    for line in log.steps:
        factor = log.plan.factor(tokens, line["tokens"] - tokens)
        rate.append((line["tokens"] / 1e6, factor))
        tokens = line["tokens"]
    millions = "million tokens"
    plots = [Plot("Loss", (millions, "nats a token"), {"training": curve("loss")})]
    if any(MEASURED in line for line in log.steps):
        bits = {
            name.partition(".")[2] or "all": curve(name)
            for name in log.steps[-1]
            if name.startswith(MEASURED)
        } or {"all": curve(MEASURED)}
        title = "Held-out code"
        plots.append(Plot(title, (millions, "bits a byte"), bits, dots=True))
        hours = {"all": curve(MEASURED, "seconds", 3600)}
        title = f"Held-out code by time; an hour is {dollars_text(price)}"
        plots.append(Plot(title, ("hours", "bits a byte"), hours, dots=True))
    return [
        *plots,
        Plot("Rates", (millions, "share of the full rate"), {"rate": _thin(rate)}),
        Plot("Speed", (millions, "GFLOPS"), {"sustained": curve("gflops")}),
        Plot("Gradient", (millions, "norm"), {"norm": curve("grad_norm")}),
    ]


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `_DRAWN` points, each the mean of its neighbours."""
    size = max(1, len(points) // _DRAWN)
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [(group[-1][0], statistics.fmean(y for _, y in group)) for group in groups]


def tell_samples(log: RunLog) -> str:
    """Return how the network learnt to write: lines of a held-out file, early to late."""
    measured = [line for line in log.steps if "sample" in line]
    chosen = np.unique(np.linspace(0, len(measured) - 1, _SAMPLES).round().astype(int))
    text = ""
    for line in [measured[i] for i in chosen] if measured else ():
        before, written = line["sample"]
        text += f"{line['tokens'] / 1e6:>8.2f} M tokens, {line[MEASURED]:.2f} bits/byte"
        text += f"  {before}|{written.rstrip()}\n"
    return text
