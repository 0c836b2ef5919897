"""What a tuning would do, as text: commits, files, tokens, disk. Trains and writes nothing.

The work is given in floating-point operations; `foretype train plan` knows how long machines take.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from model.folder import load_folder
from training.finetune.gather import gather
from training.finetune.plan import TunePlan, disk_bytes, lora_rank
from training.finetune.rows import GENERAL_FRAC, UNCHANGED_FRAC
from training.pretrain.plan import HARDWARE

_ROW_OVERHEAD = 1.3  # row tokens a token of text (measured: 1.24 to 1.38): headers, snippets, marks


def outlook(plan: TunePlan) -> str:
    """Read the texts and say what would come; the errors are those of the run itself."""
    start, split = load_folder(Path(plan.start.path)), plan.split
    account = gather(plan, start.tokenizer()).account
    fresh_frac = 1 - GENERAL_FRAC - (UNCHANGED_FRAC if plan.since else 0.0)
    n_tokens = round(plan.options.n_epochs * account.n_tokens / fresh_frac * _ROW_OVERHEAD)
    flops = n_tokens * start.config.flops_per_token(start.info.block_size)
    disk = disk_bytes(start.config, n_tokens=account.n_tokens, n_epochs=plan.options.n_epochs)
    machine = HARDWARE[0]
    rank = lora_rank(plan.options, start.config)
    lines = [
        f"repository   {plan.root} ({plan.repository_id})",
        f"begins with  {start.info.name}, {start.config.n_params / 1e6:.1f}M parameters, "
        + (f"adapters of rank {rank}" if rank else "all weights"),
        f"trained on   {split.n_trained} commits, up to {split.trained_to[:12]}",
        f"chosen by    {split.n_development} commits, {_short(split.development)}",
        f"judged by    {split.n_judged} commits, {_short(split.judged)}",
        f"code         {account.line()}; {account.n_files} of {account.n_seen} tracked files",
        f"left out     {_counts(account.refused)}",
        f"replaced     {_counts(account.scrubbed)}",
        f"general      {account.n_general_bytes / 1000:.0f} kB an epoch of {account.general}",
        (
            f"training     about {n_tokens / 1e6:.2f} million tokens in "
            f"{plan.options.n_epochs} epochs, {flops:.1e} operations"
        ),
        (
            f"             {flops / machine.flops / 60:.0f} minutes on {machine.name} "
            "(foretype train plan --help); judging comes on top"
        ),
        f"disk         up to {disk / 1e6:.0f} MB while it runs",
    ]
    return "\n".join(lines) + "\n"


def _short(revisions: str) -> str:
    first, _, last = revisions.partition("..")
    return f"{first[:12]}..{last[:12]}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing"
