"""One `foretype tune` from the first look to the model that serves, in the order of events.

Each step is done once: what it leaves in the state folder is found again. After kill -9 a run goes
on with the step that was under way, and training with its last checkpoint; until the last step,
what served still serves. Knows no arguments and prints nothing but what it does.
"""

import dataclasses
import datetime
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assistant.models.registry import ModelEntry, Registry, models_folder
from model.config import from_table
from model.folder import ModelFolder, copy_folder, load_folder, save_folder
from model.onnx_cache import delete_graphs
from model.publish import publish_folder
from training.data.progress import say
from training.errors import TuneError
from training.evaluation.bits_per_byte import Passage
from training.finetune import run
from training.finetune.judge import added_passages, general_passages, judge_models
from training.finetune.plan import (
    PLAN,
    TunePlan,
    TuneState,
    estimate_disk_bytes,
    lora_rank,
    make_plan,
    open_folder,
)
from training.finetune.report import describe_time, format_card
from training.finetune.request import TuneRequest
from training.finetune.run import TrainingLog, base_weights, interpolate
from training.finetune.texts import (
    TuneTexts,
    count_rows,
    describe_code,
    gather,
    pack_settings,
    write_rows,
)

TEXTS, ROWS, CANDIDATE = "documents", "rows", "candidate"
VERDICT, FINAL, RESULT = "verdict", "final", "result"
MAX_BYTES = 60_000  # that are measured after an epoch and at a point of the way

#: (plan, tuned, general code, folder for indexes) -> promoted, reasons, scores, report
Judge = Callable[[TunePlan, Path, Sequence[tuple[str, str]], Path], dict[str, Any]]


class TuneOutcome(NamedTuple):
    """What a tuning came to."""

    plan: TunePlan
    result: dict[str, Any]  # JSON: every figure, no line of code
    is_old: bool  # found, not made


def tune(
    request: TuneRequest, *, is_fresh: bool = False, judge: Judge = judge_models
) -> TuneOutcome:
    """Tune, or go on with a tuning that was stopped; TuneError and others say what to mend.

    TuneStoppedError and KeyboardInterrupt leave a run that goes on when it is asked for again.
    """
    registry = Registry()
    wanted = make_plan(request, registry)
    with TuneState(tune_folder(wanted.repository_id)) as state:
        plan = _choose_plan(state, wanted, is_fresh=is_fresh)
        is_old = (result := state.table(RESULT)) is not None
        if result is None:
            result = json.loads(json.dumps(_run(state, plan, registry, judge)))
            state.write_table(RESULT, result)
        state.clear(keep=(PLAN, RESULT))
        return TuneOutcome(plan=plan, result=result, is_old=is_old)


def _run(state: TuneState, plan: TunePlan, registry: Registry, judge: Judge) -> dict[str, Any]:
    base, split, folder = open_folder(Path(plan.base.path)), plan.split, state.folder
    say(
        f"history: trained on {split.n_trained} commits, chosen by {split.n_development}, "
        f"judged by {split.n_judged}"
    )
    # The lines that choose: those that the development commits added.
    added = added_passages(
        Path(plan.root), split.development, max_bytes=MAX_BYTES, seed=plan.options.seed
    )
    texts = _gather_texts(state, plan, base)
    say(f"code: {describe_code(texts.summary)}")
    n_rows = _pack_rows(state, plan, base, texts)
    say(f"rows: {', '.join(map(str, n_rows))} of {base.info.block_size} tokens, an epoch each")
    rank, seed = lora_rank(plan.options, base.config), plan.options.seed
    if state.table(CANDIDATE) is None:
        n_tokens = sum(n_rows) * base.info.block_size
        say(f"time: {describe_time(base, plan.options, n_tokens=n_tokens)}")
    recipe = run.tune_recipe(base, n_rows, name=plan.name, seed=seed, lora_rank=rank)
    log = run.train(state, base, recipe, folder / ROWS, added)
    candidate = state.do_once(
        CANDIDATE, lambda: _write_candidate(state, plan, base, log, added, texts)
    )
    say(f"weights: epoch {candidate['epoch']}, {candidate['share']:g} of the way")
    with tempfile.TemporaryDirectory(
        dir=folder, suffix=".part", ignore_cleanup_errors=True
    ) as indexes:
        verdict = state.do_once(
            VERDICT,
            lambda: judge(plan, folder / CANDIDATE, texts.judging, Path(indexes)),
        )
    result = {
        "plan": dataclasses.asdict(plan),
        "texts": texts.summary,
        "lora_rank": rank,
        "training": log,
        "candidate": candidate,
        "verdict": verdict,
    }
    entry, is_used = publish(state, plan, result, registry)
    return result | {"model": entry and dataclasses.asdict(entry), "is_used": is_used}


def tune_folder(repository_id: str) -> Path:
    """Return where the tuning of a repository keeps its state."""
    return models_folder().with_name("tune") / repository_id


def publish(
    state: TuneState, plan: TunePlan, result: dict[str, Any], registry: Registry
) -> tuple[ModelEntry | None, bool]:
    """List the model if it is better, and let it serve unless another one is pinned."""
    if not result["verdict"]["promoted"]:
        # It was made ready to run for the judge.
        delete_graphs(load_folder(state.folder / CANDIDATE).content_hash)
        return None, False
    if not (state.folder / FINAL).is_dir():
        copy_folder(state.folder / CANDIDATE, state.folder / FINAL, card=format_card(plan, result))
    now = datetime.datetime.now(datetime.UTC)
    is_taken = plan.name in {entry.name for entry in registry.entries()}
    entry = ModelEntry(
        name=registry.new_name(Path(plan.root), f"{now:%Y%m%d}") if is_taken else plan.name,
        repository=plan.repository_id,
        root=plan.root,
        content_hash=load_folder(state.folder / FINAL).content_hash,
        parent=plan.base.content_hash,
        data_hash=result["texts"]["data_hash"],
        trained_to=plan.split.trained_to,
        created=now.isoformat(timespec="seconds"),
        kind="lora" if result["lora_rank"] else "full",
        scores=result["verdict"]["scores"],
    )
    entry = registry.add(state.folder / FINAL, entry)
    is_used = not registry.book().choice(plan.repository_id).is_pinned
    if is_used:
        registry.use(entry.name, plan.repository_id)
    return entry, is_used


def _choose_plan(state: TuneState, wanted: TunePlan, *, is_fresh: bool) -> TunePlan:
    """Return the plan that is under way or done if it is the same work, else begin the new one."""
    old, result = (None, None) if is_fresh else (state.plan(), state.table(RESULT))
    if old is not None:
        is_own = wanted.serving.content_hash == _find_model_hash(state, result)
        serving = old.serving if is_own else wanted.serving  # what served before this very run
        if old.is_same_work(dataclasses.replace(wanted, serving=serving)):
            moved = dataclasses.replace(old, root=wanted.root)
            if result is not None and old.split == wanted.split:
                return old
            if result is None and state.table(TEXTS) is not None and moved.has_commits():
                say("going on with the run that was stopped")
                return moved
    state.begin(wanted)
    return wanted


def _find_model_hash(state: TuneState, result: dict[str, Any] | None) -> str:
    """Return the content hash of the model that a run has made, "" if it has made none yet."""
    if result is not None:
        return str(result["model"]["content_hash"]) if result["model"] else ""
    made = state.folder / CANDIDATE
    return load_folder(made).content_hash if made.is_dir() else ""


def _gather_texts(state: TuneState, plan: TunePlan, base: ModelFolder) -> TuneTexts:
    if (table := state.table(TEXTS)) is not None:
        return from_table(TuneTexts, table)
    # ReplayError unless the judging commits add code: better known before training than after.
    added_passages(Path(plan.root), plan.split.judged, max_bytes=1, seed=plan.options.seed)
    texts = gather(plan, base.tokenizer())
    n_tokens, n_epochs = texts.summary["n_tokens"], plan.options.n_epochs
    rank = lora_rank(plan.options, base.config)
    wanted = estimate_disk_bytes(base.config, n_tokens=n_tokens, n_epochs=n_epochs, rank=rank)
    free = shutil.disk_usage(state.folder).free
    if free < wanted:
        raise TuneError(
            f"{wanted / 1e9:.1f} GB are needed in {state.folder} and {free / 1e9:.1f} GB are free;"
            " make room, or set XDG_DATA_HOME to another disk"
        )
    state.write_table(TEXTS, dataclasses.asdict(texts))
    return texts


def _pack_rows(
    state: TuneState, plan: TunePlan, base: ModelFolder, texts: TuneTexts
) -> tuple[int, ...]:
    """Pack the rows of all epochs; return how many each has."""
    n_epochs = plan.options.n_epochs
    if not (state.folder / ROWS).is_dir():
        settings = pack_settings(base.info, seed=plan.options.seed)
        with publish_folder(state.folder / ROWS) as folder:
            write_rows(folder, texts, base.tokenizer(), settings, n_epochs=n_epochs)
    return count_rows(state.folder / ROWS, n_epochs)


def _write_candidate(
    state: TuneState,
    plan: TunePlan,
    base: ModelFolder,
    log: TrainingLog,
    added: Sequence[Passage],
    texts: TuneTexts,
) -> dict[str, Any]:
    """Choose the weights and write them as a model folder, with the ranker of the base."""
    general = general_passages(texts.judging, max_bytes=MAX_BYTES, seed=plan.options.seed)
    epoch = run.best_epoch(log["bits"])
    tuned = run.epoch_weights(state, epoch)
    points = run.measure_points(base, tuned, added, general)
    chosen = run.choose_point(points)
    tensors = interpolate(base_weights(base), tuned, chosen.share)
    save_folder(
        state.folder / CANDIDATE,
        config=base.config,
        tensors={name: tensor.numpy() for name, tensor in tensors.items()},
        tokenizer_json=(base.path / "tokenizer.json").read_text(encoding="utf-8"),
        info=dataclasses.replace(base.info, name=plan.name, parent=base.content_hash),
        card=f"# {plan.name}\n\nNot judged yet.\n",
        ranker=base.ranker,
        end_id=base.end_id,
    )
    return {"epoch": epoch, "share": chosen.share, "points": [point._asdict() for point in points]}
