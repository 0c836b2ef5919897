"""Base and tuned model, with the index and without, on commits that neither was fitted on.

Replays the judged commits through the engine that editors use, four systems at each cursor, and
measures what the lines that they added cost each network; then decides. The index is of the tree
before each commit, as in `foretype eval`. Every draw is a function of the seed and of what is drawn
from; an interrupt goes through and
nothing is decided.

Three conditions, all needed: the lines added later cost clearly fewer bits per byte (the sharpest
figure there is: every byte counts); the engine with the index, which is what people use, completes
more lines, and by its interval hardly fewer; general code is hardly worse.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from assistant.generate.backend import open_from
from assistant.git import GitError
from assistant.settings import Settings
from model.folder import ModelFolder
from training.data.progress import count_shown
from training.evaluation.bits_per_byte import (
    ByteCost,
    Passage,
    bits_per_byte,
    folder_scorer,
    measure_cost,
    whole_file,
)
from training.evaluation.intervals import (
    format_interval,
    format_percent,
    format_points,
    paired_gain,
)
from training.evaluation.replay.history import BlobTexts, ReplayError, later_commits
from training.evaluation.replay.report import Report, assemble
from training.evaluation.replay.run import INTERRUPTED, Plan, measure, plan_work
from training.evaluation.replay.systems import EngineSystem, System, TreeIndex
from training.evaluation.replay.tasks import TypedLine, typed_lines
from training.finetune.plan import TunePlan, open_folder
from training.finetune.request import MIN_TASKS

MAX_COMMITS = 200  # of a range, spread evenly
MAX_PASSAGE_BYTES = 4_000  # counted of one file in one commit: no new file outweighs the rest
FORMAT = 4
N_COMMITS = 40  # an index is built for each
CURSORS_PER_LINE = 25  # a whole line is typed for so many cursors
MAX_BYTES = 120_000  # measured of the lines added later, and of general code
BASE, TUNED = "base", "tuned"
MIN_COMMITS = 5  # fewer say nothing about other commits
MIN_GAIN_BITS = 0.01  # of the base's bits/byte on the lines added later
MAX_EXACT_LOSS = 0.02  # of exact lines, with the index: the interval's lower end
MAX_GENERAL_LOSS = 0.02  # of the base's bits/byte on general code


def added_passages(
    repository: Path, revisions: str, *, max_bytes: int, seed: int = 0
) -> list[Passage]:
    """Return the typed lines of the commits of a range, file by file, in a random order.

    Ends with the passage that reaches `max_bytes`. ReplayError if the range adds no code.
    """
    commits = later_commits(repository, revisions)
    kept = np.linspace(0, len(commits) - 1, min(MAX_COMMITS, len(commits))).round().astype(int)
    blobs = BlobTexts(repository)
    found = []
    for index in kept:
        commit = commits[index]
        # A part of the history may not be there: partial clones lack large files.
        with contextlib.suppress(GitError):
            lines = typed_lines(repository, commit, blobs)
            by_path = groupby(lines, key=lambda line: line.path)
            found += [_join_lines(commit.id, path, list(its)) for path, its in by_path]
    if not found:
        raise ReplayError(f"{revisions} of {repository} adds no code that can be judged")
    draws = np.random.Generator(np.random.Philox(key=[seed, 3]))
    drawn = [found[index] for index in draws.permutation(len(found))]
    return _cap(drawn, max_bytes, draws, most=MAX_PASSAGE_BYTES)


def general_passages(
    documents: Sequence[tuple[str, str]], *, max_bytes: int, seed: int = 0
) -> list[Passage]:
    """Return (path, text) documents with all bytes counted, in a random order.

    Ends as `added_passages` does; of few documents, more is counted of each.
    """
    whole = [whole_file(path, text) for path, text in sorted(documents) if text]
    if not whole:
        raise ValueError("there is no general code to judge by: every document is empty")
    draws = np.random.Generator(np.random.Philox(key=[seed, 4]))
    drawn = [whole[index] for index in draws.permutation(len(whole))]
    most = max(MAX_PASSAGE_BYTES, -(-max_bytes // len(whole)))
    return _cap(drawn, max_bytes, draws, most=most)


def _join_lines(commit: str, path: str, lines: Sequence[TypedLine]) -> Passage:
    """Return the typed lines of one file; a line's indentation and its end count with it."""
    text = [line + "\n" for line in lines[0].new[: lines[-1].number + 1]]
    ends = [0, *itertools.accumulate(len(line.encode()) for line in text)]
    counted = [i for line in lines for i in range(ends[line.number], ends[line.number + 1])]
    return Passage(group=commit, path=path, text="".join(text), counted=counted)


def _cap(
    passages: Sequence[Passage], max_bytes: int, draws: np.random.Generator, *, most: int
) -> list[Passage]:
    """Keep passages of `max_bytes`; of each a run of at most `most`, from a random one on."""
    kept: list[Passage] = []
    for passage in passages:
        if max_bytes <= 0:
            break
        draw, counted = int(draws.integers(1 << 30)), passage.counted
        if len(counted) > most:
            skip = draw % (len(counted) - most + 1)
            counted = counted[skip : skip + most]
            # Cut where a character may be cut in two: what is lost of it is not counted anyway.
            text = passage.text.encode()[: counted[-1] + 1].decode(errors="ignore")
            counted = [i for i in counted if i < len(text.encode())]
            passage = passage._replace(text=text, counted=counted)
        kept.append(passage)
        max_bytes -= len(counted)
    return kept


def judge_models(
    plan: TunePlan, tuned: Path, general: Sequence[tuple[str, str]], folder: Path
) -> Report:
    """Compare what serves with the model at `tuned` on the commits that judge, and decide.

    `general` is (path, text) of code that tuning did not see, measured against the plan's base;
    `folder` is for indexes while it lasts. ReplayError, ModelError and others say what is wrong.
    Returns, for JSON: `promoted`; `reasons`, of a refusal every one that was missed; the `scores`
    of the registry; the `report`, every figure with its interval and no line of code.
    """
    models = {BASE: open_folder(Path(plan.serving.path)), TUNED: open_folder(tuned)}
    general_models = models | {BASE: open_folder(Path(plan.base.path))}
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
    systems = open_systems({BASE: Path(plan.serving.path), TUNED: tuned}, folder)
    measured = measure(plan_work([repository], replay), systems)
    if measured.stopped == INTERRUPTED:
        raise KeyboardInterrupt  # half of the commits decide nothing
    name, content_hash = models[TUNED].info.name, models[TUNED].content_hash
    report: Report = {
        "format": FORMAT,
        "revisions": revisions,
        **{name: _identify(model) for name, model in models.items()},
        "general_base": _identify(general_models[BASE]),
        "bits": {
            "later": compare_costs(_measure_costs(models, added, "lines added later")),
            "general": compare_costs(_measure_costs(general_models, held_out, "general code")),
        },
        "replay": assemble(measured, systems, replay, model=name, content_hash=content_hash),
    }
    promoted, reasons = decide(report)
    decision = {"promoted": promoted, "reasons": reasons}
    return decision | {"scores": registry_scores(report), "report": report | decision}


def _identify(model: ModelFolder) -> Report:
    return {"name": model.info.name, "content_hash": model.content_hash}


def open_systems(models: Mapping[str, Path], folder: Path) -> list[System]:
    """Return the four systems; a model's two share its network, all share the index."""
    tree = TreeIndex(folder)
    settings = {name: Settings(model=str(path)) for name, path in models.items()}
    backends = {name: open_from(each) for name, each in settings.items()}
    return [
        EngineSystem(
            system_name(name, has_index=has_index),
            settings[name],
            lambda *_, backend=backends[name]: backend,
            tree if has_index else None,
            stricter=(),  # what decides is all that each has
        )
        for has_index in (True, False)
        for name in (TUNED, BASE)
    ]


def _measure_costs(
    models: Mapping[str, ModelFolder], passages: Sequence[Passage], what: str
) -> dict[str, list[ByteCost]]:
    """Return what the passages cost the base and the tuned model."""
    costs = {}
    for name in (BASE, TUNED):
        scorer = folder_scorer(models[name])
        shown = count_shown(f"{what} ({name})", passages, len(passages))
        costs[name] = [measure_cost(scorer, passage) for passage in shown]
    return costs


def compare_costs(costs: Mapping[str, Sequence[ByteCost]]) -> Report:
    """Return bits/byte of both at the same passages, and the share gained with its range."""
    pairs = list(zip(costs[BASE], costs[TUNED], strict=True))
    return {
        "bytes": sum(cost.n_bytes for cost in costs[BASE]),
        "groups": len({cost.group for cost in costs[BASE]}),
        "gain": paired_gain([(old.group, old.bits, new.bits) for old, new in pairs]),
        **{name: bits_per_byte(its) for name, its in costs.items()},
    }


def registry_scores(report: Report) -> dict[str, float]:
    """Return the figures that a list of models shows."""
    systems, scores = report["replay"]["systems"], {}
    for name in (BASE, TUNED):
        for has_index, state in ((False, "off"), (True, "on")):
            cell = systems[system_name(name, has_index=has_index)]
            for metric in ("exact", "saved"):
                scores[f"{metric}_{name}_{state}"] = cell[metric]["mean"]
        scores[f"bits_{name}"] = report["bits"]["later"][name]
        scores[f"general_{name}"] = report["bits"]["general"][name]
    return scores


def system_name(model: str, *, has_index: bool) -> str:
    """Return what tables call one cell of the 2x2."""
    return f"{model} + index" if has_index else f"{model} alone"


def find_gain(report: Mapping[str, Any], metric: str, *, has_index: bool) -> dict[str, Any]:
    """Return tuned minus base, paired by cursor or line, with its range; {} if there is none."""
    names = [system_name(name, has_index=has_index) for name in (TUNED, BASE)]
    found = report["replay"]["differences"]
    wanted = [*names, metric]
    return next((e for e in found if [e["left"], e["right"], e["metric"]] == wanted), {})


def decide(report: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Return whether to promote by a judge's report: all that speaks for it, or against it."""
    later, general = report["bits"]["later"], report["bits"]["general"]
    gain, lines = later["gain"], find_gain(report, "exact", has_index=True)
    cells, [repository] = report["replay"]["systems"], report["replay"]["repositories"]
    before, after = (cells[system_name(each, has_index=True)]["exact"] for each in (BASE, TUNED))
    n_tasks = repository["tasks"]
    general_loss = general[TUNED] / general[BASE] - 1
    cost = f"lines added later cost {_change(-gain['mean'])} {_from_to(later)}; gain "
    cost += format_interval(gain)
    later_reason = f"{cost}); {format_percent(MIN_GAIN_BITS)} fewer are required"
    exact_reason = (
        f"with the index, exact lines go from {format_percent(before)} to"
        f" {format_percent(after)} ({format_points(lines)} points, {n_tasks} cursors);"
        f" more are required, and no lower end below {-100 * MAX_EXACT_LOSS:.1f} points"
    )
    general_reason = (
        f"general code costs {_change(general_loss)} {_from_to(general)});"
        f" {format_percent(MAX_GENERAL_LOSS)} more are allowed at most"
    )
    against = []
    if (n := min(repository["commits"], later["groups"])) < MIN_COMMITS:
        against.append(_few("commits", n, MIN_COMMITS))
    if n_tasks < MIN_TASKS:
        against.append(_few("cursors", n_tasks, MIN_TASKS))
    if gain["mean"] < MIN_GAIN_BITS:
        against.append(later_reason)
    elif gain["low"] <= 0:
        against.append(f"{cost}); its range reaches 0: this may be chance")
    if lines["mean"] <= 0 or lines["low"] < -MAX_EXACT_LOSS:
        against.append(exact_reason)
    if general_loss > MAX_GENERAL_LOSS:
        against.append(general_reason)
    return not against, against or [later_reason, exact_reason, general_reason]


def _few(what: str, n: int, least: int) -> str:
    return (
        f"{what} that could be judged: {n}, at least {least} are needed; tune again when there are"
        " more"
    )


def _change(share: float) -> str:
    return f"{format_percent(abs(share))} {'more' if share > 0 else 'fewer'} bits per byte"


def _from_to(figures: Mapping[str, Any]) -> str:
    return f"than with the base ({figures['base']:.3f} to {figures['tuned']:.3f}"
