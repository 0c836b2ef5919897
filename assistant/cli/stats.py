"""`foretype stats`: what was shown lately and what became of it, by the counts on this machine.

Exit codes: 0 done, 1 the file cannot be read or nobody agreed to --reset, 2 bad usage.
"""

import argparse
import datetime
import html
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.cli.command import (
    DONE,
    FAILED,
    CommandParser,
    UsageError,
    agrees,
    run_command,
    write,
    write_json,
)
from assistant.counts import KEPT_DAYS, Row, find_steps, read, reset, statistics_path
from assistant.settings import load_settings

WIDTH = 76
BAR = 24  # characters of the longest bar
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>foretype: statistics</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 44rem; margin: auto; padding: 1rem; }}
svg {{ width: 100%; }} text {{ font-size: 13px; fill: currentColor; }}
.shown {{ fill: #8886; }} .taken {{ fill: #3b7dd8; }}
</style></head><body><h1>foretype: statistics</h1><p>{words}</p>
<p>Bars: what was shown; the blue part of them was taken.</p>
<h2>By day</h2>{by_day}<h2>By language</h2>{by_language}
<p>Counted on this machine and kept there.</p></body></html>
"""


def main(argv: Sequence[str]) -> int:
    """Run `foretype stats` with its arguments; return the exit code."""
    return run_command("stats", lambda: _run(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype stats",
        description="Show what was suggested lately and what became of it.",
        epilog="Counted on this machine and never sent: docs/privacy.md says what.",
    )
    text = "the last N days (default: %(default)s)"
    parser.add_argument("--days", type=int, default=30, metavar="N", help=text)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--json", action="store_true", help="print the counts as JSON")
    instead.add_argument("--html", metavar="FILE", help="write one page with charts")
    instead.add_argument("--reset", action="store_true", help="remove all counts")
    parser.add_argument("--yes", action="store_true", help="with --reset: do not ask")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.reset:
        if not (options.yes or agrees(f"Remove {statistics_path()}?")):
            return FAILED
        reset()
        print("The counts are removed, and what followed from them.")
        return DONE
    if not 1 <= options.days <= KEPT_DAYS:
        raise UsageError(f"--days must be in 1..{KEPT_DAYS}, got {options.days}")
    first = datetime.date.today() - datetime.timedelta(options.days - 1)
    table = summarize(read(first.isoformat()), options.days)
    table["steps"] = find_steps() if load_settings().statistics else {}
    if options.json:
        write_json(table)
    elif options.html:
        Path(options.html).write_text(format_page(table), encoding="utf-8")
        print(f"Written: {options.html}")
    else:
        write(format_text(table))
    return DONE


def summarize(rows: Iterable[Row], n_days: int) -> dict[str, Any]:
    """Return the figures of all, of each day and of each language, the one with most first."""
    whole: Counter[str] = Counter()
    by_day: dict[str, Counter[str]] = {}
    by_language: dict[str, Counter[str]] = {}
    for day, language, name, n in rows:
        for counts in (whole, by_day.setdefault(day, Counter()),
                       by_language.setdefault(language, Counter())):  # fmt: skip
            counts[name] += n
    languages = sorted(by_language.items(), key=lambda item: -item[1]["shown"])
    return {
        "days": n_days,
        "all": _figures(whole),
        "by_day": {day: _figures(by_day[day]) for day in sorted(by_day)},
        "by_language": {name: _figures(counts) for name, counts in languages},
    }


def _figures(counts: Counter[str]) -> dict[str, Any]:
    """Return what the counts say; a share is None where nothing is known."""
    n_taken = counts["whole"] + counts["part"]
    names = ("shown", "whole", "part", "typed", "saved", "keys")
    return {name: counts[name] for name in names} | {
        "taken": n_taken,
        "share_taken": _share(n_taken, counts["shown"]),
        "share_saved": _share(counts["saved"], counts["saved"] + counts["keys"]),
        "kept_30_s": _share(counts["kept_30"], counts["looked_30"]),
        "kept_5_min": _share(counts["kept_300"], counts["looked_300"]),
        "p50_ms": _within(counts, 0.5),
        "p95_ms": _within(counts, 0.95),
    }


def _share(n: int, total: int) -> float | None:
    return round(n / total, 4) if total else None


def _within(counts: Counter[str], share: float) -> int | None:
    """Return a time in milliseconds within which so many of the answers came."""
    times = {int(name.split("_")[1]): n for name, n in counts.items() if name.startswith("within")}
    wanted = share * sum(times.values())
    for ms in sorted(times):
        wanted -= times[ms]
        if wanted <= 0:
            return ms
    return None


def sentences(table: Mapping[str, Any]) -> str:
    """Return the figures of all as a person would say them."""
    figures = table["all"]
    days = "Today" if table["days"] == 1 else f"In the last {table['days']} days"
    if not figures["shown"]:
        return f"{days} nothing was shown, or nothing was counted (setting `statistics`)."
    said = (
        f"{days} {figures['shown']:,} suggestions were shown. You took {figures['taken']:,} of "
        f"them ({figures['share_taken']:.0%}), {figures['part']:,} of these in part, and typed "
        f"{figures['typed']:,} through. That saved {figures['saved']:,} keys, "
        f"{figures['share_saved'] or 0:.0%} of what you wrote."
    )
    kept = [
        f"{figures[name]:.0%} after {when}"
        for name, when in (("kept_30_s", "30 seconds"), ("kept_5_min", "5 minutes"))
        if figures[name] is not None
    ]
    if kept:
        said += f" What you took still stood unchanged: {', '.join(kept)}."
    if figures["p50_ms"]:
        said += f" Half of the answers came within {figures['p50_ms']} ms"
        said += f", 95% within {figures['p95_ms']} ms."
    for language, step in table["steps"].items():
        how = "surer" if step > 0 else "less sure"
        said += f" So a text in {language} must be {abs(100 * step):.1f} points {how} than usual."
    return said


def format_text(table: Mapping[str, Any]) -> str:
    """Return the figures for a terminal; charts take 58 columns."""
    width = min(WIDTH, shutil.get_terminal_size().columns)
    parts = [textwrap.fill(sentences(table), width)]
    for title, name in (("day", "by_day"), ("language", "by_language")):
        if any(figures["shown"] for figures in table[name].values()):
            parts.append(_chart(title, table[name]))
    return "\n\n".join(parts) + "\n"


def _chart(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    most = max(figures["shown"] for figures in rows.values())
    lines = [f"{title:<10} {'shown':>6} {'taken':>6} {'saved':>6}  # taken, - only shown"]
    for name, figures in rows.items():
        n_shown, n_taken = (round(BAR * figures[kind] / most) for kind in ("shown", "taken"))
        bar = "#" * n_taken + "-" * (n_shown - n_taken)
        numbers = " ".join(f"{figures[kind]:>6}" for kind in ("shown", "taken", "saved"))
        lines.append(f"{name:<10} {numbers}  {bar}".rstrip())
    return "\n".join(lines)


def format_page(table: Mapping[str, Any]) -> str:
    """Return the figures as a page that needs nothing else."""
    return _PAGE.format(
        words=html.escape(sentences(table)),
        by_day=_bars(table["by_day"]),
        by_language=_bars(table["by_language"]),
    )


def _bars(rows: Mapping[str, Mapping[str, Any]]) -> str:
    most = max([1, *(figures["shown"] for figures in rows.values())])
    parts = []
    for y, (name, figures) in zip(range(0, 22 * len(rows), 22), rows.items(), strict=True):
        said = f"{figures['shown']} shown, {figures['taken']} taken, {figures['saved']} keys saved"
        parts.append(f'<text x="0" y="{y + 14}">{html.escape(name)}</text>')
        for kind in ("shown", "taken"):
            width = round(260 * figures[kind] / most, 1)
            parts.append(f'<rect class="{kind}" x="90" y="{y}" width="{width}" height="18"/>')
        parts.append(f'<text x="362" y="{y + 14}">{said}</text>')
    return f'<svg viewBox="0 0 660 {22 * len(rows)}" role="img">{"".join(parts)}</svg>'
