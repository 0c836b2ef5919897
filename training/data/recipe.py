"""What a corpus is made of and by which rules: one TOML, checked once.

Relative paths in a recipe are relative to the recipe's own folder. Knows no source and opens no
file but the recipe itself.
"""

from __future__ import annotations

import dataclasses
import glob
import tomllib
from pathlib import Path

from model.config import ConfigError, from_table

DEFAULT_LICENCES = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "HPND",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
)

_PATH_SETTINGS = (
    "sources never_train evaluation_repositories evaluation_sources evaluation_hashes benchmarks"
).split()


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
        shares = ("min_alphanumeric_frac", "max_digit_frac", "max_quoted_frac", "test_keep_frac")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"filters.{name} must be in 0..1, got {getattr(self, name)}")
        if not 0 <= self.min_bytes <= self.max_bytes:
            raise ConfigError(
                f"filters.min_bytes must be in 0..max_bytes, got {self.min_bytes}..{self.max_bytes}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CorpusRecipe:
    """The `[corpus]` table of a recipe."""

    sources: tuple[str, ...] = ()  # "GLOB" or "owner/name=GLOB": repositories, folders, archives
    suffixes: tuple[str, ...] = (".py",)  # of the files to read
    licences: tuple[str, ...] = DEFAULT_LICENCES  # SPDX names; all others are refused
    never_train: tuple[str, ...] = ()  # files of SHA-256 of normalised names
    evaluation_repositories: tuple[str, ...] = ()  # JSON files of repositories held for tests
    evaluation_sources: tuple[str, ...] = ()  # like sources: whose files' contents stay out
    evaluation_hashes: tuple[str, ...] = ()  # files of SHA-256 of contents that stay out
    benchmarks: tuple[str, ...] = ()  # globs of .jsonl or .jsonl.gz problem sets
    overlap_words: int = 10  # a run of so many words shared with a benchmark is a hit
    validation: tuple[str, ...] = ()  # owner/name: whole repositories held out
    validation_frac: float = 0.0  # and this share of the others, by hash of the name
    near_duplicate: float = 0.8  # Jaccard similarity at which a text stays out; 0: no check
    repository_bytes: int = 6_000_000  # at most, of one repository
    seed: int = 0
    processes: int = 2
    filters: FilterSettings = dataclasses.field(default_factory=FilterSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.validation_frac < 1:
            raise ConfigError(f"validation_frac must be in 0..1, got {self.validation_frac}")
        if not 0 <= self.near_duplicate <= 1:
            raise ConfigError(f"near_duplicate must be in 0..1, got {self.near_duplicate}")
        for name in ("overlap_words", "repository_bytes", "processes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.suffixes:
            raise ConfigError("suffixes must name at least one file name ending, such as '.py'")


def load_recipe(path: Path) -> CorpusRecipe:
    """Read the `[corpus]` table of the TOML file at `path`; other tables are not ours."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read recipe {path}: {error}") from error
    if not isinstance(table.get("corpus"), dict):
        raise ConfigError(f"recipe {path} has no [corpus] table")
    return relative_to(from_table(CorpusRecipe, table["corpus"], "corpus."), path.parent)


def relative_to(recipe: CorpusRecipe, folder: Path) -> CorpusRecipe:
    """Return the recipe with its relative paths taken from `folder`."""

    def located(spec: str) -> str:
        name, equals, pattern = spec.rpartition("=")
        return f"{name}{equals}{folder / Path(pattern).expanduser()}"

    paths = {name: tuple(map(located, getattr(recipe, name))) for name in _PATH_SETTINGS}
    return dataclasses.replace(recipe, **paths)  # type: ignore[arg-type]


def expand(patterns: tuple[str, ...], what: str) -> list[Path]:
    """Return the paths that the globs match, sorted; a pattern that matches nothing is an error."""
    paths: set[Path] = set()
    for pattern in patterns:
        found = glob.glob(pattern)  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            raise ConfigError(f"{what}: nothing matches {pattern}")
        paths.update(Path(name) for name in found)
    return sorted(paths)
