"""What a tuning would do, and the card of what it made: figures and names, never code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.folder import load_folder
from training.finetune.estimate import describe_time
from training.finetune.gather import DataSummary, gather
from training.finetune.plan import TunePlan, estimate_disk_bytes, lora_rank
from training.finetune.rows import GENERAL_FRAC

_ROW_OVERHEAD = 1.3  # row tokens a token of text (measured: 1.24 to 1.38): headers, snippets, marks
_PRIVATE = (
    "This model was tuned on one repository and holds parts of its code: treat its files as you "
    "treat that code. It is served for documents of that repository alone."
)


def format_dry_run(plan: TunePlan) -> str:
    """Read the texts and say what would come; the errors are those of the run itself."""
    base, split = load_folder(Path(plan.base.path)), plan.split
    summary, n_epochs = gather(plan, base.tokenizer()).summary, plan.options.n_epochs
    n_tokens = round(n_epochs * summary.n_tokens / (1 - GENERAL_FRAC) * _ROW_OVERHEAD)
    flops = n_tokens * base.config.flops_per_token(base.info.block_size)
    disk = estimate_disk_bytes(base.config, n_tokens=summary.n_tokens, n_epochs=n_epochs)
    time = describe_time(base, n_tokens=n_tokens, n_tasks=plan.options.n_tasks)
    rank = lora_rank(plan.options, base.config)
    weights = f"adapters of rank {rank}" if rank else "all weights"
    return f"""\
repository   {plan.root} ({plan.repository_id})
begins with  {base.info.name}, {base.config.n_params / 1e6:.1f}M parameters, {weights}
trained on   {split.n_trained} commits, up to {split.trained_to[:12]}
chosen by    {split.n_development} commits, {_shorten(split.development)}
judged by    {split.n_judged} commits, {_shorten(split.judged)}
code         {summary}; {summary.n_files} of {summary.n_seen} tracked files
left out     {_format_counts(summary.refused)}
replaced     {_format_counts(summary.scrubbed)}
general      {summary.n_general_bytes / 1000:.0f} kB an epoch of {summary.general}
training     about {n_tokens / 1e6:.2f} million tokens in {n_epochs} epochs, {flops:.1e} operations
time         {time}
disk         up to {disk / 1e6:.0f} MB while it runs
"""


def format_card(plan: TunePlan, result: Mapping[str, Any]) -> str:
    """Return the model card in Markdown: what it saw, how it was made, what later commits say.

    `result` is all that is known of a tuning when its model is written.
    """
    split, summary, log = plan.split, DataSummary(**result["texts"]), result["training"]
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
- {summary.n_files} of {summary.n_seen} tracked files, {summary.n_bytes} bytes, about \
{summary.n_tokens} tokens, SHA-256 of names and blobs {summary.data_hash}.
- Left out: {_format_counts(summary.refused)}.
- Secrets and personal data replaced: {_format_counts(summary.scrubbed)}.
- General code, a quarter of what it read: {summary.n_general_bytes} bytes an epoch of \
{summary.general}.

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
