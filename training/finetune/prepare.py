"""From what the user asked to a plan: which commits, which models. Only looks; writes nothing.

Every refusal that needs no reading of code is made here, before anything is begun.
"""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from assistant.git import GitError, git
from assistant.models.registry import ModelEntry, Registry, models_folder, repository_id
from model.folder import ModelFolder, load_folder
from training.finetune.errors import TuneError
from training.finetune.history_split import split_history
from training.finetune.plan import ModelRef, Options, TunePlan
from training.finetune.rows import pack_settings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the user asked for."""

    repository: Path
    base: Path  # model folder
    options: Options


def make_plan(request: Request, registry: Registry) -> TunePlan:
    """Return the plan for a repository as it is now; one-line errors say what is in the way."""
    root = request.repository
    split = split_history(root)
    identity = repository_id(root)
    base = load_folder(request.base)
    pack_settings(base.info, seed=0)  # TuneError if no row for this base can be packed
    chosen = registry.chosen_entry(identity)
    serving = ref(base) if chosen is None else ref(load_folder(registry.place(chosen.name)))
    last = _last_tuned(registry, identity, base) if request.options.is_nightly else None
    start = ref(base) if last is None else ref(load_folder(registry.place(last.name)))
    day = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
    return TunePlan(
        name=registry.new_name(root, day),
        repository_id=identity,
        root=str(root),
        split=split,
        base=ref(base),
        start=start,
        serving=serving,
        options=request.options,
        since="" if last is None else last.trained_to,
    )


def ref(folder: ModelFolder) -> ModelRef:
    """Name a model folder and what is in it."""
    return ModelRef(path=str(folder.path.absolute()), content_hash=folder.content_hash)


def tune_folder(identity: str) -> Path:
    """Return where the tuning of a repository keeps its state."""
    return models_folder().with_name("tune") / identity


def has_commits(repository: Path, plan: TunePlan) -> bool:
    """Say whether a plan's commits are still there, and in the history of HEAD."""
    try:
        found = git(repository, "rev-list", "--first-parent", "HEAD").decode().split()
    except GitError:
        return False
    wanted = {plan.split.trained_to, plan.split.developed_to, plan.split.judged_to}
    return wanted <= set(found)


def _last_tuned(registry: Registry, identity: str, base: ModelFolder) -> ModelEntry:
    """Return the model to go on from by night: what is served, else the newest one."""
    entry = registry.chosen_entry(identity)
    if entry is None or entry.repository != identity:
        own = [entry for entry in registry.entries() if entry.repository == identity]
        if not own:
            raise TuneError(
                "there is no tuned model of this repository to go on from; run `foretype tune` "
                "without --nightly first"
            )
        entry = own[-1]
    if entry.parent != base.content_hash:
        raise TuneError(
            f"{entry.name} was tuned from another base than {base.info.name}; run `foretype tune` "
            "without --nightly once"
        )
    return entry
