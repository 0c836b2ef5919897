"""A training recipe: one TOML file, four tables, each a dataclass.

Every value that follows from another is derived here, in one place, and logged with the run.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from pathlib import Path

from model.config import PRESETS, ConfigError, ModelConfig, from_table

RECIPES = Path(__file__).parent / "recipes"
REFERENCE_BATCH = (
    2**19
)  # tokens; the batch for which the learning rates below are stated (modded-nanogpt's)


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
    matrix_lr: float = 0.02  # Muon, at REFERENCE_BATCH
    embed_lr: float = 0.05  # AdamW on the tied embedding, at REFERENCE_BATCH
    gain_lr: float = 0.015  # AdamW on norm gains and biases, at REFERENCE_BATCH
    lr_scale: float = 1.0  # factor on all three, for pilots
    weight_decay: float = 0.1
    warmup_share: float = 0.02
    warmdown_share: float = 0.6
    final_lr: float = 0.05  # factor at the end of the warmdown
    seed: int = 1
    checkpoint_s: int = 120  # seconds between checkpoints
    validate_steps: int = 100  # steps between validations; 0: only at the end
    device: str = "auto"
    dtype: str = "auto"  # of activations: auto, float32 or bfloat16

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_tokens", "micro_rows", "checkpoint_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"train.{name} must be positive, got {getattr(self, name)}")
        for name in ("warmup_share", "warmdown_share", "final_lr"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"train.{name} must be in 0..1, got {getattr(self, name)}")


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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """What follows from a recipe and is not said twice."""

    n_step: int
    n_warmup: int
    rows_per_step: int
    n_accumulate: int
    matrix_lr: float
    embed_lr: float
    gain_lr: float


def derive(recipe: Recipe) -> Derived:
    """Return step counts and learning rates: rate = stated rate x sqrt(batch / REFERENCE_BATCH)."""
    train, block_size = recipe.train, recipe.network.config().block_size
    rows = max(1, train.batch_tokens // block_size)
    n_accumulate = max(1, math.ceil(rows / train.micro_rows))
    n_step = max(1, train.tokens // (rows * block_size))
    factor = train.lr_scale * math.sqrt(rows * block_size / REFERENCE_BATCH)
    return Derived(
        n_step=n_step,
        n_warmup=max(1, round(n_step * train.warmup_share)),
        rows_per_step=rows,
        n_accumulate=n_accumulate,
        matrix_lr=train.matrix_lr * factor,
        embed_lr=train.embed_lr * factor,
        gain_lr=train.gain_lr * factor,
    )


def load_recipe(path: Path, *, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by path or bundled name; `overrides` are `table.key=value` in TOML syntax."""
    return from_table(Recipe, {
        name: table
        for name, table in recipe_tables(path, overrides).items()
        if name in ("network", "train", "folder")
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
    key, equals, value = override.partition("=")
    table, dot, name = key.partition(".")
    if not (equals and dot and name and table in tables):
        raise ConfigError(
            f"--set wants table.key=value with a table of the recipe, got {override!r}"
        )
    try:
        tables[table][name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {key}: {value!r} is not a TOML value ({error})") from error
