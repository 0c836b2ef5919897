"""A recipe: one TOML file whose tables are dataclasses, checked when it is read.

[corpus] says what is read, by which rules; the other tables what is trained, on which rows. What
follows from them (steps, batches, rates) is worked out in `training.pretrain.schedule`.
"""

import dataclasses
import glob
import hashlib
import json
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from model.config import PRESETS, ConfigError, ModelConfig, from_table

DEFAULT_LICENCES = tuple(
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 HPND ISC MIT MIT-0 MIT-CMU PSF-2.0 Unlicense"
    " Zlib".split()
)
RECIPES = Path(__file__).parent / "pretrain" / "recipes"
PATH_SETTINGS = (
    "sources never_train evaluation_repositories evaluation_sources benchmarks"
).split()
# Settings that may change in a run: those of the plan, which is compared with what was done, and
# others that do not touch the weights: the guard's limits only of a run that is ill, compilation
# and how it is spread only their last bits, as another machine would. The teacher is known by its
# hash, not its folder.
MAY_CHANGE = frozenset(
    {"tokens", "batch_tokens", "micro_rows", "warmdown_share", "final_lr", "final_momentum"}
    | {"block_size", "checkpoint_s", "validate_steps", "max_skips", "max_rollbacks"}
    | {"compile", "teacher", "shard", "tensor_parallel", "recompute"}
)


def require(table: object, where: str, names: str, low: float, high: float = math.inf) -> None:
    """Raise ConfigError if one of these fields of a table is not in `low`..`high`."""
    wanted = f"at least {low:g}" if math.isinf(high) else f"in {low:g}..{high:g}"
    for name in names.split():
        if not low <= (value := getattr(table, name)) <= high:
            raise ConfigError(f"{where}{name} must be {wanted}, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FilterSettings:
    """Limits of `training.data.filters`; a file outside any of them is refused."""

    min_bytes: int = 64
    max_bytes: int = 200_000
    max_line_chars: int = 1000
    max_mean_line_chars: float = 100.0
    min_alphanumeric_frac: float = 0.25
    max_digit_frac: float = 0.25  # of characters: more is a table of numbers, not code
    max_quoted_frac: float = 0.65  # of characters within one-line string literals
    test_keep_frac: float = 0.4  # share of test files kept, chosen by hash

    def __post_init__(self) -> None:
        shares = "min_alphanumeric_frac max_digit_frac max_quoted_frac test_keep_frac"
        require(self, "filters.", shares, 0, 1)
        require(self, "filters.", "min_bytes", 0, self.max_bytes)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CorpusRecipe:
    """The `[corpus]` table of a recipe."""

    sources: tuple[str, ...] = ()  # "GLOB" or "owner/name=GLOB": repositories, folders
    suffixes: tuple[str, ...] = (".py",)  # of the files to read
    own: bool = False  # all sources are one's own code: no licence is asked for
    licences: tuple[str, ...] = DEFAULT_LICENCES  # SPDX names; all others are refused
    never_train: tuple[str, ...] = ()  # files of SHA-256 of normalised names
    evaluation_repositories: tuple[str, ...] = ()  # JSON files of repositories held for tests
    evaluation_sources: tuple[str, ...] = ()  # like sources: whose files' contents stay out
    benchmarks: tuple[str, ...] = ()  # globs of .jsonl or .jsonl.gz problem sets
    overlap_words: int = 10  # a run of so many words shared with a benchmark is a hit
    validation: tuple[str, ...] = ()  # owner/name: whole repositories held out
    validation_file_frac: float = 0.0  # and this share of all files, where no whole source can be
    near_duplicate: float = 0.8  # Jaccard similarity at which a text stays out; 0: no check
    repository_bytes: int = 6_000_000  # at most, of one repository
    seed: int = 0
    processes: int = 2
    filters: FilterSettings = dataclasses.field(default_factory=FilterSettings)

    def __post_init__(self) -> None:
        require(self, "", "validation_file_frac near_duplicate", 0, 1)
        require(self, "", "overlap_words repository_bytes processes", 1)
        if not self.suffixes:
            raise ConfigError("suffixes must name at least one file name ending, such as '.py'")


def _read_tables(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the tables of a recipe by path or bundled name; ConfigError names what is wrong.

    `overrides` are `table.key=value` in TOML syntax.
    """
    file = path if path.suffix == ".toml" else RECIPES / f"{path}.toml"
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        names = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.toml")))
        raise ConfigError(
            f"cannot read recipe {file}: {error}; bundled recipes: {names}"
        ) from error
    for override in overrides:
        _override(tables, override)
    return tables


def _override(tables: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    table, _, name = key.partition(".")
    is_known = isinstance(tables.get(table), dict) and name
    if not (equals and (is_known or key == "stages")):
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


def load_corpus_recipe(
    path: Path, sources: Sequence[str] = (), *, overrides: Sequence[str] = ()
) -> CorpusRecipe:
    """Read the `[corpus]` table of a recipe; `sources` take the place of its own, if there are any.

    Its relative paths are relative to its folder, those of `sources` to the working directory.
    """
    tables = _read_tables(path, overrides)
    if not isinstance(tables.get("corpus"), dict):
        raise ConfigError(f"recipe {path} has no [corpus] table")
    if sources:
        tables["corpus"]["sources"] = [_relative_to(Path.cwd(), source) for source in sources]
    recipe = from_table(CorpusRecipe, tables["corpus"], "corpus.")
    folder = path.absolute().parent
    located = {
        name: tuple(_relative_to(folder, spec) for spec in getattr(recipe, name))
        for name in PATH_SETTINGS
    }
    return dataclasses.replace(recipe, **located)  # type: ignore[arg-type]


def _relative_to(folder: Path, spec: str) -> str:
    name, equals, pattern = spec.rpartition("=")
    return f"{name}{equals}{folder / Path(pattern).expanduser()}"


def expand(patterns: tuple[str, ...], what: str) -> list[Path]:
    """Return the paths that the globs match, sorted; a pattern that matches nothing is an error."""
    paths: set[Path] = set()
    for pattern in patterns:
        found = glob.glob(pattern)  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            raise ConfigError(f"{what}: nothing matches {pattern}")
        paths.update(Path(name) for name in found)
    return sorted(paths)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NetworkTable:
    """[network]: a preset, and what differs from it."""

    preset: str
    vocab_size: int = 0  # 0: the preset's
    block_size: int = 0  # tokens; 0: the preset's
    n_layer: int = 0
    n_embd: int = 0
    block: Literal["qwen3", "gpt2"] = "qwen3"  # that of 2019, for comparison, cannot be exported

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
    matrix_lr: float = 0.02  # Muon, at schedule.REFERENCE_BATCH
    embed_lr: float = 0.05  # AdamW on the tied embedding, at schedule.REFERENCE_BATCH
    gain_lr: float = 0.015  # AdamW on norm gains and biases, at schedule.REFERENCE_BATCH
    lr_scale: float = 1.0  # factor on all three, for pilots
    weight_decay: float = 0.1
    optimiser: Literal["muon", "adamw"] = "muon"  # adamw: of all weights, matrices at matrix_lr
    orthogonaliser: Literal["newton-schulz", "polar-express"] = "newton-schulz"  # of Muon's updates
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
    tensor_parallel: int = 1  # processes that share each product of a layer; above 1 it shards, too
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


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or bundled name; `overrides` are `table.key=value` in TOML syntax."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    tables = _read_tables(path, overrides)
    return from_table(Recipe, {name: tables[name] for name in tables if name in known})
