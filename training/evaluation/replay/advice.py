"""What follows from a report, in plain sentences: which `show`, what it saves, whether to tune."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.evaluation.intervals import format_percent
from training.evaluation.replay.systems import INDEX, NETWORK, NETWORK_AND_INDEX

GOOD_SHARE = 0.5  # of what is shown: with less right, more is read in vain than is taken
BYTES_PER_TOKEN = 3.2  # of Python and the bundled tokenizer, measured
#: tokens of code from which tuning was seen to pay, and below which it is refused (docs/tune.md)
MUCH_CODE, LITTLE_CODE = 1_000_000, 20_000
MIN_COMMITS = 50
_FEW = 100  # cursors


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
        yield "That is from few cursors; without --quick it is more certain."


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
