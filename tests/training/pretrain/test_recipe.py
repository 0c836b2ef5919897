"""Recipes: derived values, overrides, and errors that name the key."""

from pathlib import Path

import pytest

from model.config import ConfigError
from training.pretrain.schedule import make_plan
from training.recipe import RECIPES, load_recipe

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


def test_overrides_change_values(tmp_path: Path) -> None:
    recipe = load_recipe(
        recipe_file(tmp_path, GOOD), overrides=("train.seed=7", 'network.preset="xs"')
    )
    assert recipe.train.seed == 7
    assert recipe.network.config().n_embd == 256


def test_stages_are_read_and_can_be_overridden_whole(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, GOOD + "[[stages]]\nshare = 0.5\n[[stages]]\nlr_scale = 2.0\n")
    assert [stage.share for stage in load_recipe(path).stages] == [0.5, 0.0]
    override = "stages=[{tokens = 1024, shards = 'short'}, {}]"
    stages = load_recipe(path, overrides=(override,)).stages
    assert [(stage.tokens, stage.shards) for stage in stages] == [(1024, "short"), (0, "rows")]


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.toml")])
def test_bundled_recipes_load_by_name(name: str) -> None:
    assert make_plan(load_recipe(Path(name))).n_step > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("micro_rows = 3", "micro_rows = 0"), "train.micro_rows must be at least 1"),
        (("micro_rows = 3", "warmdown_share = 2.0"), r"train.warmdown_share must be in 0..1"),
        (("micro_rows = 3", "average_tokens = -1"), "train.average_tokens must be at least 0"),
        (("micro_rows = 3", "normuon_beta2 = 1.0"), "train.normuon_beta2 must be in"),
        (("micro_rows = 3", "orthogonaliser = 'svd'"), "one of newton-schulz, polar-express"),
        (("micro_rows = 3", "optimiser = 'sgd'"), "train.optimiser must be one of muon, adamw"),
        (("[train]", "block = 'gpt3'\n[train]"), "network.block must be one of qwen3, gpt2"),
        (
            ("[folder]", "[[stages]]\nmicro_rows = -1\n[folder]"),
            r"stages.micro_rows must be at",
        ),
        (("[folder]", "[[stages]]\nshare = 1.5\n[folder]"), r"stages.share must be in 0..1"),
        (("[folder]", "[[stages]]\nshare = 0.5\ntokens = 9\n[folder]"), "not both"),
        (("[folder]", "[stages]\nshare = 0.5\n[folder]"), "stages must be an array of tables"),
        (("[folder]", "[[stages]]\nspeed = 1\n[folder]"), r"unknown setting stages\.0\.speed"),
        (("micro_rows = 3", "speed = 1"), "unknown setting train.speed"),
        (('"nano"', '"huge"'), "network.preset must be one of"),
        (("[folder]", "[folder"), "Expected ']'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = recipe_file(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError, match=message):
        load_recipe(path).network.config()


def test_missing_recipe_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bundled recipes: .*nano"):
        load_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "override", ["train.seed", "seed=1", "nothing.seed=1", "train.seed==", "stages.share=1"]
)
def test_bad_overrides_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_recipe(recipe_file(tmp_path, GOOD), overrides=(override,))


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    plain = load_recipe(recipe_file(tmp_path, GOOD))
    assert load_recipe(recipe_file(tmp_path, f"\ufeff{GOOD}")) == plain
