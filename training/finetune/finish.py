"""The last steps: refit what ranks and gates, judge on commits never seen, and keep what is better.

Whoever judges is given from outside. Killed at any moment, the model that served still serves; the
next run goes on. Knows no training.
"""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.models.registry import ModelEntry, Registry
from model.folder import copy_folder, load_folder
from model.onnx_cache import delete_artefacts
from training.finetune.card import CardData, card
from training.finetune.gather import Gathered
from training.finetune.judging.judging import Trial, judge
from training.finetune.judging.progress import OnProgress
from training.finetune.judging.verdict import Verdict
from training.finetune.plan import TunePlan
from training.finetune.state import TuneState
from training.finetune.steps import REFITTED

REFIT, VERDICT, FINAL = "refit", "verdict", "final"
_SCRATCH = "judge"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Judges:
    """Who refits and who decides."""

    refit: Callable[[TuneState, TunePlan], dict[str, Any]]
    judge: Callable[[Trial, OnProgress | None], Verdict] = judge


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What became of the tuned model."""

    entry: ModelEntry | None  # None: the model that served stays
    is_used: bool  # False for a model that is listed, but another one is pinned


def refitted(state: TuneState, plan: TunePlan, judges: Judges) -> dict[str, Any]:
    """Refit ranker and gate on the development commits, or find them again."""
    table = state.table(REFIT)
    if table is None or not state.path(REFITTED).is_dir():
        shutil.rmtree(state.path(REFITTED), ignore_errors=True)  # of a run killed just then
        table = judges.refit(state, plan)
        state.write_table(REFIT, table)
    return table


def verdict_of(
    state: TuneState, plan: TunePlan, gathered: Gathered, judges: Judges
) -> dict[str, Any]:
    """Judge, or find the verdict again."""
    if (table := state.table(VERDICT)) is not None:
        return table
    with state.new_folder(_SCRATCH) as folder:
        trial = Trial(
            base=Path(plan.serving.path),
            tuned=state.path(REFITTED),
            general_base=Path(plan.base.path),
            repository=Path(plan.root),
            revisions=plan.split.judged,
            general=[(text.path, text.text) for text in gathered.held_out],
            folder=folder,
            n_tasks=plan.options.n_tasks,
            seed=plan.options.seed,
        )
        verdict = judges.judge(trial, None)
    shutil.rmtree(state.path(_SCRATCH))
    table = dataclasses.asdict(verdict)
    state.write_table(VERDICT, table)
    return table


def keep(state: TuneState, story: CardData, registry: Registry) -> Kept:
    """List the model and serve it in its repository if it was found better."""
    if not story.verdict["promoted"]:
        if state.path(REFITTED).is_dir():  # it was made ready to run for the judge
            delete_artefacts(load_folder(state.path(REFITTED)).content_hash)
        return Kept(entry=None, is_used=False)
    plan = story.plan
    if not state.path(FINAL).is_dir():
        copy_folder(state.path(REFITTED), state.path(FINAL), card=card(story))
    content_hash = load_folder(state.path(FINAL)).content_hash
    now = datetime.datetime.now(datetime.UTC)
    is_taken = plan.name in {entry.name for entry in registry.entries()}
    entry = ModelEntry(
        name=registry.new_name(Path(plan.root), f"{now:%Y%m%d}") if is_taken else plan.name,
        repository=plan.repository_id,
        root=plan.root,
        content_hash=content_hash,
        parent=plan.base.content_hash,
        data_hash=story.account.data_hash,
        trained_to=plan.split.trained_to,
        created=now.isoformat(timespec="seconds"),
        kind="lora" if story.lora_rank else "full",
        scores=dict(story.verdict["scores"]),
    )
    entry = registry.add(state.path(FINAL), entry)
    if registry.is_pinned(plan.repository_id):
        return Kept(entry=entry, is_used=False)
    registry.use(entry.name, plan.repository_id)
    return Kept(entry=entry, is_used=True)
