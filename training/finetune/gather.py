"""The first step: all texts that a run reads, on disk, with an account of them.

Nothing after it reads the repository for training. Knows no row.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.git import git
from model.tokenizer import Tokenizer
from training.finetune import general
from training.finetune.errors import TuneError
from training.finetune.plan import TunePlan
from training.finetune.rows import Mixture
from training.finetune.text_store import read_texts, write_texts
from training.finetune.texts import Text, data_hash, repository_texts, require_clean

MIN_TOKENS = 20_000  # of the repository's code: below, a network learns its names and no more
MIN_NIGHTLY_TOKENS = 2_000  # of changed files
FRESH, UNCHANGED, GENERAL, HELD_OUT = "fresh", "unchanged", "general", "held_out"
_SHORT_LINE = "{n_files} files, {kb:.0f} kB, about {n_tokens} tokens"


class NothingToDoError(TuneError):
    """Nothing has changed that is worth a run; not a failure."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What was read and what stayed out: figures and reasons, no code."""

    n_seen: int  # tracked files
    n_files: int  # of them trained on
    n_bytes: int
    n_tokens: int  # of those that are read in full each epoch
    n_fresh: int  # files among them
    refused: dict[str, int]
    scrubbed: dict[str, int]
    data_hash: str
    general: str  # what general code is called in reports
    n_general_bytes: int  # an epoch
    general_hash: str

    def line(self) -> str:
        """Say it in one line."""
        return _SHORT_LINE.format(
            n_files=self.n_fresh, kb=self.n_bytes / 1000, n_tokens=self.n_tokens
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """The texts of a run."""

    mixture: Mixture
    held_out: tuple[Text, ...]
    account: Account


def gather(plan: TunePlan, tokenizer: Tokenizer) -> Gathered:
    """Read the repository and the general code; TuneError if there is too little, or secrets."""
    found = repository_texts(Path(plan.root), plan.split.trained_to)
    require_clean(found.texts)
    fresh, unchanged = _by_change(found.texts, plan)
    n_tokens = sum(len(tokenizer.encode(text.text)) for text in fresh)
    _require_enough(n_tokens, plan)
    folder = Path(plan.options.general) if plan.options.general else general.standard_library()
    mixture = Mixture(fresh=fresh, general=(), unchanged=unchanged)
    wanted = mixture.n_general_bytes * plan.options.n_epochs
    replayed = tuple(general.replayed(folder, wanted, seed=plan.options.seed))
    mixture = dataclasses.replace(mixture, general=replayed)
    held_out = tuple(general.held_out(folder))
    require_clean([*mixture.general, *held_out])
    account = Account(
        n_seen=found.n_seen,
        n_files=len(found.texts),
        n_bytes=mixture.n_fresh_bytes,
        n_tokens=n_tokens,
        n_fresh=len(fresh),
        refused=dict(found.refused.most_common()),
        scrubbed=dict(found.scrubbed.most_common()),
        data_hash=found.data_hash,
        general=plan.options.general or f"the standard library of Python {_version()}",
        n_general_bytes=mixture.n_general_bytes,
        general_hash=data_hash(mixture.general),
    )
    return Gathered(mixture=mixture, held_out=held_out, account=account)


def save(folder: Path, gathered: Gathered) -> None:
    """Write the texts into a folder."""
    for name, texts in _parts(gathered).items():
        write_texts(folder / f"{name}.jsonl", texts)


def load(folder: Path, account: dict[str, Any]) -> Gathered:
    """Read what `save` wrote; the account is kept by the caller."""
    parts = {
        name: tuple(read_texts(folder / f"{name}.jsonl"))
        for name in (FRESH, UNCHANGED, GENERAL, HELD_OUT)
    }
    return Gathered(
        mixture=Mixture(fresh=parts[FRESH], unchanged=parts[UNCHANGED], general=parts[GENERAL]),
        held_out=parts[HELD_OUT],
        account=Account(**account),
    )


def _parts(gathered: Gathered) -> dict[str, Sequence[Text]]:
    mixture = gathered.mixture
    return {
        FRESH: mixture.fresh,
        UNCHANGED: mixture.unchanged,
        GENERAL: mixture.general,
        HELD_OUT: gathered.held_out,
    }


def _by_change(texts: Sequence[Text], plan: TunePlan) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
    """Return (what is learnt, what is only replayed): by night, files changed since and others."""
    if not plan.since:
        return tuple(texts), ()
    listing = git(Path(plan.root), "ls-tree", "-r", "-z", "--full-tree", plan.since)
    known = {
        record.partition(b"\t")[0].split()[2].decode() for record in listing.split(b"\0") if record
    }
    fresh = tuple(text for text in texts if text.blob not in known)
    return fresh, tuple(text for text in texts if text.blob in known)


def _require_enough(n_tokens: int, plan: TunePlan) -> None:
    if plan.since and n_tokens < MIN_NIGHTLY_TOKENS:
        raise NothingToDoError(
            f"nothing to do: {n_tokens} tokens of code have changed up to "
            f"{plan.split.trained_to[:12]}, {MIN_NIGHTLY_TOKENS} are worth a run"
        )
    if not plan.since and n_tokens < MIN_TOKENS:
        raise TuneError(
            f"there are {n_tokens} tokens of code to learn from, {MIN_TOKENS} are needed; of so "
            "little the memory alone knows all"
        )


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))
