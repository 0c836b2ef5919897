"""What a tuning would do and how long it takes, what was judged, and the model card.

Figures and names, never code.
"""

import dataclasses
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model.folder import ModelFolder
from model.runtime import open_runtime
from training.evaluation.intervals import format_percent, format_points
from training.evaluation.replay.report import Report
from training.evaluation.replay.report_tables import WIDTH, format_range, format_table
from training.finetune.judge import BASE, TUNED, find_gain, system_name
from training.finetune.plan import TunePlan, estimate_disk_bytes, lora_rank, open_folder
from training.finetune.request import TuneOptions
from training.finetune.run import micro_rows, open_trainer, tune_recipe
from training.finetune.texts import GENERAL_FRAC, describe_code, gather

_ROW_OVERHEAD = 1.3  # row tokens a token of text (measured: 1.24 to 1.38): headers, snippets, marks
EXTRA_SHARE = 0.25  # of training: packing, bits per byte, points of the way (docs/tune.md)
_ROUNDS, _ROUNDS_S = 4, 8.0  # that are timed: so many, or as many as begin in so many seconds
EXTRA_TOKENS = 180_000  # at least, in tokens that are trained on: the measuring
MEASURED_PROMPTS = 250  # whole prompts' time that bits per byte take to judge
PROMPTS_PER_TASK = 4.0  # whole prompts' time that a cursor takes to judge (docs/tune.md)
_PRIVATE = (
    "This model was tuned on one repository and holds parts of its code: treat its files as you "
    "treat that code. It is served for documents of that repository alone."
)


def format_dry_run(plan: TunePlan) -> str:
    """Read the texts and say what would come; the errors are those of the run itself."""
    base, split = open_folder(Path(plan.base.path)), plan.split
    summary, n_epochs = gather(plan, base.tokenizer()).summary, plan.options.n_epochs
    n_tokens = round(n_epochs * summary["n_tokens"] / (1 - GENERAL_FRAC) * _ROW_OVERHEAD)
    flops = n_tokens * base.config.flops_per_token(base.info.block_size)
    rank = lora_rank(plan.options, base.config)
    disk = estimate_disk_bytes(
        base.config, n_tokens=summary["n_tokens"], n_epochs=n_epochs, rank=rank
    )
    duration = describe_time(base, plan.options, n_tokens=n_tokens)
    weights = f"adapters of rank {rank}" if rank else "all weights"
    return f"""\
repository   {plan.root} ({plan.repository_id})
begins with  {base.info.name}, {base.config.n_params / 1e6:.1f}M parameters, {weights}
trained on   {split.n_trained} commits, up to {split.trained_to[:12]}
chosen by    {split.n_development} commits, {_shorten(split.development)}
judged by    {split.n_judged} commits, {_shorten(split.judged)}
code         {describe_code(summary)}; {summary["n_files"]} of {summary["n_seen"]} code files
left out     {_format_counts(summary["refused"])}
replaced     {_format_counts(summary["scrubbed"])}
general      {summary["n_general_bytes"] / 1000:.0f} kB an epoch of {summary["general"]}
training     about {n_tokens / 1e6:.2f} million tokens in {n_epochs} epochs, {flops:.1e} operations
time         {duration}
disk         up to {disk / 1e6:.0f} MB while it runs
"""


def format_card(plan: TunePlan, result: Mapping[str, Any]) -> str:
    """Return the model card in Markdown: what it saw, how it was made, what later commits say.

    `result` is all that is known of a tuning when its model is written.
    """
    split, summary, log = plan.split, result["texts"], result["training"]
    candidate, verdict, rank = result["candidate"], result["verdict"], result["lora_rank"]
    kind = f"adapters of rank {rank}, merged" if rank else "all weights"
    bits = ", ".join(f"{value:.4f}" for value in log["bits"])
    reasons = "\n".join(f"- {reason}" for reason in verdict["reasons"])
    scores = "\n".join(
        f"| {name} | {value:.4f} |" for name, value in sorted(verdict["scores"].items())
    )
    return f"""\
# {plan.name}

{_PRIVATE}

## What it saw

- Commit {split.trained_to} ({split.n_trained} commits); nothing later.
- {summary["n_files"]} of {summary["n_seen"]} code files, {summary["n_bytes"]} bytes, about \
{summary["n_tokens"]} tokens, SHA-256 of names and contents {summary["data_hash"]}.
- Left out: {_format_counts(summary["refused"])}.
- Secrets and personal data replaced: {_format_counts(summary["scrubbed"])}.
- General code, a quarter of what it read: {summary["n_general_bytes"]} bytes an epoch of \
{summary["general"]}.

## How it was made

- From the model {plan.base.content_hash}: {kind}.
- {log["tokens"]} tokens in {log["seconds"] / 60:.1f} minutes \
({log["cpu_seconds"] / 60:.1f} minutes of CPU time).
- Bits per byte of lines added in {split.n_development} development commits, before and after each \
epoch: {bits}.
- Kept: epoch {candidate["epoch"]}, {candidate["share"]:g} of the way from the base.

## What later commits say

{split.n_judged} commits, {split.judged}, which nothing above has seen, against the model \
{plan.serving.content_hash}:

{reasons}

| | |
|---|---|
{scores}
"""


def _shorten(revisions: str) -> str:
    first, _, last = revisions.partition("..")
    return f"{first[:12]}..{last[:12]}"


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing"


def describe_time(base: ModelFolder, options: TuneOptions, *, n_tokens: int) -> str:
    """Say how many minutes it takes to train on tokens of rows, and to judge at cursors."""
    token_s = _time_token(base, lora_rank(options, base.config))
    training = (n_tokens + max(EXTRA_SHARE * n_tokens, EXTRA_TOKENS)) * token_s / 60
    runtime = open_runtime(base, max_len=base.info.block_size, threads=1)

    def read() -> None:  # a prompt as long as can be
        runtime.rewind(0)
        runtime.append([0] * (base.info.block_size - 1))

    n_prompts = options.n_tasks * PROMPTS_PER_TASK + MEASURED_PROMPTS
    judging = n_prompts * _time(read) / 60
    total = training + judging
    return (
        f"about {max(1, round(total))} minutes here (training {training:.1f}, judging"
        f" {judging:.1f}), as busy as the machine is now"
    )


def _time_token(base: ModelFolder, rank: int) -> float:
    """Return the seconds that a token takes in a training step."""
    n_rows = min(2, micro_rows(base))
    recipe = tune_recipe(base, [n_rows], name=base.info.name, seed=0, lora_rank=rank)
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, micro_rows=n_rows))
    trainer = open_trainer(base, recipe)
    stage = trainer.stage
    return _time(trainer.rehearse) / (stage.micro_rows * stage.block_size)


def _time(work: Callable[[], None]) -> float:
    """Return the seconds of a round, as a mean: what else runs here is a part of it."""
    work()  # the first one loads and allocates
    started, n_rounds, spent = time.perf_counter(), 0, 0.0
    while n_rounds < _ROUNDS and spent < _ROUNDS_S:
        work()
        n_rounds, spent = n_rounds + 1, time.perf_counter() - started
    return spent / n_rounds


def format_report(report: Report) -> str:
    """Return the judgement as text; what was decided stands first and last."""
    parts = (_decision, _systems, _gains, _bits)
    return "\n\n".join("\n".join(part(report)) for part in parts).rstrip() + "\n"


def _decision(report: Report) -> Iterator[str]:
    [repository] = report["replay"]["repositories"]
    commits, end = repository["commits"], "it takes the base's place here"
    yield (
        f"{report[TUNED]['name']} against {report[BASE]['name']} on {repository['name']}:"
        f" {repository['tasks']} cursors in {commits} judged commit{'s' * (commits != 1)}"
    )
    state, end = ("better", end) if report["promoted"] else ("not better", "the base stays")
    yield f"The tuned model is {state} by the stated margins: {end}."
    for reason in report["reasons"]:
        yield textwrap.fill(f"- {reason}", WIDTH, subsequent_indent="  ")


def _systems(report: Report) -> Iterator[str]:
    names = [system_name(name, has_index=has) for name in (BASE, TUNED) for has in (False, True)]
    rows = []
    for name in names:
        its = report["replay"]["systems"][name]
        half = (its["when_half_is_shown"] or {}).get("right")
        figures = [format_range(its[metric]) for metric in ("exact", "right", "saved")]
        rows.append([name, *figures, format_percent(half)])
    head = ("", "exact line", "right", "characters\nsaved", "right in the\nsurer half")
    yield from format_table("what each has, with 95% ranges", head, rows)


def _gains(report: Report) -> Iterator[str]:
    yield "tuned minus base, paired by cursor, in points"
    for has_index, index in ((True, "with index"), (False, "without index")):
        for metric in ("exact", "saved"):
            if gain := find_gain(report, metric, has_index=has_index):
                label = f"{metric}, {index}"
                yield f"  {label:<38}{format_points(gain)}"


def _bits(report: Report) -> Iterator[str]:
    yield f"{'bits per byte':<26}{'base':>8}{'tuned':>8}  fewer, in percent"
    labels = {"later": "lines added later", "general": "general code"}
    if report["general_base"] != report[BASE]:
        labels["general"] += f" (base: {report['general_base']['name']})"
    for key, label in labels.items():
        its = report["bits"][key]
        yield f"  {label:<24}{its[BASE]:>8.4f}{its[TUNED]:>8.4f}  {format_points(its['gain'])}"
