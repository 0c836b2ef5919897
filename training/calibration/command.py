"""`foretype train fit`: fit ranker and gate for models on repositories, and report on others.

What is fitted speaks of a network's certainty, not of the network, so several can be fitted
together, each on the languages that it serves: more cursors for all. Two rounds, since what the
network gets to see is what the index's ranker puts first: first the index alone, then network and
index together. Thresholds are taken from choices on repositories that were left out of the fit.
For networks of others the bundled one's parameters are fitted further: a hundred cursors are too
few for more, and the index's part and the thresholds hold as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.cli.command import CommandParser
from assistant.generate.backend import LocalBackend, open_backend
from assistant.rank.ranker import (
    FORMAT_VERSION,
    FittedRanker,
    OperatingPoint,
    RankerParameters,
    SmallNetwork,
    bundled,
    columns,
    parse,
)
from model.folder import bundled_folders, copy_folder
from model.gguf_model import REFERENCE, check_reference, write_ranker
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
from training.calibration.report import choose_points
from training.cli import Report, count, existing_folder, existing_model, report_on
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.systems import INDEX, NETWORK_AND_INDEX

KINDS = ("head", "history")
RANKER = FitSettings(hidden=32, epochs=30, decay=3e-2, members=3)
GATE = FitSettings(hidden=32, epochs=12, batch=1024, rate=4e-3, decay=2e-2, members=4)
RANKER_ON = FitSettings(epochs=10, batch=32, rate=1e-3, decay=0.0)  # of one that is fitted further
GATE_ON = FitSettings(epochs=5, batch=256, rate=1e-3, decay=0.0)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    return report_on("train fit", _parser(), argv, _make, report.format_report)


def _make(args: argparse.Namespace) -> Report:
    settings = CollectSettings(tasks=args.tasks, kinds=tuple(args.kinds), seed=args.seed)
    models: list[Path] = args.models or bundled_folders()
    backends = [open_backend(str(model), threads=1) for model in models]
    for model in models:
        if not (model / "foretype.json").is_file():  # what is fitted stands beside a reference
            check_reference(model)
    start = None if any(backend.info.languages for backend in backends) else bundled()
    table, parameters, figures = fit(args.repositories, settings, backends, start)
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
    return {"fitted": figures, "reported": comparison}


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
    repositories: Sequence[Path],
    settings: CollectSettings,
    backends: Sequence[LocalBackend],
    start: RankerParameters | None,
) -> tuple[dict[str, Any], RankerParameters, Report]:
    """Return the table of `ranker.json`, what it parses to, and figures of cursors left out.

    `start` is fitted further, its index's part left as it is.
    """
    figures: Report = {}
    if start is None:
        index, figures[INDEX] = _fit_part(_gather(repositories, settings, [], None), None)
    else:
        index = start.index
    first = RankerParameters(index=index, both=None)
    examples = _gather(repositories, settings, backends, first)
    before = start.both if start else None
    if before is not None:
        chosen = [choose(each, before) for each in examples]
        figures[f"{NETWORK_AND_INDEX}, before"] = report.figures_of(chosen, before.points)
    engine, figures[NETWORK_AND_INDEX] = _fit_part(examples, before)
    table = {
        "format_version": FORMAT_VERSION,
        "columns": columns(),
        "memory": fitted_table(index),
        "both": fitted_table(engine),
    }
    return table, parse(table), figures


def _gather(
    repositories: Sequence[Path],
    settings: CollectSettings,
    backends: Sequence[LocalBackend],
    parameters: RankerParameters | None,
) -> list[RankingExample]:
    examples = collect(repositories, settings, backends, parameters)
    if not any(each.texts for each in examples):
        raise ReplayError("there is nothing to fit on: at no cursor is anything proposed")
    return examples


def _fit_part(
    examples: Sequence[RankingExample], start: FittedRanker | None
) -> tuple[FittedRanker, Report]:
    """Fit on all examples; points and figures are of choices made without the repository.

    The gate is fitted on such choices too: on its own examples a ranker is too sure. Thresholds are
    for people who type, so the history decides about them where there is one.
    """
    ranker, gate = RANKER, GATE
    if start is not None:
        ranker, gate = _further(RANKER_ON, start.ranker), _further(GATE_ON, start.gate)
    choices = choose_out_of_fold(examples, ranker, gate)
    languages = fit_languages(choices, start.languages if start else {})
    corrected = [correct(each, languages) for each in choices]
    points = start.points if start else choose_points(report.typed(corrected))
    figures = report.figures_of(corrected, points)
    fitted = FittedRanker(
        ranker=fit_ranker(examples, ranker),
        gate=fit_gate(choices, gate),
        languages=languages,
        points={name: OperatingPoint(**its) for name, its in figures["levels"].items()},
    )
    return fitted, figures


def _further(settings: FitSettings, start: SmallNetwork) -> FitSettings:
    return dataclasses.replace(settings, hidden=len(start.out), start=start)


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
