"""Ranker and gate of a tuned model: refitted on its development commits, where that helps.

A tuned network is surer of its own repository than its base was, so what was fitted for the base
may rank and trust it wrongly; but a few hundred cursors are little to fit on. So several ways are
tried on commits left out in turn, from keeping the base's parameters to fitting anew, and what is
not clearly better there is not used. The memory's own ranker stays the base's: tuning does not
change what it looks at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assistant.generate.backend import open_backend
from assistant.rank.ranker import FittedRanker, SmallNetwork, parse
from model.folder import copy_folder, load_folder
from training.calibration.collect import Asked, RankingExample, asked, at_line_ends, sheet
from training.calibration.networks import RankedChoice, choose, table_of
from training.calibration.operating_points import point
from training.finetune.judging.progress import OnProgress, Phases
from training.finetune.judging.refit_strategies import (
    GATE_WAYS,
    KEEP,
    RANKER_WAYS,
    gate_by,
    ranker_by,
)
from training.finetune.judging.resampling import ratio, resampled

N_FOLDS = 5
MIN_SHEETS, MIN_COMMITS = 150, N_FOLDS  # fewer say nothing about other commits
_WHAT = "cursors to choose ranker and gate by"
T = TypeVar("T")
_LEAST = 1e-6  # of a probability whose logarithm is taken


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Development:
    """Where the cursors come from: commits after the tuned tree, before the judged ones."""

    repository: Path
    revisions: str
    n_tasks: int
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RefitReport:
    """What was tried and what was used."""

    ranker: str  # one of `refit_ways.RANKER_WAYS`
    gate: str  # one of `refit_ways.GATE_WAYS`
    reason: str  # a plain sentence
    cursors: int
    commits: int  # or files, of too few commits
    tried: Mapping[str, Any]  # ways of both -> figures on commits left out

    def table(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refitted:
    """Parameters, and how they were found."""

    fitted: FittedRanker
    report: RefitReport


def refit(
    model: Path,
    base: Path,
    out: Path,
    on: Development,
    on_progress: OnProgress | None = None,
) -> RefitReport:
    """Write `model` as the folder `out` with the ranker and gate that suit it best.

    Begins with the parameters of `base`. ReplayError if the commits cannot be replayed.
    """
    table = load_folder(base).ranker
    if table is None:
        copy_folder(model, out)
        return _kept("the base has no ranker: the tuned model has none either", [])
    parameters = parse(table)
    if parameters.both is None:
        raise ValueError(f"{base}: its ranker knows no network")
    progress, backend = on_progress or Phases(), open_backend(str(model), threads=1)
    sheets, paths = [], []
    for done, each in enumerate(_cursors(on), 1):
        sheets.append(sheet(each, backend, parameters)[0])
        paths.append(each.task.file.path)
        if done < on.n_tasks:  # ends of lines come on top
            progress(_WHAT, done, on.n_tasks)
    progress(_WHAT, on.n_tasks, on.n_tasks)
    found = refitted(grouped(sheets, paths), parameters.both)
    copy_folder(model, out, ranker={**table, "both": _table(found.fitted)})
    return found.report


def _cursors(on: Development) -> Iterator[Asked]:
    tasks = asked(on.repository, "history", on.n_tasks, on.seed, revisions=on.revisions)
    for each in tasks:  # one at a time: an index is gone once the next one is built
        yield from at_line_ends([each], on.seed + each.task.offset)


def grouped(sheets: Sequence[RankingExample], paths: Sequence[str]) -> list[RankingExample]:
    """Return the sheets with what is left out in turn: commits or, of too few, their files.

    The choosing commits of a small repository are often three or four that add code. What two
    files of one commit have in common is then a little overrated; the judge has other commits.
    """
    if len({each.group for each in sheets}) >= MIN_COMMITS:
        return list(sheets)
    return [
        dataclasses.replace(each, group=f"{each.group} {path}")
        for each, path in zip(sheets, paths, strict=True)
    ]


def refitted(sheets: Sequence[RankingExample], start: FittedRanker) -> Refitted:
    """Return the parameters that are best on groups of sheets left out in turn."""
    commits = list(dict.fromkeys(each.group for each in sheets))
    if len(sheets) < MIN_SHEETS or len(commits) < MIN_COMMITS:
        reason = (
            f"{len(sheets)} cursors of {len(commits)} commits or files are too few to fit on"
            f" ({MIN_SHEETS} and {MIN_COMMITS} are needed)"
        )
        return Refitted(fitted=start, report=_kept(reason, sheets))
    folds = [commits.index(each.group) % N_FOLDS for each in sheets]
    tried = {
        (ranker, gate): outcome
        for ranker in RANKER_WAYS
        for gate, outcome in _outcomes(ranker, sheets, folds, start).items()
    }
    compared = {ways: _compared(its, tried[KEEP, KEEP]) for ways, its in tried.items()}
    ranker, gate = best = _best(compared)
    if best == (KEEP, KEEP):
        fitted, reason = start, "nothing was clearly better than the base's parameters"
    else:
        fitted = FittedRanker(
            ranker=ranker_by(ranker, start.ranker, sheets),
            gate=gate_by(gate, start.gate, tried[ranker, KEEP].choices),
            points={
                name: point(tried[best].choices, its.threshold)
                for name, its in start.points.items()
            },
        )
        reason = "better than the base's parameters on commits left out"
    report = RefitReport(
        ranker=ranker,
        gate=gate,
        reason=reason,
        cursors=len(sheets),
        commits=len(commits),
        tried={" / ".join(ways): its for ways, its in compared.items()},
    )
    return Refitted(fitted=fitted, report=report)


def _kept(reason: str, sheets: Sequence[RankingExample]) -> RefitReport:
    commits = len({each.group for each in sheets})
    return RefitReport(
        ranker=KEEP, gate=KEEP, reason=reason, cursors=len(sheets), commits=commits, tried={}
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What a ranker and a gate do at cursors of commits that they were not fitted on."""

    choices: list[RankedChoice]
    ranking: list[float]  # -log of the belief in what was right, cursor by cursor
    claim: list[float]  # -log of what was claimed of the chosen text


def _outcomes(
    way: str, sheets: Sequence[RankingExample], folds: Sequence[int], start: FittedRanker
) -> dict[str, _Outcome]:
    """Return the outcome of one way to fit the ranker with each way to fit the gate."""
    fitted = [
        dataclasses.replace(
            start, ranker=ranker_by(way, start.ranker, _others(sheets, folds, fold))
        )
        for fold in range(N_FOLDS)
    ]
    ranking = [_ranking_loss(each, fitted[fold]) for each, fold in zip(sheets, folds, strict=True)]
    plain = [choose(each, fitted[fold]) for each, fold in zip(sheets, folds, strict=True)]
    found = {}
    for gate in GATE_WAYS:
        gates = [gate_by(gate, start.gate, _others(plain, folds, fold)) for fold in range(N_FOLDS)]
        choices = [
            _regated(one, gates[fold], start) for one, fold in zip(plain, folds, strict=True)
        ]
        claim = [_claim_loss(one) for one in choices]
        found[gate] = _Outcome(choices=choices, ranking=ranking, claim=claim)
    return found


def _others(items: Sequence[T], folds: Sequence[int], fold: int) -> list[T]:
    return [item for item, its in zip(items, folds, strict=True) if its != fold]


def _regated(choice: RankedChoice, gate: SmallNetwork, start: FittedRanker) -> RankedChoice:
    if not choice.has_text:
        return choice
    fitted = dataclasses.replace(start, gate=gate)
    return dataclasses.replace(choice, probability=fitted.probability(choice.row))


def _ranking_loss(each: RankingExample, fitted: FittedRanker) -> float:
    """Return -log of the belief in what was right; that may be none of the texts."""
    shares = fitted.probabilities(each.rows) if each.texts else np.zeros(0, np.float32)
    share = float(shares[each.label]) if each.label >= 0 else 1 - float(shares.sum())
    return -float(np.log(max(share, _LEAST)))


def _claim_loss(choice: RankedChoice) -> float:
    if not choice.has_text:
        return 0.0
    share = choice.probability if choice.is_right else 1 - choice.probability
    return -float(np.log(max(share, _LEAST)))


def _compared(outcome: _Outcome, kept: _Outcome) -> dict[str, Any]:
    """Return what both losses come to, and how much less that is than with the base's parameters.

    In nats a cursor. The two count alike: a text ranked first and a claim that can be believed.
    """
    groups = [one.sheet.group for one in outcome.choices]
    new, old = (
        [left + right for left, right in zip(its.ranking, its.claim, strict=True)]
        for its in (outcome, kept)
    )
    exact = [
        (float(one.is_exact) - float(other.is_exact), 1.0)
        for one, other in zip(outcome.choices, kept.choices, strict=True)
    ]
    gains = [(before - after, 1.0) for before, after in zip(old, new, strict=True)]
    return {
        "ranking": float(np.mean(outcome.ranking)),
        "claim": float(np.mean(outcome.claim)),
        "gain": dataclasses.asdict(resampled(groups, gains, ratio)),
        "exact": float(np.mean([one.is_exact for one in outcome.choices])),
        "exact_gain": dataclasses.asdict(resampled(groups, exact, ratio)),
    }


def _best(compared: Mapping[tuple[str, str], Mapping[str, Any]]) -> tuple[str, str]:
    """Return the ways that gain most, of those whose gain is hardly chance; else keep both."""
    clear = [
        ways
        for ways, its in compared.items()
        if its["gain"]["low"] > 0 and its["exact_gain"]["mean"] >= 0
    ]
    return max(clear, key=lambda ways: float(compared[ways]["gain"]["mean"]), default=(KEEP, KEEP))


def _table(fitted: FittedRanker) -> dict[str, Any]:
    return {
        "ranker": table_of(fitted.ranker),
        "gate": table_of(fitted.gate),
        "points": {name: dataclasses.asdict(each) for name, each in fitted.points.items()},
    }
