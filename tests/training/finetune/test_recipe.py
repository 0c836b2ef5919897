"""The recipe of a tuning: the base's shape, an epoch a stage, and gentle rates."""

from pathlib import Path

import pytest

from model.folder import ModelFolder, load_folder
from tests.doubles import tiny_config, tiny_folder
from training.finetune.run import MATRIX_SHARE, tune_recipe
from training.pretrain.schedule import make_plan
from training.recipe import TrainTable, recipe_hash


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return load_folder(tiny_folder(tmp_path))


def test_network_is_the_folders(folder: ModelFolder) -> None:
    recipe = tune_recipe(folder, [100], name="n", seed=0)
    assert recipe.network.config() == tiny_config()


def test_epochs_are_stages_with_all_their_rows(folder: ModelFolder) -> None:
    plan = make_plan(tune_recipe(folder, [800, 640], name="n", seed=0))
    assert [stage.shards for stage in plan.stages] == ["epoch-0", "epoch-1"]
    assert [stage.n_step * stage.rows_per_step for stage in plan.stages] == [800, 640]


def test_rates_are_a_share_and_end_at_nothing(folder: ModelFolder) -> None:
    recipe = tune_recipe(folder, [800], name="n", seed=0)
    plan = make_plan(recipe)
    assert recipe.train.matrix_lr == pytest.approx(MATRIX_SHARE * TrainTable(tokens=1).matrix_lr)
    assert plan.factor(plan.tokens, 1) == 0.0
    assert plan.factor(plan.warmup_tokens, 1) == pytest.approx(1.0, abs=0.02)


def test_little_code_gets_small_batches(folder: ModelFolder) -> None:
    few = make_plan(tune_recipe(folder, [100], name="n", seed=0)).stages[0]
    many = make_plan(tune_recipe(folder, [10_000], name="n", seed=0)).stages[0]
    assert (few.tokens_per_step, many.tokens_per_step) == (2_048, 8_192)


def test_rank_of_adapters_is_part_of_the_run(folder: ModelFolder) -> None:
    full, lora = (
        recipe_hash(tune_recipe(folder, [100], name="n", seed=0, lora_rank=rank)) for rank in (0, 8)
    )
    assert full != lora
