"""One `foretype tune` from the first look to the model that serves; every step can be repeated.

Reads as the order of events. Knows no arguments and prints nothing but what it does.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from assistant.models.registry import Registry
from model.folder import load_folder
from training.finetune import finish, steps
from training.finetune.card import CardData
from training.finetune.errors import TuneError
from training.finetune.finish import Judges, Kept
from training.finetune.gather import NothingToDoError
from training.finetune.plan import TunePlan, lora_rank
from training.finetune.prepare import Request, has_commits, make_plan, tune_folder
from training.finetune.state import PLAN, TuneState

RESULT = "result"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a tuning came to."""

    plan: TunePlan
    result: dict[str, Any]  # JSON: every figure, no line of code
    is_old: bool  # found, not made

    @property
    def report(self) -> dict[str, Any]:
        """The judgement, and what ranks and gates the model that was judged."""
        report: dict[str, Any] = self.result["verdict"]["report"]
        return report | {"refit": self.result["refit"]}


def tune(
    request: Request, judges: Judges, *, is_fresh: bool = False, registry: Registry | None = None
) -> Outcome:
    """Tune, or go on with a tuning that was stopped; TuneError and others say what to mend.

    StoppedError and KeyboardInterrupt leave a run that goes on when it is asked for again.
    """
    registry = registry or Registry()
    wanted = make_plan(request, registry)
    with TuneState(tune_folder(wanted.repository_id)) as state:
        plan = _plan_to_follow(state, wanted, request, is_fresh=is_fresh)
        if (result := state.table(RESULT)) is not None:
            return Outcome(plan=plan, result=result, is_old=True)
        result = json.loads(json.dumps(_carry_out(state, plan, judges, registry)))
        state.write_table(RESULT, result)
        state.clear(keep=(PLAN, RESULT))
        return Outcome(plan=plan, result=result, is_old=False)


def _plan_to_follow(
    state: TuneState, wanted: TunePlan, request: Request, *, is_fresh: bool
) -> TunePlan:
    """Return the plan that is under way if it is the same work, else begin the new one."""
    old = None if is_fresh else state.plan()
    is_done = state.table(RESULT) is not None
    is_under_way = not is_done and state.table(steps.TEXTS) is not None
    if old is not None and old.is_same_work(wanted):
        if is_under_way and has_commits(request.repository, old):
            _say("going on with the run that was stopped")
            return dataclasses.replace(old, root=wanted.root)
        if is_done and old.split == wanted.split:
            return old
    elif old is not None and is_under_way and wanted.options.is_nightly:
        raise TuneError(
            "another run of this repository was stopped; let the same command finish it, or begin "
            "anew with --fresh"
        )
    if wanted.options.is_nightly and wanted.since == wanted.split.trained_to:
        raise NothingToDoError(
            f"nothing to do: {wanted.since[:12]} is still the newest commit that is trained on"
        )
    state.begin(wanted)
    return wanted


def _carry_out(
    state: TuneState, plan: TunePlan, judges: Judges, registry: Registry
) -> dict[str, Any]:
    start, split = load_folder(Path(plan.start.path)), plan.split
    _say(
        f"history: trained on {split.n_trained} commits, chosen by {split.n_development}, judged "
        f"by {split.n_judged}"
    )
    passages = steps.development_passages(plan)
    if state.table(steps.TEXTS) is None:
        steps.require_judgeable(plan)
    gathered = steps.texts_of(state, plan, start)
    _say(f"code: {gathered.account.line()}")
    n_rows = steps.rows_of(state, plan, start, gathered)
    _say(f"rows: {', '.join(map(str, n_rows))} of {start.info.block_size} tokens, an epoch each")
    trained = steps.train(state, plan, start, n_rows, passages)
    candidate = steps.candidate_of(state, plan, trained, passages, gathered)
    _say(f"weights: epoch {candidate['epoch']}, {candidate['share']:g} of the way")
    refit = finish.refitted(state, plan, judges)
    verdict = finish.verdict_of(state, plan, gathered, judges)
    story = CardData(
        plan=plan,
        account=gathered.account,
        trained=trained,
        candidate=candidate,
        refit=refit,
        verdict=verdict,
        lora_rank=lora_rank(plan.options, start.config),
    )
    return _result(story, finish.keep(state, story, registry))


def _result(story: CardData, kept: Kept) -> dict[str, Any]:
    return {
        "plan": story.plan.to_table(),
        "texts": dataclasses.asdict(story.account),
        "training": dataclasses.asdict(story.trained),
        "candidate": dict(story.candidate),
        "refit": dict(story.refit),
        "verdict": dict(story.verdict),
        "model": None if kept.entry is None else dataclasses.asdict(kept.entry),
        "is_used": kept.is_used,
    }


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
