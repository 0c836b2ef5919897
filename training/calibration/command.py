"""`foretype train fit`: fit ranker and gate for models on repositories, and report on others.

What is fitted speaks of a network's certainty, not of the network, so several can be fitted
together, each on the languages that it serves: more cursors for all. Two rounds, since what the
network gets to see is what the index's ranker puts first: first the index alone, then network and
index together. Thresholds are taken from choices on repositories that were left out of the fit.
For networks of others the bundled one's parameters are fitted further: a hundred cursors are too
few for more, and the index's part and the thresholds hold as they are.

The report has operating points: from which probability on a suggestion is shown, and what that
gives. On other repositories, that nothing was fitted on, the parts and the longest match answer the
same cursors and are compared pair by pair.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.cli.command import CommandParser
from assistant.generate.backend import LocalBackend, open_backend
from assistant.models.registry_file import repository_root
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
from model.foreign import REFERENCE, check_reference, write_ranker
from training.calibration.collect import CollectSettings, RankingExample, collect
from training.calibration.networks import (
    FitSettings,
    RankedChoice,
    choose,
    choose_out_of_fold,
    correct,
    fit_gate,
    fit_languages,
    fit_ranker,
    fitted_table,
)
from training.cli import Report, count, existing_folder, existing_model, report_file, report_on
from training.evaluation.intervals import (
    Figure,
    calibration_error,
    format_interval,
    macro_mean,
    reliability,
)
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.systems import INDEX, LONGEST_MATCH, NETWORK, NETWORK_AND_INDEX

#: of "quiet"; where no threshold reaches it, the strictest one that shows anything
QUIET_PRECISION = 0.8
#: "balanced" hides at most this share of what is right: at 0.12 a tenth less is shown, at 0.03
#: nearly a third of what is shown is wrong (experiments.md)
MAX_HIDDEN = 0.065
EAGER_THRESHOLD = 0.1
_MARGIN = 0.02  # more than the target is asked for: elsewhere it will be a little less
_MIN_SHOWN = 20  # a precision of fewer is chance
_TRIED = tuple(number / 100 for number in range(10, 100))
KINDS = ("head", "history")
RANKER = FitSettings(hidden=32, epochs=30, decay=3e-2, members=3)
GATE = FitSettings(hidden=32, epochs=12, batch=1024, rate=4e-3, decay=2e-2, members=4)
RANKER_ON = FitSettings(epochs=10, batch=32, rate=1e-3, decay=0.0)  # of one that is fitted further
GATE_ON = FitSettings(epochs=5, batch=256, rate=1e-3, decay=0.0)


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    return report_on("train fit", _parser(), argv, _make, format_report)


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
        settings = settings._replace(line_ends=False, seed=settings.seed + 1)
        comparison = compare(args.report, settings, backends, parameters)
    return {"fitted": figures, "reported": comparison}


def _parser() -> CommandParser:
    parser = CommandParser(prog="foretype train fit", description=__doc__)
    option = parser.add_argument
    help_ = "to be fitted together (default: the bundled ones)"
    option("models", metavar="MODEL", type=existing_model, nargs="*", help=help_)
    help_ = "to fit on (default: the one around this folder)"
    here = [repository_root(Path()) or Path().absolute()]
    option("--repositories", type=existing_folder, nargs="+", default=here, help=help_)
    option("--report", type=existing_folder, nargs="+", help="to report on, apart")
    option("--out", type=Path, help="write the model folders with their ranker.json here")
    option("--json", type=report_file, help="write the figures here too")
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
        figures[f"{NETWORK_AND_INDEX}, before"] = figures_of(chosen, before.points)
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
    if not any(each.ranking.texts for each in examples):
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
    points = start.points if start else choose_points(typed(corrected))
    figures = figures_of(corrected, points)
    fitted = FittedRanker(
        ranker=fit_ranker(examples, ranker),
        gate=fit_gate(choices, gate),
        languages=languages,
        points={name: OperatingPoint(**its) for name, its in figures["levels"].items()},
    )
    return fitted, figures


def _further(settings: FitSettings, start: SmallNetwork) -> FitSettings:
    return settings._replace(hidden=len(start.out), start=start)


def compare(
    repositories: Sequence[Path],
    settings: CollectSettings,
    backends: Sequence[LocalBackend],
    parameters: RankerParameters,
) -> dict[str, Report]:
    """Return how all systems do on repositories that nothing was fitted on."""
    assert parameters.both is not None, "fitted before it is compared"
    engine = collect(repositories, settings, backends, parameters)
    settings = settings._replace(longest_match=True)
    alone = collect(repositories, settings, [], parameters)
    pairs = list(zip(engine, alone, strict=True))
    return {
        kind: compare_systems(
            [choose(each, parameters.both) for each, _ in pairs if each.kind == kind],
            [choose(each, parameters.index) for _, each in pairs if each.kind == kind],
            parameters.both,
        )
        for kind in sorted({each.kind for each in engine})
    }


def choose_points(choices: Sequence[RankedChoice]) -> dict[str, OperatingPoint]:
    """Return each level's point.

    Of "balanced", the highest threshold that hides few right answers; of "quiet", the lowest above
    that which keeps its precision.
    """
    counts = {threshold: _count(choices, threshold) for threshold in _TRIED}
    most = max(n_right for _, n_right in counts.values())
    enough = [t for t, (_, n_right) in counts.items() if n_right >= (1 - MAX_HIDDEN) * most]
    balanced = max(enough) if most else EAGER_THRESHOLD
    stricter = {t: its for t, its in counts.items() if t >= balanced}
    least = QUIET_PRECISION + _MARGIN
    good = [t for t, (n, n_right) in stricter.items() if n >= _MIN_SHOWN and n_right >= least * n]
    strictest = max((t for t, (n, _) in stricter.items() if n), default=1.0)
    thresholds = {
        "eager": EAGER_THRESHOLD, "balanced": balanced, "quiet": min(good, default=strictest)
    }  # fmt: skip
    return {level: measure_point(choices, threshold) for level, threshold in thresholds.items()}


def _count(choices: Sequence[RankedChoice], threshold: float) -> tuple[int, int]:
    """Return how many would be shown, and how many of them are right."""
    shown = [its for each in choices if (its := each.shown_from(threshold)).has_text]
    return len(shown), sum(its.is_right for its in shown)


def measure_point(choices: Sequence[RankedChoice], threshold: float) -> OperatingPoint:
    """Measure one threshold; hidden is what is right from `EAGER_THRESHOLD` on."""
    n_shown, n_right = _count(choices, threshold)
    most = max(n_right, _count(choices, EAGER_THRESHOLD)[1])
    return OperatingPoint(
        threshold=round(min(max(threshold, 0.0), 1.0), 4),
        precision=round(n_right / max(1, n_shown), 4),
        coverage=round(n_shown / max(1, len(choices)), 4),
        hidden=round(1 - n_right / max(1, most), 4),
    )


def typed(choices: Sequence[RankedChoice]) -> Sequence[RankedChoice]:
    """Return those at lines that were typed, by which thresholds go; all where there are none."""
    return [c for c in choices if c.example.kind == "history"] or choices


def figures_of(
    choices: Sequence[RankedChoice], points: Mapping[str, OperatingPoint]
) -> dict[str, Any]:
    """Return what the levels' thresholds give, and how right and how calibrated choices are."""
    bins = reliability((c.probability, c.is_right) for c in choices if c.has_text)
    return {
        "tasks": len(choices),
        "exact": float(np.mean([c.is_exact for c in choices])),
        "calibration_error": calibration_error(bins) or 0.0,
        "levels": {
            name: dataclasses.asdict(measure_point(typed(choices), its.threshold))
            for name, its in points.items()
        },
    }


def _exact(examples: Sequence[RankingExample], values: Sequence[float]) -> Figure:
    """Return the mean over repositories; whole files or commits are drawn again."""
    pairs = zip(examples, values, strict=True)
    return macro_mean((example.repository, example.group, value) for example, value in pairs)


def compare_systems(
    engine: Sequence[RankedChoice], index: Sequence[RankedChoice], fitted: FittedRanker
) -> dict[str, Any]:
    """Return who is right how often at the same cursors, and what levels show.

    `engine` (network and index) and `index` (alone) are choices at the same cursors in the same
    order; the longest match's line and the network's own stand in their examples.
    """
    examples = [c.example for c in engine]
    right = {
        NETWORK_AND_INDEX: [c.is_exact for c in engine],
        INDEX: [c.is_exact for c in index],
        NETWORK: [example.greedy == example.truth for example in examples],
        LONGEST_MATCH: [c.example.longest_match == c.example.truth for c in index],
    }
    exact = {
        name: _exact(examples, [float(is_right) for is_right in its]) for name, its in right.items()
    }
    for baseline in (LONGEST_MATCH, INDEX):
        pairs = zip(right[NETWORK_AND_INDEX], right[baseline], strict=True)
        exact[f"{NETWORK_AND_INDEX} against {baseline}"] = _exact(
            examples, [float(a) - float(b) for a, b in pairs]
        )
    return figures_of(engine, fitted.points) | {"exact": exact}


def format_report(report: Mapping[str, Any]) -> str:
    """Return all of it for people."""
    lines = []
    for name, figures in report["fitted"].items():
        lines.append(f"{name}: shown from, precision, coverage, right answers hidden")
        lines += [_level(level, its) for level, its in figures["levels"].items()]
        exact, off = 100 * figures["exact"], 100 * figures["calibration_error"]
        lines.append(f"  {figures['tasks']} tasks, exact {exact:.1f}%, off by {off:.1f} points")
    for kind, its in report["reported"].items():
        lines += _comparison_lines(kind, its)
    return "\n".join(lines) + "\n"


def _level(name: str, its: Mapping[str, float]) -> str:
    shares = "".join(f"{100 * its[k]:>7.1f}%" for k in ("precision", "coverage", "hidden"))
    return f"  {name:<10}{its['threshold']:>7.3f}{shares}"


def _comparison_lines(kind: str, its: Mapping[str, Any]) -> Iterator[str]:
    yield f"reported, {kind}: {its['tasks']} tasks, exact [95%]"
    for name, exact in its["exact"].items():
        yield f"  {name:<38}{format_interval(exact):>22}"
    yield f"  off by, on average: {100 * its['calibration_error']:.1f} points"
    for level, figures in its["levels"].items():
        yield _level(level, figures)
