"""Ranker and gate of a tuned model: refitted on its development commits, where that helps.

A tuned network is surer of its own repository than its base was, so what was fitted for the base
may rank and trust it wrongly; but a few hundred cursors are little to fit on. So several ways are
tried on commits left out in turn, from keeping the base's parameters to fitting anew, and what is
not clearly better there is not used. The memory's own ranker stays the base's: tuning does not
change what it looks at.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assistant.local import open_backend
from assistant.ranker import Fitted, Net, parse
from model.folder import load_folder, with_ranker
from training.evaluation.intervals import Interval
from training.fit.collect import Asked, Sheet, asked, at_line_ends, sheet
from training.fit.models import Choice, Shape, choose, table_of
from training.fit.points import point
from training.tune.judging.phases import OnProgress, Phases
from training.tune.judging.refit_ways import KEEP, WAYS, gate_by, ranker_by
from training.tune.judging.resampling import ratio, resampled

N_FOLDS = 5
MIN_SHEETS, MIN_COMMITS = 150, N_FOLDS  # fewer say nothing about other commits
RANKER = Shape(hidden=16, epochs=20, decay=1e-1, members=2)
GATE = Shape(hidden=4, epochs=30, rate=5e-3, decay=1e-1, members=2)
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

    ranker: str  # one of `refit_ways.WAYS`
    gate: str
    reason: str  # a plain sentence
    cursors: int
    commits: int
    tried: Mapping[str, Any]  # part -> way -> out-of-fold figures

    def table(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refitted:
    """Parameters, and how they were found."""

    fitted: Fitted
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
        _copied(model, out)
        return _kept("the base has no ranker: the tuned model has none either", [])
    parameters = parse(table)
    if parameters.both is None:
        raise ValueError(f"{base}: its ranker knows no network")
    progress, backend = on_progress or Phases(), open_backend(str(model), threads=1)
    sheets = []
    for done, each in enumerate(_cursors(on), 1):
        sheets.append(sheet(each, backend, parameters)[0])
        progress("cursors of the development commits", min(done, on.n_tasks), on.n_tasks)
    found = refitted(sheets, parameters.both)
    with_ranker(model, out, {**table, "both": _table(found.fitted)})
    return found.report


def _cursors(on: Development) -> Iterator[Asked]:
    tasks = asked(on.repository, "history", on.n_tasks, on.seed, revisions=on.revisions)
    for each in tasks:  # one at a time: an index is gone once the next one is built
        yield from at_line_ends([each], on.seed + each.task.offset)


def _copied(model: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as aside:
        shutil.copytree(model, Path(aside) / out.name).rename(out)


def refitted(sheets: Sequence[Sheet], start: Fitted) -> Refitted:
    """Return the parameters that are best on commits left out in turn."""
    commits = list(dict.fromkeys(each.group for each in sheets))
    if len(sheets) < MIN_SHEETS or len(commits) < MIN_COMMITS:
        reason = (
            f"{len(sheets)} cursors of {len(commits)} commits are too few to fit on"
            f" ({MIN_SHEETS} and {MIN_COMMITS} are needed)"
        )
        return Refitted(fitted=start, report=_kept(reason, sheets))
    folds = [commits.index(each.group) % N_FOLDS for each in sheets]
    ranker, by_ranker, tried_rankers = _best_ranker(sheets, folds, start)
    gate, by_gate, tried_gates = _best_gate(by_ranker, folds, start)
    if (ranker, gate) == (KEEP, KEEP):
        fitted, reason = start, "nothing was clearly better than the base's parameters"
    else:
        fitted = Fitted(
            ranker=ranker_by(ranker, start.ranker, sheets, RANKER),
            gate=gate_by(gate, start.gate, by_ranker, GATE),
            points={name: point(by_gate, its.threshold) for name, its in start.points.items()},
        )
        reason = f"better on commits left out: ranker {ranker}, gate {gate}"
    report = RefitReport(
        ranker=ranker,
        gate=gate,
        reason=reason,
        cursors=len(sheets),
        commits=len(commits),
        tried={"ranker": tried_rankers, "gate": tried_gates},
    )
    return Refitted(fitted=fitted, report=report)


def _kept(reason: str, sheets: Sequence[Sheet]) -> RefitReport:
    commits = len({each.group for each in sheets})
    return RefitReport(
        ranker=KEEP, gate=KEEP, reason=reason, cursors=len(sheets), commits=commits, tried={}
    )


def _best_ranker(
    sheets: Sequence[Sheet], folds: Sequence[int], start: Fitted
) -> tuple[str, list[Choice], dict[str, Any]]:
    """Return the best way, the choices it makes on commits left out, and what each way gave."""
    groups = [each.group for each in sheets]
    choices, losses, tried = {}, {}, {}
    for way in WAYS:
        nets = [
            ranker_by(way, start.ranker, _others(sheets, folds, fold), RANKER)
            for fold in range(N_FOLDS)
        ]
        by_fold = [dataclasses.replace(start, ranker=net) for net in nets]
        pairs = [(each, by_fold[fold]) for each, fold in zip(sheets, folds, strict=True)]
        choices[way] = [choose(each, fitted) for each, fitted in pairs]
        losses[way] = [_ranking_loss(each, fitted) for each, fitted in pairs]
        exact = [
            float(one.is_exact) - float(old.is_exact)
            for one, old in zip(choices[way], choices[KEEP], strict=True)
        ]
        tried[way] = _compared(groups, losses[way], losses[KEEP]) | {
            "exact": float(np.mean([one.is_exact for one in choices[way]])),
            "exact_gain": dataclasses.asdict(_mean(groups, exact)),
        }
    best = _best({way: its for way, its in tried.items() if its["exact_gain"]["mean"] >= 0})
    return best, choices[best], tried


def _best_gate(
    choices: Sequence[Choice], folds: Sequence[int], start: Fitted
) -> tuple[str, list[Choice], dict[str, Any]]:
    groups = [each.sheet.group for each in choices]
    gated, losses, tried = {}, {}, {}
    for way in WAYS:
        nets = [
            gate_by(way, start.gate, _others(choices, folds, fold), GATE) for fold in range(N_FOLDS)
        ]
        gated[way] = [
            _regated(one, nets[fold], start) for one, fold in zip(choices, folds, strict=True)
        ]
        losses[way] = [_gate_loss(one) for one in gated[way]]
        tried[way] = _compared(groups, losses[way], losses[KEEP])
    best = _best(tried)
    return best, gated[best], tried


def _others(items: Sequence[T], folds: Sequence[int], fold: int) -> list[T]:
    return [item for item, its in zip(items, folds, strict=True) if its != fold]


def _regated(choice: Choice, gate: Net, start: Fitted) -> Choice:
    if not choice.has_text:
        return choice
    fitted = dataclasses.replace(start, gate=gate)
    return dataclasses.replace(choice, probability=fitted.probability(choice.row))


def _ranking_loss(each: Sheet, fitted: Fitted) -> float:
    """Return -log of the belief in what was right; that may be none of the texts."""
    shares = fitted.probabilities(each.rows) if each.texts else np.zeros(0, np.float32)
    share = float(shares[each.label]) if each.label >= 0 else 1 - float(shares.sum())
    return -float(np.log(max(share, _LEAST)))


def _gate_loss(choice: Choice) -> float:
    if not choice.has_text:
        return 0.0
    share = choice.probability if choice.is_right else 1 - choice.probability
    return -float(np.log(max(share, _LEAST)))


def _compared(
    groups: Sequence[str], losses: Sequence[float], kept: Sequence[float]
) -> dict[str, Any]:
    saved = [old - new for new, old in zip(losses, kept, strict=True)]
    return {"loss": float(np.mean(losses)), "gain": dataclasses.asdict(_mean(groups, saved))}


def _mean(groups: Sequence[str], values: Sequence[float]) -> Interval:
    return resampled(groups, [(value, 1.0) for value in values], ratio)


def _best(tried: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the way that gains most of those whose gain is hardly chance; else keep."""
    clear = [way for way, its in tried.items() if its["gain"]["low"] > 0]
    return max(clear, key=lambda way: float(tried[way]["gain"]["mean"]), default=KEEP)


def _table(fitted: Fitted) -> dict[str, Any]:
    return {
        "ranker": table_of(fitted.ranker),
        "gate": table_of(fitted.gate),
        "points": {name: dataclasses.asdict(each) for name, each in fitted.points.items()},
    }
