"""The card of a tuned model: what it saw, how it was made, what later commits say. Never code.

Every figure comes from the steps' tables. Knows no tensor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from training.finetune.gather import Account
from training.finetune.plan import TunePlan
from training.finetune.run import Trained

_PRIVATE = (
    "This model was tuned on one repository and holds parts of its code: treat its files as you "
    "treat that code. It is served for documents of that repository alone."
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CardData:
    """All that is known of a tuning when its model is written."""

    plan: TunePlan
    account: Account
    trained: Trained
    candidate: Mapping[str, Any]
    refit: Mapping[str, Any]
    verdict: Mapping[str, Any]  # promoted, reasons, scores
    lora_rank: int


def card(story: CardData) -> str:
    """Return the card in Markdown."""
    sections = [
        f"# {story.plan.name}",
        _PRIVATE,
        _seen(story),
        _made(story),
        _judged(story),
    ]
    return "\n\n".join(sections) + "\n"


def _seen(story: CardData) -> str:
    account, split = story.account, story.plan.split
    lines = [
        "## What it saw",
        "",
        f"- Commit {split.trained_to} ({split.n_trained} commits); nothing later.",
        (
            f"- {account.n_files} of {account.n_seen} tracked files, {account.n_bytes} bytes, "
            f"about {account.n_tokens} tokens, SHA-256 of names and blobs {account.data_hash}."
        ),
        f"- Left out: {_counts(account.refused)}.",
        f"- Secrets and personal data replaced: {_counts(account.scrubbed)}.",
        (
            f"- General code, a quarter of what it read: {account.n_general_bytes} bytes an epoch "
            f"of {account.general}."
        ),
    ]
    if story.plan.since:
        lines.insert(
            3, f"- Of these, {account.n_fresh} files that changed since {story.plan.since} in full."
        )
    return "\n".join(lines)


def _made(story: CardData) -> str:
    trained, candidate = story.trained, story.candidate
    kind = f"adapters of rank {story.lora_rank}, merged" if story.lora_rank else "all weights"
    bits = ", ".join(f"{value:.4f}" for value in trained.bits)
    return "\n".join(
        [
            "## How it was made",
            "",
            f"- From the model {story.plan.start.content_hash}: {kind}.",
            (
                f"- {trained.tokens} tokens in {trained.seconds / 60:.1f} minutes "
                f"({trained.cpu_seconds / 60:.1f} processor-minutes)."
            ),
            (
                f"- Bits per byte of lines added in {story.plan.split.n_development} development "
                f"commits, before and after each epoch: {bits}."
            ),
            (
                f"- Kept: epoch {candidate['epoch']}, {candidate['share']:g} of the way from the "
                "weights that it began with."
            ),
        ]
    )


def _judged(story: CardData) -> str:
    verdict, split = story.verdict, story.plan.split
    lines = ["## What later commits say", ""]
    lines.append(
        f"{split.n_judged} commits, {split.judged}, which nothing above has seen, against the "
        f"model {story.plan.serving.content_hash}:"
    )
    lines += ["", *(f"- {reason}" for reason in verdict["reasons"])]
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {value:.4f} |" for name, value in sorted(verdict["scores"].items())]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing"
