"""A training recipe: one TOML file whose tables are dataclasses, checked when it is read.

What follows from a recipe (steps, batches, rates) is worked out in `training.pretrain.schedule`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

from model.config import PRESETS, ConfigError, ModelConfig, from_table

RECIPES = Path(__file__).parent / "recipes"
ORTHOGONALISERS = ("newton-schulz", "polar-express")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NetworkTable:
    """[network]: a preset, and what differs from it."""

    preset: str
    vocab_size: int = 0  # 0: the preset's
    block_size: int = 0  # tokens; 0: the preset's
    n_layer: int = 0
    n_embd: int = 0

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
        return dataclasses.replace(PRESETS[self.preset], **changes)


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
    orthogonaliser: str = "newton-schulz"  # of Muon's updates, or "polar-express"
    normuon_beta2: float = 0.0  # memory of Muon's variance for each neuron; 0: not normalised
    final_momentum: float = 0.95  # Muon's at the end of the warmdown
    average_tokens: int = 0  # memory of a running average of the weights; 0: none is kept
    document_mask: bool = False  # examples in one row do not see each other
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

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_tokens", "micro_rows", "max_skips", "checkpoint_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"train.{name} must be positive, got {getattr(self, name)}")
        for name in ("max_rollbacks", "average_tokens"):
            if getattr(self, name) < 0:
                raise ConfigError(f"train.{name} must not be negative, got {getattr(self, name)}")
        for name in ("warmup_share", "warmdown_share", "final_lr", "final_momentum"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"train.{name} must be in 0..1, got {getattr(self, name)}")
        if self.compile not in (None, True, False):
            raise ConfigError(f"train.compile must be true or false, got {self.compile!r}")
        if not 0.0 <= self.normuon_beta2 < 1.0:
            raise ConfigError(f"train.normuon_beta2 must be in 0..1, got {self.normuon_beta2}")
        if self.orthogonaliser not in ORTHOGONALISERS:
            raise ConfigError(
                f"train.orthogonaliser must be one of {', '.join(ORTHOGONALISERS)}, "
                f"got {self.orthogonaliser!r}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StageTable:
    """One of [[stages]]: a part of the run with rows and batches of its own.

    It has `share` of train.tokens or so many `tokens`; the last may leave both out and takes the
    rest. Rates follow from the batch as always, times `lr_scale`; the schedule is the whole run's.
    """

    share: float = 0.0
    tokens: int = 0
    shards: str = "rows"  # the name that `--shards NAME=FOLDER` gives rows; stages may share them
    block_size: int = 0  # of its rows; 0: the network's
    batch_tokens: int = 0  # 0: [train]'s, as with micro_rows
    micro_rows: int = 0
    lr_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("tokens", "block_size", "batch_tokens", "micro_rows"):
            if getattr(self, name) < 0:
                raise ConfigError(f"stages.{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 <= self.share <= 1.0:
            raise ConfigError(f"stages.share must be in 0..1, got {self.share}")
        if self.share and self.tokens:
            raise ConfigError("a stage has either share or tokens, not both")


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


def load_recipe(path: Path, *, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by path or bundled name; `overrides` are `table.key=value` in TOML syntax."""
    return from_table(Recipe, {
        name: table
        for name, table in recipe_tables(path, overrides).items()
        if name in ("network", "train", "folder", "stages")
    })  # fmt: skip


def recipe_tables(path: Path, overrides: tuple[str, ...] = ()) -> dict[str, dict[str, object]]:
    """Return a recipe's tables, `overrides` applied; ConfigError names what cannot be read."""
    file = path if path.suffix == ".toml" else RECIPES / f"{path}.toml"
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.toml")))
        raise ConfigError(
            f"cannot read recipe {file}: {error.strerror}; bundled recipes: {names}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {file} is not valid TOML: {error}") from error
    for override in overrides:
        _apply_override(tables, override)
    return tables


def _apply_override(tables: dict[str, dict[str, object]], override: str) -> None:
    key, equals, text = override.partition("=")
    table, dot, name = key.partition(".")
    known = isinstance(tables.get(table), dict) and dot and name
    if not (equals and (known or key == "stages")):
        raise ConfigError(
            f"--set wants table.key=value with a table of the recipe, got {override!r}"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {key}: {text!r} is not a TOML value ({error})") from error
    if key == "stages":  # the whole array, [{share = 0.7}, {}]
        tables["stages"] = value
    else:
        tables[table][name] = value
