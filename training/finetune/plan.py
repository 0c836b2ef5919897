"""What one tuning will do, fixed before it is begun: commits, models, options; kept as JSON.

A run that was stopped goes on with the plan that it began with, so what decides the outcome is
here. Knows no text.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from model.config import ModelConfig
from training.data.shards import ids_dtype
from training.finetune.history_split import HistorySplit
from training.pretrain import checkpoint as state

LORA_ABOVE = 350e6  # parameters: larger bases are tuned by adapters
LORA_RANK = 64  # unless one is given
_SPARE_BYTES = 200 << 20  # for the judge's indexes and the system


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a user may choose and the outcome depends on."""

    n_epochs: int = 3
    lora_rank: int = 0  # 0: by the base's size
    general: str = ""  # folder of general code; "": the standard library
    n_tasks: int = 600  # cursors that judge
    seed: int = 0
    is_nightly: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """A model folder, and what was in it when the plan was made."""

    path: str
    content_hash: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TunePlan:
    """One tuning from the first step to the last."""

    name: str  # of the model that may come of it
    repository_id: str
    root: str
    split: HistorySplit
    base: ModelRef  # the general model; whose general code must not be forgotten
    start: ModelRef  # whose weights it begins with: the base's, or by night the last tuned ones
    serving: ModelRef  # what is served in the repository: to be beaten
    options: Options
    since: str = ""  # by night: the commit that `start` has seen already

    def to_table(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Self:
        """Read what `to_table` gave; TypeError or KeyError if it is something else."""
        models = {name: ModelRef(**table[name]) for name in ("base", "start", "serving")}
        split, options = HistorySplit(**table["split"]), Options(**table["options"])
        return cls(**(table | models | {"split": split, "options": options}))

    def is_same_work(self, other: TunePlan) -> bool:
        """Say whether a plan differs in the commits alone, which move while people work."""
        same_commits = dataclasses.replace(
            self, split=other.split, root=other.root, name=other.name
        )
        return same_commits == other


def lora_rank(options: Options, config: ModelConfig) -> int:
    """Return the rank of the adapters, 0 for a full fine-tune."""
    if options.lora_rank:
        return options.lora_rank
    return LORA_RANK if config.n_params > LORA_ABOVE else 0


def disk_bytes(config: ModelConfig, *, n_tokens: int, n_epochs: int) -> int:
    """Return what a run needs on disk at most, an estimate from above.

    Checkpoints hold the weights and up to two numbers more for each, in 4 bytes; an epoch's
    weights are kept; model folders are in 2 bytes.
    """
    checkpoints = (state.KEEP + 2) * 12 * config.n_params
    weights = n_epochs * 4 * config.n_params
    folders = 5 * 2 * config.n_params
    rows = n_epochs * 2 * ids_dtype(config.vocab_size).itemsize * n_tokens
    return checkpoints + weights + folders + rows + _SPARE_BYTES
