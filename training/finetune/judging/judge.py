"""Base and tuned model, with the index and without, on commits that neither was fitted on.

Replays the judged commits through the engine that editors use, four systems at each cursor, and
measures what the lines that they added cost each network; then decides (see `decision`). The index
is of the tree before each commit, as in `foretype eval`. Deterministic by its seed; an interrupt
goes through and nothing is decided.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.generate.engine import open_from
from assistant.settings import Settings
from model.folder import ModelFolder, load_folder
from training.data.progress import Progress
from training.evaluation.bits_per_byte import ByteCost, Passage, folder_scorer, measure_cost
from training.evaluation.intervals import Interval
from training.evaluation.replay import metrics
from training.evaluation.replay.metrics import Asked
from training.evaluation.replay.report import SPLITS, assemble
from training.evaluation.replay.run import INTERRUPTED, Measured, Plan, measure, plan_work
from training.evaluation.replay.systems import EngineSystem, System, TreeIndex
from training.finetune.judging.decision import LIMITS, decide
from training.finetune.judging.eval_spans import added_passages, general_passages
from training.finetune.judging.resampling import difference, gain, ratio, resample
from training.finetune.plan import TunePlan

FORMAT = 2
BASE, TUNED = "base", "tuned"
N_COMMITS = 40  # an index is built for each
CURSORS_PER_LINE = 25  # a whole line is typed for so many cursors
MAX_BYTES = 120_000  # measured of the lines added later, and of general code
ALL_LINES = "all"
_HALF_METRIC = "right, surer half"

Report = dict[str, Any]


def system_name(model: str, *, has_index: bool) -> str:
    """Return what tables call one cell of the 2x2."""
    return f"{model} + index" if has_index else f"{model} alone"


def judge_models(
    plan: TunePlan, tuned: Path, general: Sequence[tuple[str, str]], folder: Path
) -> Report:
    """Compare what serves with the model at `tuned` on the commits that judge, and decide.

    `general` is (path, text) of code that tuning did not see, measured against the plan's base;
    `folder` is for indexes while it lasts. ReplayError, ModelError and others say what is wrong.
    Returns, for JSON: `promoted`; `reasons`, of a refusal every one that was missed; the `scores`
    of the registry; the `report`, every figure with its interval and no line of code.
    """
    models = {BASE: load_folder(Path(plan.serving.path)), TUNED: load_folder(tuned)}
    general_models = models | {BASE: load_folder(Path(plan.base.path))}
    repository, revisions, seed = Path(plan.root), plan.split.judged, plan.options.seed
    added = added_passages(repository, revisions, max_bytes=MAX_BYTES, seed=seed)
    held_out = general_passages(general, max_bytes=MAX_BYTES, seed=seed)
    replay = Plan(
        n_tasks=plan.options.n_tasks,
        n_lines=max(1, plan.options.n_tasks // CURSORS_PER_LINE),
        n_commits=N_COMMITS,
        seed=seed,
        revisions=revisions,
    )
    systems = open_systems({name: model.path for name, model in models.items()}, folder)
    measured = _replay(repository, replay, systems)
    report: Report = {
        "format": FORMAT,
        "revisions": revisions,
        "limits": LIMITS,
        **{name: _identify(model) for name, model in models.items()},
        "general_base": _identify(general_models[BASE]),
        "bits": {
            "later": compare_costs(*_measure_both(models, added, "lines added later")),
            "general": compare_costs(*_measure_both(general_models, held_out, "general code")),
        },
        "gains": compare_systems(measured),
        "replay": assemble(
            measured,
            systems,
            replay,
            model=models[TUNED].info.name,
            content_hash=models[TUNED].content_hash,
        ),
    }
    promoted, reasons = decide_by(report)
    decision = {"promoted": promoted, "reasons": reasons}
    return decision | {"scores": registry_scores(report), "report": report | decision}


def _identify(model: ModelFolder) -> Report:
    return {"name": model.info.name, "content_hash": model.content_hash}


def open_systems(models: dict[str, Path], folder: Path) -> list[System]:
    """Return the four systems; a model's two share its network, all share the index."""
    tree = TreeIndex(folder)
    settings = {name: Settings(model=str(path), show="eager") for name, path in models.items()}
    backends = {name: open_from(each) for name, each in settings.items()}
    return [
        EngineSystem(
            system_name(name, has_index=has_index),
            settings[name],
            backends[name],
            tree if has_index else None,
        )
        for has_index in (True, False)
        for name in (TUNED, BASE)
    ]


def _replay(repository: Path, plan: Plan, systems: list[System]) -> Measured:
    work = plan_work([repository], plan)
    total = sum(part.n_cursors for part in work)
    progress = Progress("cursors", total)
    measured = measure(
        work, systems, on_progress=lambda done: progress.show(done, last=done >= total)
    )
    if measured.stopped == INTERRUPTED:
        raise KeyboardInterrupt  # half of the commits decide nothing
    return measured


def _measure_both(
    models: dict[str, ModelFolder], passages: Sequence[Passage], what: str
) -> tuple[list[ByteCost], list[ByteCost]]:
    """Return what the passages cost the base and the tuned model."""
    costs: dict[str, list[ByteCost]] = {BASE: [], TUNED: []}
    progress, done = Progress(what, 2 * len(passages)), 0
    for name, its in costs.items():
        scorer = folder_scorer(models[name])
        for passage in passages:
            its.append(measure_cost(scorer, passage))
            done += 1
            progress.show(done, last=done == 2 * len(passages))
    return costs[BASE], costs[TUNED]


def compare_costs(base: Sequence[ByteCost], tuned: Sequence[ByteCost]) -> Report:
    """Return bits/byte of both at the same passages and the share gained, with their ranges."""
    groups = [cost.group for cost in base]
    pairs = [(one.bits, other.bits) for one, other in zip(base, tuned, strict=True)]
    figures = {
        BASE: resample(groups, [(cost.bits, cost.n_bytes) for cost in base], ratio),
        TUNED: resample(groups, [(cost.bits, cost.n_bytes) for cost in tuned], ratio),
        "gain": resample(groups, pairs, gain),
    }
    return {"bytes": sum(cost.n_bytes for cost in base), "groups": len(set(groups))} | {
        name: dataclasses.asdict(figure) for name, figure in figures.items()
    }


def compare_systems(measured: Measured) -> list[Report]:
    """Return tuned minus base, paired by cursor: with the index and without, by kind of line."""
    found = []
    for has_index in (True, False):
        left, right = (system_name(name, has_index=has_index) for name in (TUNED, BASE))
        for lines, asked in _split_by_line(measured.asked).items():
            differences = {
                metric: metrics.difference(asked, left, right, metric)
                for metric in ("exact", "right", "similarity")
            }
            if lines == ALL_LINES:
                differences["saved"] = metrics.saved_difference(measured.lines, left, right)
                differences[_HALF_METRIC] = compare_surer_halves(asked, left, right)
            found += [
                {"index": has_index, "lines": lines, "metric": metric, "tasks": len(asked)}
                | dataclasses.asdict(value)
                for metric, value in differences.items()
                if value is not None
            ]
    return found


def _split_by_line(asked: Sequence[Asked]) -> dict[str, list[Asked]]:
    label = SPLITS["line"]
    found = {ALL_LINES: list(asked)}
    for item in asked:
        found.setdefault(label(item.stratum), []).append(item)
    return found


def compare_surer_halves(asked: Sequence[Asked], left: str, right: str) -> Interval | None:
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
    return resample([item.stratum.commit for item in asked], rows, difference)


def _shown_right(item: Asked, name: str, least: float) -> tuple[float, float]:
    is_shown = metrics.is_shown(item, name, lambda stratum: least)
    return float(is_shown and item.judged[name].is_right), float(is_shown)


def decide_by(report: Report) -> tuple[bool, list[str]]:
    """Return whether to promote by the figures of a report, and why."""
    cells, [repository] = report["replay"]["systems"], report["replay"]["repositories"]
    exact = {name: cells[system_name(name, has_index=True)]["exact"] for name in (BASE, TUNED)}
    gain = next(
        each
        for each in report["gains"]
        if (each["index"], each["lines"], each["metric"]) == (True, ALL_LINES, "exact")
    )
    exact["gain"] = {key: gain[key] for key in ("mean", "low", "high")}
    return decide(
        report["bits"]["later"],
        exact,
        report["bits"]["general"],
        n_tasks=repository["tasks"],
        n_commits=repository["commits"],
    )


def registry_scores(report: Report) -> dict[str, float]:
    """Return the figures that a list of models shows."""
    systems, bits = report["replay"]["systems"], report["bits"]
    scores = {}
    for name in (BASE, TUNED):
        for has_index in (False, True):
            cell = systems[system_name(name, has_index=has_index)]
            for metric in ("exact", "saved"):
                key = f"{metric}_{name}_{'on' if has_index else 'off'}"
                scores[key] = cell[metric]["mean"]
        scores[f"bits_{name}"] = bits["later"][name]["mean"]
        scores[f"general_{name}"] = bits["general"][name]["mean"]
    return scores
