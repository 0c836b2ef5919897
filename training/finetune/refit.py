"""Ranker and gate of a tuned model: refitted on its development commits, where that helps.

A tuned network is surer of its own repository than its base was, so what was fitted for the base
may rank and trust it wrongly; but a few hundred cursors are little to fit on. So a linear term
beside the base's network, with a new scale and offset, is tried on commits left out in turn, and
what is not clearly better there is not used. The index's own ranker stays the base's: tuning does
not change what it looks at.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assistant.generate.backend import open_backend
from assistant.rank.ranker import FittedRanker, RankerParameters, SmallNetwork, parse
from model.folder import copy_folder, load_folder
from training.calibration.collect import RankingExample, draw_tasks, rank_task
from training.calibration.networks import (
    RankedChoice,
    apply_gate,
    apply_out_of_fold,
    choose,
    fitted_table,
    listwise_loss,
    pad_examples,
    stack_beginnings,
)
from training.calibration.operating_points import measure_point
from training.data.progress import Progress
from training.evaluation.intervals import Figure, macro_mean
from training.finetune.plan import TunePlan

KEEP, REFIT = "as it is", "refitted"
N_FOLDS = 5
MIN_EXAMPLES, MIN_COMMITS = 150, N_FOLDS  # fewer say nothing about other commits
STEPS, RATE = 100, 2e-2
RANKER_HOLD, GATE_HOLD = 30.0, 10.0  # what a squared change of one costs, in cursors
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
    fitted, report = choose_parameters(examples, parameters.both)
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
        progress.show(done)
    return examples


def group_examples(examples: Sequence[RankingExample]) -> list[RankingExample]:
    """Return the examples with what is left out in turn: commits or, of too few, their files.

    The choosing commits of a small repository are often three or four that add code. What two
    files of one commit have in common is then a little overrated; the judge has other commits.
    """
    if len({each.group for each in examples}) >= MIN_COMMITS:
        return list(examples)
    return [dataclasses.replace(each, group=f"{each.group} {each.path}") for each in examples]


def choose_parameters(
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
    tried: dict[tuple[str, str], list[RankedChoice]] = {}
    for ranker in (KEEP, REFIT):
        with_ranker = functools.partial(refit_ranker, ranker, start)
        plain = apply_out_of_fold(examples, folds, with_ranker, choose)
        for gate in (KEEP, REFIT):
            with_gate = functools.partial(refit_gate, gate, start)
            tried[ranker, gate] = apply_out_of_fold(plain, folds, with_gate, apply_gate)
    compared = {names: _compare(its, tried[KEEP, KEEP]) for names, its in tried.items()}
    clear = [
        names
        for names, its in compared.items()
        if its["gain"]["low"] > 0 and its["exact_gain"]["mean"] >= 0
    ]
    best = max(clear, key=lambda names: compared[names]["gain"]["mean"], default=(KEEP, KEEP))
    fitted, reason = start, "nothing was clearly better than the base's parameters"
    if best != (KEEP, KEEP):
        reason = "better than the base's parameters on commits left out"
        ordered = refit_ranker(best[0], start, examples)
        points = {
            name: measure_point(tried[best], its.threshold) for name, its in start.points.items()
        }
        refitted = refit_gate(best[1], ordered, tried[best[0], KEEP])
        fitted = dataclasses.replace(refitted, points=points)
    figures = {" / ".join(names): its for names, its in compared.items()}
    return fitted, _report(reason, examples, *best) | {"tried": figures}


def _report(
    reason: str, examples: Sequence[RankingExample], ranker: str = KEEP, gate: str = KEEP
) -> dict[str, Any]:
    """Return a report on the parameters that were chosen for a reason."""
    return {
        "ranker": ranker,
        "gate": gate,
        "reason": reason,  # a plain sentence
        "cursors": len(examples),
        "commits": len({each.group for each in examples}),  # or files, of too few commits
        "tried": {},  # ranker / gate -> figures on commits left out
    }


def ranking_loss(choice: RankedChoice) -> float:
    """Return -log of the belief in what was right; that may be none of the texts."""
    return -float(np.log(max(choice.belief, _LEAST)))


def claim_loss(choice: RankedChoice) -> float:
    """Return -log of what the gate claimed for what came true of each beginning, their mean.

    Of all, not of the chosen one: a gate that shows nothing would claim nothing and lose nothing.
    """
    if not choice.found.texts:
        return 0.0
    shares = np.where(choice.rights, choice.beliefs, 1 - choice.beliefs)
    return -float(np.log(np.maximum(shares, _LEAST)).mean())


def _compare(choices: Sequence[RankedChoice], kept: Sequence[RankedChoice]) -> dict[str, Any]:
    """Return both losses, and how much smaller they are than with the base's parameters.

    In nats a cursor. The two count alike: a text ranked first and a claim that can be believed.
    """

    def mean(value: Callable[[RankedChoice], float], *, is_gain: bool = False) -> Figure:
        pairs = zip(choices, kept, strict=True)
        rows = (("", new.example.group, value(new) - is_gain * value(old)) for new, old in pairs)
        return dataclasses.asdict(macro_mean(rows))

    return {
        "ranking": mean(ranking_loss)["mean"],
        "claim": mean(claim_loss)["mean"],
        "gain": mean(lambda one: -ranking_loss(one) - claim_loss(one), is_gain=True),
        "exact": mean(lambda one: one.is_exact)["mean"],
        "exact_gain": mean(lambda one: one.is_exact, is_gain=True),
    }


def refit_ranker(way: str, start: FittedRanker, examples: Sequence[RankingExample]) -> FittedRanker:
    """Fit the order of candidates on examples, or keep it."""
    used = [each for each in examples if each.texts]
    if way == KEEP or not used:
        return start
    inputs, mask, labels = pad_examples(used, start.ranker.mean, start.ranker.scale)
    ranker = add_linear_term(
        start.ranker,
        inputs,
        lambda scores: listwise_loss(scores, mask, labels),
        RANKER_HOLD / len(used),
    )
    return dataclasses.replace(start, ranker=ranker)


def refit_gate(way: str, start: FittedRanker, choices: Sequence[RankedChoice]) -> FittedRanker:
    """Fit the probability that a beginning is right, or keep it."""
    used = [each for each in choices if each.found.texts]
    if way == KEEP or not used:
        return start
    inputs, labels, weights = stack_beginnings(used, start.gate.mean, start.gate.scale)
    gate = add_linear_term(
        start.gate,
        inputs,
        lambda scores: nn.functional.binary_cross_entropy_with_logits(scores, labels, weights),
        GATE_HOLD / len(used),
    )
    return dataclasses.replace(start, gate=gate)


def add_linear_term(
    start: SmallNetwork, inputs: Tensor, loss: Callable[[Tensor], Tensor], hold: float
) -> SmallNetwork:
    """Return a network with a linear term beside it, fitted to inputs (..., F) by a mean loss.

    The term is two hidden units, for silu(z) - silu(-z) = z, so serving knows one form only.
    """
    hidden, bias, out = (
        torch.from_numpy(np.array(part, np.float32))
        for part in (start.hidden, start.hidden_bias, start.out)
    )
    before = nn.functional.silu(inputs @ hidden.T + bias) @ out + start.out_bias
    change = torch.zeros(2 + len(start.mean), requires_grad=True)  # of scale, offset, slopes
    optimiser = torch.optim.Adam([change], lr=RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        optimiser.zero_grad()
        scores = before * change[0].exp() + change[1] + inputs @ change[2:]
        (loss(scores) + (change**2).sum() * hold).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    log_scale, offset, slope = change.detach()[0], change.detach()[1], change.detach()[2:]
    return dataclasses.replace(
        start,
        hidden=torch.cat([hidden, slope[None], -slope[None]]).numpy(),
        hidden_bias=torch.cat([bias, torch.zeros(2)]).numpy(),
        out=torch.cat([out * log_scale.exp(), torch.tensor([1.0, -1.0])]).numpy(),
        out_bias=float(start.out_bias * log_scale.exp() + offset),
    )
