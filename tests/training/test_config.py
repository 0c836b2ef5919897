"""Recipes: derived values, overrides, and errors that name the key."""

from pathlib import Path

import pytest

from model.config import ConfigError
from training.config import RECIPES, derive, load_recipe

GOOD = """
[network]
preset = "nano"
block_size = 128
[train]
tokens = 102400
batch_tokens = 1024
micro_rows = 3
[folder]
name = "test"
"""


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_steps_and_rates_follow_from_the_recipe(tmp_path: Path) -> None:
    derived = derive(load_recipe(recipe_file(tmp_path, GOOD)))
    assert (derived.n_step, derived.rows_per_step, derived.n_accumulate) == (100, 8, 3)
    assert derived.n_warmup == 2
    assert derived.matrix_lr == pytest.approx(0.02 * (1024 / 2**19) ** 0.5)


def test_overrides_change_values(tmp_path: Path) -> None:
    recipe = load_recipe(
        recipe_file(tmp_path, GOOD), overrides=("train.seed=7", 'network.preset="xs"')
    )
    assert recipe.train.seed == 7
    assert recipe.network.config().n_embd == 256


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.toml")])
def test_bundled_recipes_load_by_name(name: str) -> None:
    assert derive(load_recipe(Path(name))).n_step > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("micro_rows = 3", "micro_rows = 0"), "train.micro_rows must be positive"),
        (("micro_rows = 3", "warmdown_share = 2.0"), r"train.warmdown_share must be in 0..1"),
        (("micro_rows = 3", "speed = 1"), "unknown setting train.speed"),
        (('"nano"', '"huge"'), "network.preset must be one of"),
        (("[folder]", "[folder"), "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = recipe_file(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError, match=message):
        load_recipe(path).network.config()


def test_missing_recipe_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bundled recipes: .*nano"):
        load_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("override", ["train.seed", "seed=1", "nothing.seed=1", "train.seed=="])
def test_bad_overrides_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_recipe(recipe_file(tmp_path, GOOD), overrides=(override,))
