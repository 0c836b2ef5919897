"""Base and tuned model, with memory and without, on commits that neither tuning nor fitting saw.

Replays the judged commits through the engine that editors use, four systems at each cursor, and
measures what the lines that they added cost each network; then decides (see `decision`). The index
is of the tree before each commit, as in `foretype eval`. Deterministic by its seed; an interrupt
goes through and nothing is decided.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from assistant.generate.engine import open_from
from assistant.settings import Settings
from model.folder import ModelFolder, load_folder
from training.evaluation.bits_per_byte import ByteCost, Passage, folder_scorer, measure_cost
from training.evaluation.intervals import Interval
from training.evaluation.replay import metrics
from training.evaluation.replay.metrics import Asked
from training.evaluation.replay.report import SPLITS, About, assemble
from training.evaluation.replay.run import INTERRUPTED, Measured, Plan, measure, plan_work
from training.evaluation.replay.systems import EngineSystem, Indexes, System
from training.finetune.judging.decision import Figures, decide
from training.finetune.judging.eval_spans import added_passages, general_passages
from training.finetune.judging.progress import OnProgress, Phases
from training.finetune.judging.resampling import Statistic, difference, gain, ratio, resampled
from training.finetune.judging.verdict import Limits, Verdict

FORMAT = 1
BASE, TUNED = "base", "tuned"
N_COMMITS = 40  # an index is built for each
CURSORS_PER_LINE = 25  # a whole line is typed for so many cursors
MAX_BYTES = 120_000  # counted of the lines added later, and of general code
ALL_LINES = "all"
_HALF_METRIC = "right, surer half"

Report = dict[str, Any]


def system_name(model: str, *, memory: bool) -> str:
    """Return what tables call one cell of the 2x2."""
    return f"{model} + memory" if memory else f"{model} alone"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bits:
    """What the same passages cost both networks."""

    base: list[ByteCost]
    tuned: list[ByteCost]

    def table(self) -> Report:
        """Return bits/byte of both and the share that is gained, with their ranges."""
        groups = [each.group for each in self.base]
        left, right = ([each.bits for each in its] for its in (self.base, self.tuned))
        n_bytes = [each.n_bytes for each in self.base]

        def ranged(rows: Iterable[tuple[float, float]], statistic: Statistic) -> Report:
            return dataclasses.asdict(resampled(groups, list(rows), statistic))

        return {
            "bytes": sum(n_bytes),
            "groups": len(set(groups)),
            BASE: ranged(zip(left, n_bytes, strict=True), ratio),
            TUNED: ranged(zip(right, n_bytes, strict=True), ratio),
            "gain": ranged(zip(left, right, strict=True), gain),
        }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The model folders, and what they are judged by."""

    base: Path  # what serves now, and is to be beaten
    tuned: Path
    general_base: Path  # the model whose general code must not be forgotten, however many nights on
    repository: Path
    revisions: str  # commits that neither tuning nor fitting saw
    general: Sequence[tuple[str, str]]  # (path, text) of code that tuning did not see
    folder: Path  # for indexes while it lasts
    n_tasks: int
    seed: int = 0
    limits: Limits = dataclasses.field(default_factory=Limits)


def judge(trial: Trial, on_progress: OnProgress | None = None) -> Verdict:
    """Compare the two on a range of commits, and decide.

    ReplayError, ModelError and others say what is wrong with what was given.
    """
    progress = on_progress or Phases()
    models = {BASE: load_folder(trial.base), TUNED: load_folder(trial.tuned)}
    general = models | {BASE: load_folder(trial.general_base)}
    plan = Plan(
        n_tasks=trial.n_tasks,
        n_lines=max(1, trial.n_tasks // CURSORS_PER_LINE),
        n_commits=N_COMMITS,
        seed=trial.seed,
        revisions=trial.revisions,
    )
    drawn = {"max_bytes": MAX_BYTES, "seed": trial.seed}
    later = added_passages(trial.repository, trial.revisions, **drawn)
    plain = general_passages(trial.general, **drawn)
    measured, systems = _replayed(models, trial, plan, progress)
    about = About(
        model=models[TUNED].info.name, content_hash=models[TUNED].content_hash, skipped=()
    )
    counted = {
        "later": _counted(models, later, partial(progress, "lines added later")),
        "general": _counted(general, plain, partial(progress, "general code")),
    }
    report: Report = {
        "format": FORMAT,
        "revisions": trial.revisions,
        "limits": dataclasses.asdict(trial.limits),
        **{name: _identity(model) for name, model in models.items()},
        "general_base": _identity(general[BASE]),
        "bits": {name: each.table() for name, each in counted.items()},
        "gains": gains(measured),
        "replay": assemble(measured, systems, plan, about),
    }
    promoted, reasons = decide(figures_of(report), trial.limits)
    report |= {"promoted": promoted, "reasons": list(reasons)}
    return Verdict(promoted=promoted, reasons=reasons, scores=scores_of(report), report=report)


def _identity(model: ModelFolder) -> Report:
    return {"name": model.info.name, "content_hash": model.content_hash}


def _replayed(
    models: dict[str, ModelFolder],
    trial: Trial,
    plan: Plan,
    progress: OnProgress,
) -> tuple[Measured, list[System]]:
    work = plan_work([trial.repository], plan)
    systems = open_cells({name: model.path for name, model in models.items()}, trial.folder)
    total = sum(part.n_cursors for part in work)
    measured = measure(work, systems, on_progress=lambda done: progress("cursors", done, total))
    if measured.stopped == INTERRUPTED:
        raise KeyboardInterrupt  # half of the commits decide nothing
    return measured, systems


def open_cells(models: dict[str, Path], folder: Path) -> list[System]:
    """Return the four systems; a model's two share its network, all share the index."""
    indexes = Indexes(folder)
    settings = {name: Settings(model=str(path), show="eager") for name, path in models.items()}
    backends = {name: open_from(each) for name, each in settings.items()}
    return [
        EngineSystem(
            system_name(name, memory=memory),
            settings[name],
            backends[name],
            indexes if memory else None,
        )
        for memory in (True, False)
        for name in (TUNED, BASE)
    ]


def _counted(
    models: dict[str, ModelFolder],
    passages: Sequence[Passage],
    progress: Callable[[int, int], None],
) -> Bits:
    found: dict[str, list[ByteCost]] = {}
    total = len(models) * len(passages)
    for name, model in models.items():
        scorer, found[name] = folder_scorer(model), []
        for passage in passages:
            found[name].append(measure_cost(scorer, passage))
            progress(sum(map(len, found.values())), total)
    return Bits(base=found[BASE], tuned=found[TUNED])


def gains(measured: Measured) -> list[Report]:
    """Return tuned less base, cursor by cursor: with memory and without, by kind of line."""
    found = []
    for memory in (True, False):
        left, right = (system_name(name, memory=memory) for name in (TUNED, BASE))
        for lines, asked in _by_line(measured.asked).items():
            differences = {
                metric: metrics.difference(asked, left, right, metric)
                for metric in ("exact", "right", "similarity")
            }
            if lines == ALL_LINES:
                differences["saved"] = metrics.saved_difference(measured.lines, left, right)
                differences[_HALF_METRIC] = half_difference(asked, left, right)
            found += [
                {"memory": memory, "lines": lines, "metric": metric, "tasks": len(asked)}
                | dataclasses.asdict(value)
                for metric, value in differences.items()
                if value is not None
            ]
    return found


def _by_line(asked: Sequence[Asked]) -> dict[str, list[Asked]]:
    label = SPLITS["line"]
    found = {ALL_LINES: list(asked)}
    for item in asked:
        found.setdefault(label(item.stratum), []).append(item)
    return found


def half_difference(asked: Sequence[Asked], left: str, right: str) -> Interval | None:
    """Return right of shown, when each shows the half of the cursors that it is surest of."""
    least = {
        name: metrics.threshold_for([item.judged[name] for item in asked]) for name in (left, right)
    }
    if None in least.values():
        return None
    rows = [
        [value for name in (left, right) for value in _shown_right(item, name, least[name] or 0.0)]
        for item in asked
    ]
    return resampled([item.stratum.commit for item in asked], rows, difference)


def _shown_right(item: Asked, name: str, least: float) -> tuple[float, float]:
    is_shown = metrics.is_shown(item, name, lambda stratum: least)
    return float(is_shown and item.judged[name].is_right), float(is_shown)


def figures_of(report: Report) -> Figures:
    """Return what is decided by."""
    later, general = report["bits"]["later"], report["bits"]["general"]
    cells = report["replay"]["systems"]
    exact = {name: cells[system_name(name, memory=True)]["exact"]["mean"] for name in (BASE, TUNED)}
    exact_gain = next(
        each
        for each in report["gains"]
        if (each["memory"], each["lines"], each["metric"]) == (True, ALL_LINES, "exact")
    )
    [repository] = report["replay"]["repositories"]
    return Figures(
        later_base=later[BASE]["mean"],
        later_tuned=later[TUNED]["mean"],
        later_gain=Interval(**later["gain"]),
        later_commits=later["groups"],
        general_base=general[BASE]["mean"],
        general_tuned=general[TUNED]["mean"],
        exact_base=exact[BASE],
        exact_tuned=exact[TUNED],
        exact_gain=Interval(*(exact_gain[key] for key in ("mean", "low", "high"))),
        tasks=repository["tasks"],
        commits=repository["commits"],
    )


def scores_of(report: Report) -> dict[str, float]:
    """Return the figures that a list of models shows."""
    scores = {
        f"{metric}_{name}_{'on' if memory else 'off'}": report["replay"]["systems"][
            system_name(name, memory=memory)
        ][metric]["mean"]
        for metric in ("exact", "saved")
        for name in (BASE, TUNED)
        for memory in (False, True)
    }
    for name in (BASE, TUNED):
        scores[f"bits_{name}"] = report["bits"]["later"][name]["mean"]
        scores[f"general_{name}"] = report["bits"]["general"][name]["mean"]
    return scores
