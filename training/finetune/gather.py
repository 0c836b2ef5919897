"""The first step: all texts that a run reads, with a summary of them, written once.

Nothing after it reads the repository for training, so going on needs no repository. Knows no row.
"""

import dataclasses
import sys
import sysconfig
from pathlib import Path
from typing import Any

from model.tokenizer import Tokenizer
from training.errors import TuneError
from training.finetune import texts
from training.finetune.plan import TunePlan
from training.finetune.rows import Mixture
from training.finetune.texts import Text

MIN_TOKENS = 20_000  # of the repository's code: below, a network learns its names and no more

#: what was read and what stayed out, as JSON: figures and reasons, no code
DataSummary = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuneTexts:
    """The texts of a run."""

    mixture: Mixture
    held_out: tuple[Text, ...]  # general code that judges
    summary: DataSummary

    @property
    def documents(self) -> list[tuple[str, str]]:
        """The general code that judges, as (path, text)."""
        return [(text.path, text.text) for text in self.held_out]


def gather(plan: TunePlan, tokenizer: Tokenizer) -> TuneTexts:
    """Read the repository and the general code; TuneError if there is too little, or secrets."""
    found = texts.read_repository(Path(plan.root), plan.split.trained_to)
    texts.require_clean(found.texts)
    n_tokens = sum(len(tokenizer.encode(text.text)) for text in found.texts)
    if n_tokens < MIN_TOKENS:
        raise TuneError(
            f"there are {n_tokens} tokens of code to learn from, {MIN_TOKENS} are needed; the "
            "index alone knows so little code by heart"
        )
    folder = Path(plan.options.general or sysconfig.get_path("stdlib"))
    mixture = Mixture(own=found.texts, general=())
    n_replayed = mixture.n_general_bytes * plan.options.n_epochs
    replayed = tuple(texts.draw_replay(folder, n_replayed, seed=plan.options.seed))
    mixture = dataclasses.replace(mixture, general=replayed)
    held_out = tuple(texts.draw_held_out(folder))
    texts.require_clean([*mixture.general, *held_out])
    version = ".".join(map(str, sys.version_info[:3]))
    summary = {
        "n_seen": found.n_seen,  # tracked files
        "n_files": len(found.texts),  # of them trained on
        "n_bytes": mixture.n_own_bytes,
        "n_tokens": n_tokens,
        "refused": dict(found.refused.most_common()),
        "scrubbed": dict(found.scrubbed.most_common()),
        "data_hash": texts.hash_texts(found.texts),
        "general": plan.options.general or f"the standard library of Python {version}",
        "n_general_bytes": mixture.n_general_bytes,  # an epoch
        "general_hash": texts.hash_texts(mixture.general),
    }
    return TuneTexts(mixture=mixture, held_out=held_out, summary=summary)


def describe_code(summary: DataSummary) -> str:
    """Say in a line how much is trained on."""
    n_files, n_bytes, n_tokens = (summary[name] for name in ("n_files", "n_bytes", "n_tokens"))
    return f"{n_files} files, {n_bytes / 1000:.0f} kB, about {n_tokens} tokens"
