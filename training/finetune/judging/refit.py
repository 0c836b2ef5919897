"""Ranker and gate of a tuned model: refitted on its development commits, where that helps.

A tuned network is surer of its own repository than its base was, so what was fitted for the base
may rank and trust it wrongly; but a few hundred cursors are little to fit on. So several strategies
are tried on commits left out in turn, from keeping the base's parameters to fitting anew, and what
is not clearly better there is not used. The index's own ranker stays the base's: tuning does not
change what it looks at.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.generate.backend import open_backend
from assistant.rank.ranker import FittedRanker, RankerParameters, parse
from model.folder import copy_folder, load_folder
from training.calibration.collect import RankingExample, draw_tasks, rank_task
from training.calibration.networks import (
    RankedChoice,
    apply_gate,
    apply_out_of_fold,
    choose,
    fitted_table,
)
from training.calibration.operating_points import measure_point
from training.data.progress import Progress
from training.finetune.judging.refit_strategies import (
    GATE_STRATEGIES,
    KEEP,
    RANKER_STRATEGIES,
    refit_gate,
    refit_ranker,
)
from training.finetune.judging.resampling import ratio, resample
from training.finetune.plan import TunePlan

N_FOLDS = 5
MIN_EXAMPLES, MIN_COMMITS = 150, N_FOLDS  # fewer say nothing about other commits
_LEAST = 1e-6  # of a probability whose logarithm is taken


def refit_folder(candidate: Path, target: Path, plan: TunePlan) -> dict[str, Any]:
    """Write the model at `candidate` to `target` with the ranker and gate that suit it best.

    Begins with the parameters that the candidate has from its base. Returns, for JSON, what was
    tried and used. ReplayError if the commits cannot be replayed.
    """
    table = load_folder(candidate).ranker
    if table is None:
        copy_folder(candidate, target)
        return _report("the base has no ranker: the tuned model has none either", [])
    parameters = parse(table)
    if parameters.both is None:
        raise ValueError(f"{candidate}: its ranker knows no network")
    examples = group_examples(_collect(candidate, parameters, plan))
    fitted, report = choose_strategies(examples, parameters.both)
    copy_folder(candidate, target, ranker={**table, "both": fitted_table(fitted)})
    return report


def _collect(model: Path, parameters: RankerParameters, plan: TunePlan) -> list[RankingExample]:
    """Return the examples of the development commits."""
    backend, seed = open_backend(str(model), threads=1), plan.options.seed
    n_tasks = plan.options.n_tasks
    progress = Progress("cursors to choose ranker and gate by", n_tasks)
    examples, done = [], 0
    tasks = draw_tasks(Path(plan.root), "history", n_tasks, seed, revisions=plan.split.development)
    for each in tasks:
        examples.append(rank_task(each, backend, parameters))
        done += bool(each.task.truth)  # the ends of lines come on top
        progress.show(done, last=done == n_tasks)
    return examples


def group_examples(examples: Sequence[RankingExample]) -> list[RankingExample]:
    """Return the examples with what is left out in turn: commits or, of too few, their files.

    The choosing commits of a small repository are often three or four that add code. What two
    files of one commit have in common is then a little overrated; the judge has other commits.
    """
    if len({each.group for each in examples}) >= MIN_COMMITS:
        return list(examples)
    return [dataclasses.replace(each, group=f"{each.group} {each.path}") for each in examples]


def choose_strategies(
    examples: Sequence[RankingExample], start: FittedRanker
) -> tuple[FittedRanker, dict[str, Any]]:
    """Return the parameters that are best on groups of examples left out in turn, and a report."""
    commits = list(dict.fromkeys(each.group for each in examples))
    if len(examples) < MIN_EXAMPLES or len(commits) < MIN_COMMITS:
        reason = (
            f"{len(examples)} cursors of {len(commits)} commits or files are too few to fit on"
            f" ({MIN_EXAMPLES} and {MIN_COMMITS} are needed)"
        )
        return start, _report(reason, examples)
    folds = [commits.index(each.group) % N_FOLDS for each in examples]
    tried = _try_all(examples, folds, start)
    compared = {names: _compare(its, tried[KEEP, KEEP]) for names, its in tried.items()}
    ranker, gate = best = _find_best(compared)
    fitted, reason = start, "nothing was clearly better than the base's parameters"
    if best != (KEEP, KEEP):
        reason = "better than the base's parameters on commits left out"
        fitted = dataclasses.replace(
            refit_gate(gate, refit_ranker(ranker, start, examples), tried[ranker, KEEP]),
            points={
                name: measure_point(tried[best], its.threshold)
                for name, its in start.points.items()
            },
        )
    figures = {" / ".join(names): its for names, its in compared.items()}
    return fitted, _report(reason, examples) | {"ranker": ranker, "gate": gate, "tried": figures}


def _report(reason: str, examples: Sequence[RankingExample]) -> dict[str, Any]:
    """Return a report on the parameters of the base, kept for a reason."""
    return {
        "ranker": KEEP,
        "gate": KEEP,
        "reason": reason,  # a plain sentence
        "cursors": len(examples),
        "commits": len({each.group for each in examples}),  # or files, of too few commits
        "tried": {},  # strategies of both -> figures on commits left out
    }


def _try_all(
    examples: Sequence[RankingExample], folds: Sequence[int], start: FittedRanker
) -> dict[tuple[str, str], list[RankedChoice]]:
    """Return the choices at groups left out, by each way to fit the ranker and the gate."""
    tried = {}
    for ranker in RANKER_STRATEGIES:
        with_ranker = functools.partial(refit_ranker, ranker, start)
        plain = apply_out_of_fold(examples, folds, with_ranker, choose)
        for gate in GATE_STRATEGIES:
            with_gate = functools.partial(refit_gate, gate, start)
            tried[ranker, gate] = apply_out_of_fold(plain, folds, with_gate, apply_gate)
    return tried


def ranking_loss(choice: RankedChoice) -> float:
    """Return -log of the belief in what was right; that may be none of the texts."""
    return -float(np.log(max(choice.belief, _LEAST)))


def claim_loss(choice: RankedChoice) -> float:
    """Return -log of the probability that was claimed for what came true of the chosen text."""
    if not choice.has_text:
        return 0.0
    share = choice.probability if choice.is_right else 1 - choice.probability
    return -float(np.log(max(share, _LEAST)))


def _compare(choices: Sequence[RankedChoice], kept: Sequence[RankedChoice]) -> dict[str, Any]:
    """Return both losses, and how much smaller they are than with the base's parameters.

    In nats a cursor. The two count alike: a text ranked first and a claim that can be believed.
    """
    groups = [one.example.group for one in choices]
    losses = np.array([(ranking_loss(one), claim_loss(one)) for one in choices])
    before = np.array([(ranking_loss(one), claim_loss(one)) for one in kept])
    is_exact, was_exact = (
        np.array([float(one.is_exact) for one in its]) for its in (choices, kept)
    )
    ones = np.ones(len(choices))
    gains = np.stack([(before - losses).sum(1), ones], 1)
    exact_gains = np.stack([is_exact - was_exact, ones], 1)
    return {
        "ranking": float(losses[:, 0].mean()),
        "claim": float(losses[:, 1].mean()),
        "gain": dataclasses.asdict(resample(groups, gains, ratio)),
        "exact": float(is_exact.mean()),
        "exact_gain": dataclasses.asdict(resample(groups, exact_gains, ratio)),
    }


def _find_best(compared: Mapping[tuple[str, str], Mapping[str, Any]]) -> tuple[str, str]:
    """Return the strategies that gain most, of those whose gain is hardly chance; else keep."""
    clear = [
        names
        for names, its in compared.items()
        if its["gain"]["low"] > 0 and its["exact_gain"]["mean"] >= 0
    ]
    return max(
        clear, key=lambda names: float(compared[names]["gain"]["mean"]), default=(KEEP, KEEP)
    )
