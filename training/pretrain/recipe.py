"""A training recipe: one TOML file whose tables are dataclasses, checked when it is read.

What follows from a recipe (steps, batches, rates) is worked out in `training.pretrain.schedule`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from model.config import PRESETS, ConfigError, ModelConfig, from_table
from training.data.recipe import recipe_tables, require

# Settings that may change in a run: those of the plan, which is compared with what was done, and
# others that do not touch the weights: the guard's limits only of a run that is ill, compilation
# and how it is spread only their last bits, as another machine would. The teacher is known by its
# hash, not its folder.
MAY_CHANGE = frozenset(
    {"tokens", "batch_tokens", "micro_rows", "warmdown_share", "final_lr", "final_momentum"}
    | {"block_size", "checkpoint_s", "validate_steps", "max_skips", "max_rollbacks"}
    | {"compile", "teacher", "shard", "tensor_parallel", "recompute"}
)
ORTHOGONALISERS = ("newton-schulz", "polar-express")
BLOCKS = ("qwen3", "gpt2")
OPTIMISERS = ("muon", "adamw")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NetworkTable:
    """[network]: a preset, and what differs from it."""

    preset: str
    vocab_size: int = 0  # 0: the preset's
    block_size: int = 0  # tokens; 0: the preset's
    n_layer: int = 0
    n_embd: int = 0
    block: str = "qwen3"  # or "gpt2", of 2019, for comparison: it cannot be exported

    def __post_init__(self) -> None:
        _require_one_of("network.block", self.block, BLOCKS)

    def config(self) -> ModelConfig:
        """Return the network's shape; ConfigError for an unknown preset or an impossible shape."""
        if self.preset not in PRESETS:
            raise ConfigError(
                f"network.preset must be one of {', '.join(PRESETS)}, got {self.preset!r}"
            )
        changes = {
            name: getattr(self, name)
            for name in ("vocab_size", "block_size", "n_layer", "n_embd")
            if getattr(self, name)
        }
        config = dataclasses.replace(PRESETS[self.preset], **changes)
        if self.block == "gpt2":  # as many weights as its two matrices of four times the width
            inner = round(8 / 3 * config.n_embd)
            config = dataclasses.replace(config, n_kv_head=config.n_head, n_inner=inner)
        return config


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainTable:
    """[train]: one run of the optimizer."""

    tokens: int  # read in all
    batch_tokens: int = 8_192  # per optimizer step
    micro_rows: int = 16  # rows per forward pass; the rest is accumulated
    matrix_lr: float = 0.02  # Muon, at plan.REFERENCE_BATCH
    embed_lr: float = 0.05  # AdamW on the tied embedding, at plan.REFERENCE_BATCH
    gain_lr: float = 0.015  # AdamW on norm gains and biases, at plan.REFERENCE_BATCH
    lr_scale: float = 1.0  # factor on all three, for pilots
    weight_decay: float = 0.1
    optimiser: str = "muon"  # or "adamw" for all weights, matrices at matrix_lr
    orthogonaliser: str = "newton-schulz"  # of Muon's updates, or "polar-express"
    normuon_beta2: float = 0.0  # memory of Muon's variance for each neuron; 0: not normalised
    final_momentum: float = 0.95  # Muon's at the end of the warmdown
    average_tokens: int = 0  # memory of a running average of the weights; 0: none is kept
    teacher: str = ""  # model folder with the same tokenizer, whose answers are learnt, too
    teacher_share: float = 0.5  # of its answers in what is learnt, the text being the rest
    warmup_share: float = 0.02
    warmdown_share: float = 0.6
    final_lr: float = 0.05  # factor at the end of the warmdown
    seed: int = 1
    max_skips: int = 3  # bad batches in a row before the run goes back to its last checkpoint
    max_rollbacks: int = 3  # in all, before it stops
    checkpoint_s: int = 120  # seconds between checkpoints
    validate_steps: int = 100  # steps between validations; 0: only at the end
    device: str = "auto"
    dtype: str = "auto"  # of activations: auto, float32 or bfloat16
    # Left out: a long run on a CPU with a C++ compiler, and any on a GPU.
    compile: bool | None = None
    shard: bool = False  # of several processes each keeps a share of the weights and optimizers
    tensor_parallel: int = (
        1  # processes that share every product of a layer; above 1 it shards, too
    )
    recompute: bool = False  # layers in the backward pass, instead of keeping what they made

    def __post_init__(self) -> None:
        require(self, "train.", "tokens batch_tokens micro_rows max_skips checkpoint_s", 1)
        require(self, "train.", "tensor_parallel", 1)
        require(self, "train.", "max_rollbacks average_tokens", 0)
        require(self, "train.", "warmup_share warmdown_share final_lr final_momentum", 0, 1)
        require(self, "train.", "teacher_share", 0, 1)
        if self.compile not in (None, True, False):
            raise ConfigError(f"train.compile must be true or false, got {self.compile!r}")
        if not 0.0 <= self.normuon_beta2 < 1.0:
            raise ConfigError(f"train.normuon_beta2 must be in 0..1, got {self.normuon_beta2}")
        _require_one_of("train.orthogonaliser", self.orthogonaliser, ORTHOGONALISERS)
        _require_one_of("train.optimiser", self.optimiser, OPTIMISERS)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StageTable:
    """One of [[stages]]: a part of the run with rows and batches of its own.

    It has `share` of train.tokens or so many `tokens`; the last may leave both out and takes the
    rest. Rates follow from the batch as always, times `lr_scale`; the schedule is the whole run's.
    """

    share: float = 0.0
    tokens: int = 0
    shards: str = "rows"  # the name of its rows; stages may share them
    block_size: int = 0  # of its rows; 0: the network's
    batch_tokens: int = 0  # 0: [train]'s, as with micro_rows
    micro_rows: int = 0
    lr_scale: float = 1.0
    spm: float = -1.0  # below 0: [rows]'s, as with the other three
    psm: float = -1.0
    short: float = -1.0
    snippets: float = -1.0

    def __post_init__(self) -> None:
        require(self, "stages.", "tokens block_size batch_tokens micro_rows", 0)
        require(self, "stages.", "share", 0, 1)
        if self.share and self.tokens:
            raise ConfigError("a stage has either share or tokens, not both")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowsTable:
    """[rows]: how texts are packed, in shares of the chunks (`foretype data pack --help`)."""

    spm: float = 0.5
    psm: float = 0.1
    short: float = 0.0
    snippets: float = 0.4
    padded: bool = False  # one chunk a row and padding behind it, as before packing; for comparison


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FolderTable:
    """[folder]: what the exported model folder says of itself."""

    name: str
    languages: tuple[str, ...] = ("python",)
    licence: str = "MIT"
    suffix_tokens: int = 96
    snippet_tokens: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A whole recipe file, without the tables that only the data commands read."""

    network: NetworkTable
    train: TrainTable
    folder: FolderTable
    stages: tuple[StageTable, ...] = ()  # none: the whole run is one
    rows: RowsTable = dataclasses.field(default_factory=RowsTable)


def recipe_hash(recipe: Recipe) -> str:
    """Return a hash of what decides the weights, but for the plan, which is compared by itself.

    Settings at their defaults do not count, so that a setting added later leaves old runs alone.
    """
    decisive = [
        {
            field.name: value
            for field in dataclasses.fields(table)
            if field.name not in MAY_CHANGE
            and (value := getattr(table, field.name)) != field.default
        }
        for table in (recipe.network, recipe.train)
    ]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or bundled name; `overrides` are `table.key=value` in TOML syntax."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    tables = recipe_tables(path, overrides)
    return from_table(Recipe, {name: tables[name] for name in tables if name in known})
