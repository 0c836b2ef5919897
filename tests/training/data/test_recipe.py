"""The `[corpus]` table of a recipe."""

from pathlib import Path
from typing import Any

import pytest

from model.config import ConfigError
from training.recipe import CorpusRecipe, FilterSettings, expand, load_corpus_recipe


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[corpus]\nsources = ["repos/*", "a/b=/elsewhere/b", "c/d=near"]\n'
        "[corpus.filters]\nmin_bytes = 10\n[train]\nsteps = 1\n"
    )
    recipe = load_corpus_recipe(path)
    assert recipe.sources == (f"{tmp_path}/repos/*", "a/b=/elsewhere/b", f"c/d={tmp_path}/near")
    assert recipe.filters == FilterSettings(min_bytes=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[corpus]\nsorces = []\n", "unknown setting corpus.sorces"),
        ("[corpus.filters]\nmin_byte = 1\n", "unknown setting corpus.filters.min_byte"),
        ("[train]\n", r"has no \[corpus\] table"),
        ("corpus = 1\n", r"has no \[corpus\] table"),
        ("[corpus\n", "cannot read recipe"),
    ],
)
def test_mistake_in_a_recipe_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_corpus_recipe(path)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"validation_file_frac": 1.5}, "validation_file_frac"),
        ({"overlap_words": 0}, "overlap_words"),
        ({"near_duplicate": 1.1}, "near_duplicate"),
        ({"repository_bytes": 0}, "repository_bytes"),
        ({"processes": 0}, "processes"),
        ({"suffixes": ()}, "suffixes"),
    ],
)
def test_value_out_of_range_is_named(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        CorpusRecipe(**values)


@pytest.mark.parametrize(
    ("values", "name"),
    [({"test_keep_frac": 1.5}, "test_keep_frac"), ({"min_bytes": 300_000}, "min_bytes")],
)
def test_filter_limit_out_of_range_is_named(values: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        FilterSettings(**values)


def test_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert expand((f"{tmp_path}/*", f"{tmp_path}/a"), "x") == [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ConfigError, match="sources: nothing matches"):
        expand((f"{tmp_path}/c*",), "sources")
