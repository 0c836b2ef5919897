"""`foretype train fit`: fit ranker and gate for a model on repositories, and report on others.

Two rounds, since what the network gets to see is what the memory's ranker puts first: first the
memory's word alone, then both. Thresholds are taken from choices on repositories that were left out
of the fit, one at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.errors import AssistantError
from assistant.local import LocalBackend, open_backend
from assistant.ranker import FORMAT_VERSION, Fitted, Parameters, columns, parse
from model.folder import BUNDLED, ModelFolderError, with_ranker
from training.cli import existing_folder
from training.data.sources import SourceError
from training.evaluation.intervals import Interval, macro_mean
from training.fit.collect import Plan, Sheet, collect
from training.fit.models import Choice, Shape, choose, fit_gate, fit_ranker, out_of_fold, table_of
from training.fit.points import calibration_error, operating_points, precision_at

KINDS = ("head", "history")
RANKER = Shape(hidden=32, epochs=30, decay=3e-2, members=3)
GATE = Shape(hidden=8, epochs=40, rate=5e-3, decay=3e-2, members=2)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    args = _parser().parse_args(argv)
    plan = Plan(tasks=args.tasks, kinds=tuple(args.kinds), seed=args.seed)
    try:
        backend = open_backend(str(args.model), threads=1)
        table, parameters, choices = fit(args.repositories, plan, backend)
        if args.out:
            with_ranker(args.model, args.out, table)
        rows = {"left out one at a time": choices}
        if args.report:
            plan = dataclasses.replace(plan, line_ends=False, seed=plan.seed + 1)
            rows |= report(args.report, plan, backend, parameters)
    except (ModelFolderError, AssistantError, SourceError, OSError, ValueError) as error:
        sys.stderr.write(f"foretype train fit: {error}\n")
        return 1
    sys.stdout.write(_table(table, rows))
    if args.json:
        args.json.write_text(json.dumps(_summary(rows), indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="foretype train fit", description=__doc__)
    parser.add_argument("model", type=existing_folder, nargs="?", default=BUNDLED)
    parser.add_argument(
        "--repositories", type=existing_folder, nargs="+", required=True, help="to fit on"
    )
    parser.add_argument("--report", type=existing_folder, nargs="+", help="to report on, apart")
    parser.add_argument("--out", type=Path, help="write the model with its ranker.json here")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--tasks", type=int, default=1_000, help="cursors a repository and kind (default: 1000)"
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS),
        help="head: the newest files; history: lines that later commits added",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    return parser


def fit(
    repositories: Sequence[Path], plan: Plan, backend: LocalBackend
) -> tuple[dict[str, Any], Parameters, dict[str, list[Choice]]]:
    """Return the table of `ranker.json`, what it parses to, and the choices behind its points."""
    sheets = collect(repositories, plan, None, None)
    memory, memory_choices = _fitted(sheets)
    first = Parameters(memory=memory, both=None)
    sheets = collect(repositories, plan, backend, first)
    both, both_choices = _fitted(sheets)
    table = {
        "format_version": FORMAT_VERSION,
        "columns": columns(),
        "memory": _fitted_table(memory),
        "both": _fitted_table(both),
    }
    return table, parse(table), {"memory": memory_choices, "both": both_choices}


def _fitted(sheets: Sequence[Sheet]) -> tuple[Fitted, list[Choice]]:
    """Fit on all sheets; the points come from choices made without the sheet's repository.

    The gate is fitted on such choices too: on its own sheets a ranker is too sure. Thresholds are
    for people who type, so the history decides about them where there is one.
    """
    choices = out_of_fold(sheets, RANKER, GATE)
    typed = [c for c in choices if c.sheet.kind == "history"] or choices
    return Fitted(
        ranker=fit_ranker(sheets, RANKER),
        gate=fit_gate(choices, GATE),
        points=operating_points(typed),
    ), choices


def _fitted_table(fitted: Fitted) -> dict[str, Any]:
    return {
        "ranker": table_of(fitted.ranker),
        "gate": table_of(fitted.gate),
        "points": {name: dataclasses.asdict(each) for name, each in fitted.points.items()},
    }


def report(
    repositories: Sequence[Path], plan: Plan, backend: LocalBackend, parameters: Parameters
) -> dict[str, dict[str, list[Choice]]]:
    """Return the choices on repositories that nothing was fitted on."""
    if parameters.both is None:
        raise ValueError("the network's part was not fitted")
    both = collect(repositories, plan, backend, parameters)
    alone = collect(repositories, plan, None, parameters)
    return {
        "reported": {
            "memory": [choose(each, parameters.memory) for each in alone],
            "both": [choose(each, parameters.both) for each in both],
        }
    }


def _table(table: dict[str, Any], rows: dict[str, dict[str, list[Choice]]]) -> str:
    lines = []
    for title, systems in rows.items():
        lines += [
            title,
            f"  {'':<24}{'exact [95%]':>22}{'among':>8}{'at 50%':>8}{'error':>8}{'tasks':>8}",
        ]
        for name, figures in _figures(systems).items():
            numbers = "".join(
                f"{100 * figures[key]:>7.1f}%"
                for key in ("among", "precision_at_half", "calibration_error")
            )
            exact = str(Interval(**figures["exact"]))
            lines.append(f"  {name:<24}{exact:>22}{numbers}{figures['tasks']:>8}")
    for name in ("memory", "both"):
        lines.append(f"{name}: shown from, precision, coverage, right answers hidden")
        for level, its in table[name]["points"].items():
            shares = "".join(f"{100 * its[k]:>7.1f}%" for k in ("precision", "coverage", "hidden"))
            lines.append(f"  {level:<10}{its['threshold']:>7.3f}{shares}")
    return "\n".join(lines) + "\n"


def _figures(systems: dict[str, list[Choice]]) -> dict[str, dict[str, Any]]:
    figures = {}
    for system, choices in systems.items():
        for kind in sorted({c.sheet.kind for c in choices}):
            for repository in ("all", *sorted({c.sheet.repository for c in choices})):
                its = [
                    c
                    for c in choices
                    if c.sheet.kind == kind
                    and c.sheet.truth
                    and repository in ("all", c.sheet.repository)
                ]
                if its:
                    figures[f"{system} {kind} {repository}"] = _figure(its)
    return figures


def _figure(choices: Sequence[Choice]) -> dict[str, Any]:
    n = len(choices)
    return {
        "tasks": n,
        "exact": dataclasses.asdict(_exact(choices)),
        "among": sum(c.sheet.label >= 0 for c in choices) / n,
        "precision_at_half": precision_at(choices, 0.5),
        "calibration_error": calibration_error(choices),
    }


def _exact(choices: Sequence[Choice]) -> Interval:
    """Return the mean over repositories; whole files or commits are drawn again."""
    outcomes: dict[str, dict[str, list[float]]] = {}
    for each in choices:
        groups = outcomes.setdefault(each.sheet.repository, {})
        groups.setdefault(each.sheet.group, []).append(float(each.is_exact))
    return macro_mean(outcomes)


def _summary(rows: dict[str, dict[str, list[Choice]]]) -> dict[str, Any]:
    return {title: _figures(systems) for title, systems in rows.items()}
