"""`foretype train fit`: fit ranker and gate for models on repositories, and report on others.

What is fitted speaks of a network's certainty, not of the network, so several can be fitted
together, each on the languages that it serves: more cursors for all. Two rounds, since what the
network gets to see is what the index's ranker puts first: first the index alone, then network and
index together. Thresholds are taken from choices on repositories that were left out of the fit.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.cli.command import CommandParser
from assistant.generate.backend import LocalBackend, open_backend
from assistant.rank.ranker import FORMAT_VERSION, FittedRanker, RankerParameters, columns, parse
from model.folder import bundled_folders, copy_folder
from model.gguf_model import REFERENCE, write_ranker
from training.calibration import report
from training.calibration.collect import CollectSettings, RankingExample, collect
from training.calibration.networks import (
    FitSettings,
    choose,
    choose_out_of_fold,
    correct,
    fit_gate,
    fit_languages,
    fit_ranker,
    fitted_table,
)
from training.calibration.operating_points import choose_points
from training.cli import existing_folder, existing_model
from training.evaluation.command import Report, count, report_on
from training.evaluation.replay.systems import INDEX, NETWORK_AND_INDEX

KINDS = ("head", "history")
RANKER = FitSettings(hidden=32, epochs=30, decay=3e-2, members=3)
GATE = FitSettings(hidden=32, epochs=12, batch=1024, rate=4e-3, decay=2e-2, members=4)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    return report_on("train fit", _parser(), argv, _make, report.format_report)


def _make(args: argparse.Namespace) -> Report:
    settings = CollectSettings(tasks=args.tasks, kinds=tuple(args.kinds), seed=args.seed)
    models: list[Path] = args.models or bundled_folders()
    backends = [open_backend(str(model), threads=1) for model in models]
    table, parameters = fit(args.repositories, settings, backends)
    for model in models:
        if (model / REFERENCE).is_file():
            write_ranker(model, table)
        elif args.out:
            out = args.out if len(models) == 1 else args.out / model.name
            copy_folder(model, out, ranker=table)
    comparison: dict[str, Report] = {}
    if args.report:
        settings = dataclasses.replace(settings, line_ends=False, seed=settings.seed + 1)
        comparison = compare(args.report, settings, backends, parameters)
    return {
        "points": {INDEX: table["memory"]["points"], NETWORK_AND_INDEX: table["both"]["points"]},
        "reported": comparison,
    }


def _parser() -> CommandParser:
    parser = CommandParser(prog="foretype train fit", description=__doc__)
    option = parser.add_argument
    help_ = "to be fitted together (default: the bundled ones)"
    option("models", metavar="MODEL", type=existing_model, nargs="*", help=help_)
    help_ = "to fit on (default: the one around this folder)"
    option(
        "--repositories", type=existing_folder, nargs="+", default=[Path().absolute()], help=help_
    )
    option("--report", type=existing_folder, nargs="+", help="to report on, apart")
    option("--out", type=Path, help="write the model folders with their ranker.json here")
    option("--json", type=Path, help="write the figures here too")
    help_ = "cursors a repository and kind (default: 1000)"
    option("--tasks", type=count, default=1_000, help=help_)
    help_ = "head: the newest files; history: lines that later commits added"
    option("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help=help_)
    option("--seed", type=int, default=0)
    return parser


def fit(
    repositories: Sequence[Path], settings: CollectSettings, backends: Sequence[LocalBackend]
) -> tuple[dict[str, Any], RankerParameters]:
    """Return the table of `ranker.json`, and what it parses to."""
    examples = collect(repositories, settings, [], None)
    index = _fit_part(examples)
    first = RankerParameters(index=index, both=None)
    examples = collect(repositories, settings, backends, first)
    engine = _fit_part(examples)
    table = {
        "format_version": FORMAT_VERSION,
        "columns": columns(),
        "memory": fitted_table(index),
        "both": fitted_table(engine),
    }
    return table, parse(table)


def _fit_part(examples: Sequence[RankingExample]) -> FittedRanker:
    """Fit on all examples; the points come from choices made without the example's repository.

    The gate is fitted on such choices too: on its own examples a ranker is too sure. Thresholds are
    for people who type, so the history decides about them where there is one.
    """
    choices = choose_out_of_fold(examples, RANKER, GATE)
    languages = fit_languages(choices)
    corrected = [correct(each, languages) for each in choices]
    typed = [c for c in corrected if c.example.kind == "history"] or corrected
    return FittedRanker(
        ranker=fit_ranker(examples, RANKER),
        gate=fit_gate(choices, GATE),
        languages=languages,
        points=choose_points(typed),
    )


def compare(
    repositories: Sequence[Path],
    settings: CollectSettings,
    backends: Sequence[LocalBackend],
    parameters: RankerParameters,
) -> dict[str, Report]:
    """Return how all systems do on repositories that nothing was fitted on."""
    if parameters.both is None:
        raise ValueError("the network's part was not fitted")
    engine = collect(repositories, settings, backends, parameters)
    settings = dataclasses.replace(settings, longest_match=True)
    alone = collect(repositories, settings, [], parameters)
    return report.compare_systems(
        [choose(each, parameters.both) for each in engine],
        [choose(each, parameters.index) for each in alone],
        parameters.both,
    )
