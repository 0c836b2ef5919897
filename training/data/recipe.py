"""Recipes, one TOML file each, and their first table: what a corpus is made of, by which rules.

The others are `training.pretrain.recipe`'s. Knows no source and opens no file but the recipe.
"""

from __future__ import annotations

import dataclasses
import glob
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.config import ConfigError, from_table

DEFAULT_LICENCES = tuple(
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 HPND ISC MIT MIT-0 MIT-CMU PSF-2.0 Unlicense"
    " Zlib".split()
)
RECIPES = Path(__file__).parents[1] / "pretrain" / "recipes"
_PATH_SETTINGS = (
    "sources never_train evaluation_repositories evaluation_sources benchmarks"
).split()


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


def recipe_tables(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the tables of a recipe by path or bundled name; ConfigError names what is wrong.

    `overrides` are `table.key=value` in TOML syntax.
    """
    file = path if path.suffix == ".toml" else RECIPES / f"{path}.toml"
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
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
    tables = recipe_tables(path, overrides)
    if not isinstance(tables.get("corpus"), dict):
        raise ConfigError(f"recipe {path} has no [corpus] table")
    if sources:
        tables["corpus"]["sources"] = [_relative_to(Path.cwd(), source) for source in sources]
    recipe = from_table(CorpusRecipe, tables["corpus"], "corpus.")
    folder = path.absolute().parent
    located = {
        name: tuple(_relative_to(folder, spec) for spec in getattr(recipe, name))
        for name in _PATH_SETTINGS
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
