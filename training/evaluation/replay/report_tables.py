"""The report for a terminal of 80 columns: what was measured, and what to do about it.

The last words are plain sentences: which `show`, what it saves, whether to tune.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from training.evaluation.intervals import format_percent, format_points
from training.evaluation.replay.systems import INDEX, NETWORK, NETWORK_AND_INDEX

Report = dict[str, Any]

WIDTH = 80
_LABEL = 26  # of a row, at most: four systems stand beside it
GOOD_SHARE = 0.5  # of what is shown: with less right, more is read in vain than is taken
BYTES_PER_TOKEN = 3.2  # of Python and the bundled tokenizer, measured
#: tokens of code from which tuning was seen to pay, and below which it is refused (docs/tune.md)
MUCH_CODE, LITTLE_CODE = 1_000_000, 20_000
MIN_COMMITS = 50
_FEW = 100  # cursors


def format_report(report: Report) -> str:
    """Return the report as text; the last words are what follows from it."""
    commits = sum(item["commits"] for item in report["repositories"])
    names = ", ".join(item["name"] for item in report["repositories"])
    tasks = sum(item["tasks"] for item in report["repositories"])
    what = "1 later commit" if commits == 1 else f"{commits} later commits"
    notes = [f"{report['model']} on {names}: {tasks} cursors in {what}"]
    if not report["is_complete"]:
        notes.append(f"NOT COMPLETE: {report['stopped']}; these are the figures until then.")
    parts = (_systems, _settings, _splits, _differences, _times)
    tables = ["\n".join(lines) for part in parts if len(lines := list(part(report))) > 1]
    return "\n\n".join(["\n".join(map(_wrap, notes)), *tables, _wrap(advise(report))]) + "\n"


def _wrap(text: str) -> str:
    return "\n".join(textwrap.fill(line, WIDTH) for line in text.splitlines())


def format_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a title and aligned rows; a cell of the head may have several lines. None of no row."""
    if not rows:
        return
    yield _wrap(title)
    heads = zip_longest(*(cell.split("\n")[::-1] for cell in head), fillvalue="")
    lines = [*list(heads)[::-1], *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    sides = [">" if any(cells) else "<" for cells in zip(head, strict=True)]  # labels have no title
    for line in lines:
        cells = zip(line, sides, widths, strict=True)
        yield "".join(f"  {cell:{side}{width}}" for cell, side, width in cells).rstrip()


def _systems(report: Report) -> Iterator[str]:
    rows = [
        [name[:_LABEL], *(format_range(its[key]) for key in ("exact", "right", "saved"))]
        for name, its in report["systems"].items()
    ]
    yield from format_table(
        "All that each system has, at every cursor, with 95% ranges.\n"
        "exact line: the rest of the line as the author wrote it\n"
        "right: a beginning of it, two characters or more, or all of it\n"
        "saved: characters not typed, if whatever is right is taken with one key",
        ("", "exact line", "right", "saved"),
        rows,
    )


def _settings(report: Report) -> Iterator[str]:
    rows = []
    for name, its in report["systems"].items():
        for level, found in its.get("show", {}).items():
            ranges = [format_range(found[key]) for key in ("precision", "saved")]
            wrong = _number(found["wrong_per_100_chars"])
            label = f"{name}, {level}"[:_LABEL]
            rows.append([label, format_percent(found["shown"]), *ranges, wrong])
        if half := its["when_half_is_shown"]:
            label = f"{name}, surer half"
            rows.append([label[: _LABEL + 1], "50.0%", format_range(half["right"]), "-", "-"])
    yield from format_table(
        "What each setting of `show` shows: only what is sure enough.\n"
        "wrong: suggestions that cannot be taken, in 100 characters typed\n"
        "surer half: the half of all cursors at which the system is surest",
        ("", "shown", "of that right", "saved", "wrong"),
        rows,
    )


def _splits(report: Report) -> Iterator[str]:
    names = list(report["systems"])
    strata = [report["systems"][name]["strata"] for name in names]
    rows = [
        [f"{split}: {value}"[:_LABEL], str(figures["tasks"])]
        + [format_percent(its[split][value].get("exact")) for its in strata]
        for split, values in strata[0].items()
        for value, figures in values.items()
    ]
    heads = ["\n".join(textwrap.wrap(name, 10)) for name in names]
    yield from format_table("exact line, by kind of cursor", ("", "cursors", *heads), rows)
    rows = [
        [
            f"{split}: {value}"[:_LABEL],
            str(its["tasks"]),
            format_range(its["exact"]),
            format_percent(its["shown"]),
            format_range(its["shown_precision"]),
        ]
        for split, values in strata[0].items()
        for value, its in values.items()
        if "shown" in its
    ]
    head = ("", "cursors", "exact line", "shown", "right of shown")
    yield ""
    yield from format_table(f"{names[0]} at the default, with 95% ranges", head, rows)


def _differences(report: Report) -> Iterator[str]:
    pairs: dict[str, dict[str, str]] = {}
    for found in report["differences"]:
        label = f"{found['left'][:17]} vs {found['right'][:17]}"
        pairs.setdefault(label, {})[found["metric"]] = format_points(found)
    rows = [
        [pair, *(its.get(key, "-") for key in ("exact", "saved"))] for pair, its in pairs.items()
    ]
    title = "differences at the same cursors, in points, with 95% ranges"
    yield from format_table(title, ("", "exact line", "saved"), rows)


def _times(report: Report) -> Iterator[str]:
    kinds = {"cold": "just opened", "typing": "typing"}
    rows = [
        [f"{name[:20]}, {label}"]
        + [
            _number(its[part][key])
            for part in (f"{kind}_ms", f"{kind}_cpu_ms")
            for key in ("p50", "p95")
        ]
        for name, its in report["systems"].items()
        for kind, label in kinds.items()
        if its[f"{kind}_ms"]
    ]
    yield from format_table(
        "milliseconds to answer, in a document just opened and while typing on;\n"
        "95%: all but the slowest twentieth are faster",
        ("", "median", "95%", "CPU time\nmedian", "95%"),
        rows,
    )


def format_range(value: Mapping[str, float] | None) -> str:
    """Return a mean with its range, if it has one: one commit alone says nothing of others."""
    if value is None or value["low"] == value["high"]:
        return format_percent(value)
    return f"{format_percent(value)} [{100 * value['low']:.0f}, {100 * value['high']:.0f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def advise(report: Mapping[str, Any]) -> str:
    """Return a paragraph a subject, each a line."""
    return "\n".join([*_advise_on_show(report), *_advise_on_tuning(report)])


def _advise_on_show(report: Mapping[str, Any]) -> Iterator[str]:
    systems = report["systems"]
    name = next((each for each in (NETWORK_AND_INDEX, NETWORK, INDEX) if each in systems), None)
    settings: Mapping[str, Any] = systems[name].get("show", {}) if name else {}
    measured = [level for level, its in settings.items() if its["precision"]]
    if not measured:
        yield 'Nothing here speaks for or against a setting of `show`; leave it at "balanced".'
        return
    good = [each for each in measured if settings[each]["precision"]["mean"] >= GOOD_SHARE]
    level = good[0] if good else measured[-1]  # they come from showing most to showing least
    its = settings[level]
    why = (
        "the one that shows most and is right at least half of the time"
        if good
        else "no setting is right half of the time here, and it comes nearest"
    )
    yield (
        f'Recommended: show = "{level}" ({why}). It shows something at'
        f" {format_percent(its['shown'])} of the cursors, {format_percent(its['precision'])} of it"
        f" right, and would save you up to {format_percent(its['saved'])} of the characters of new"
        " lines."
    )
    if sum(item["tasks"] for item in report["repositories"]) < _FEW:
        yield "That is from few cursors; without --quick, or with more --tasks, it is more certain."


def _advise_on_tuning(report: Mapping[str, Any]) -> Iterator[str]:
    for item in report["repositories"]:
        if "code_bytes" not in item:
            continue
        tokens, commits = item["code_bytes"] / BYTES_PER_TOKEN, item["history"]
        size = f"{item['name']} has about {tokens / 1000:,.0f} thousand tokens of code"
        if commits < MIN_COMMITS or tokens < LITTLE_CODE:
            yield (
                f"Tuning: not yet. {size} and {commits} commits; it needs {LITTLE_CODE // 1000}"
                f" thousand and {MIN_COMMITS}."
            )
        elif tokens < MUCH_CODE:
            yield (
                f"Tuning: perhaps. {size}; of three repositories measured with about two hundred"
                " thousand, one gained from `foretype tune`. It keeps a model only if it is better."
            )
        else:
            yield (
                f"Tuning: try it. {size}; with as much, `foretype tune` was seen to pay (in one"
                " repository). It keeps a model only if it is better."
            )
