"""Plans: stages in whole steps, rates by batch, one schedule over all tokens, what may change."""

import dataclasses
import json
from typing import Any

import pytest

from model.config import ConfigError
from training.pretrain.schedule import Schedule, make_plan, plan_problem
from training.recipe import FolderTable, NetworkTable, Recipe, StageTable, TrainTable


def recipe(*stages: StageTable, **train: Any) -> Recipe:
    table: dict[str, Any] = {"tokens": 102_400, "batch_tokens": 1_024, "micro_rows": 3} | train
    return Recipe(
        network=NetworkTable(preset="nano", vocab_size=256, block_size=128, n_layer=1, n_embd=32),
        train=TrainTable(**table),
        folder=FolderTable(name="small"),
        stages=stages,
    )


def as_table(plan: Schedule) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plan)))
    return table


SHORT = StageTable(share=0.5, shards="short", block_size=64)
LONG = StageTable(shards="long", batch_tokens=4_096, micro_rows=2)


def test_recipe_without_stages_is_one_stage() -> None:
    plan = make_plan(recipe())
    (stage,) = plan.stages
    assert (plan.n_step, stage.rows_per_step, stage.micro_rows, stage.shards) == (100, 8, 3, "rows")
    assert stage.rate_factor == pytest.approx((1024 / 2**19) ** 0.5)
    assert plan.warmup_tokens == 2_048


def test_stages_have_rows_batches_and_rates_of_their_own() -> None:
    short, long = make_plan(recipe(SHORT, LONG)).stages
    assert (short.block_size, short.rows_per_step, short.n_step, short.tokens) == (
        64,
        16,
        50,
        51_200,
    )
    assert (long.block_size, long.rows_per_step, long.n_step, long.micro_rows) == (128, 32, 12, 2)
    assert long.rate_factor == pytest.approx(2 * short.rate_factor)


def test_last_stage_takes_the_rest_and_given_ones_may_add_up() -> None:
    rest = make_plan(recipe(StageTable(tokens=10_240), StageTable()))
    assert [stage.n_step for stage in rest.stages] == [10, 90]
    given = make_plan(recipe(StageTable(share=0.7), StageTable(share=0.3)))
    assert [stage.n_step for stage in given.stages] == [70, 30]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((StageTable(share=0.7), StageTable(share=0.2)), "the stages read 92160 tokens"),
        ((StageTable(share=0.7), StageTable(share=0.5)), "the stages read 122880 tokens"),
        ((StageTable(), StageTable()), "stage 1 has 0 tokens"),
        ((StageTable(share=1.0), StageTable()), "stage 2 has 0 tokens"),
        ((StageTable(block_size=64),), "the longest stages.block_size is 64"),
        ((StageTable(share=0.5, block_size=64), StageTable()), "must have the same block_size"),
        ((StageTable(share=0.5, spm=0.9), StageTable()), "must have the same block_size, spm"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stages: tuple[StageTable, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(recipe(*stages))


def test_steps_belong_to_their_stages() -> None:
    plan = make_plan(recipe(SHORT, LONG))
    assert [plan.stage_at(step).shards for step in (0, 49, 50, 61)] == [
        "short",
        "short",
        "long",
        "long",
    ]
    with pytest.raises(IndexError):
        plan.stage_at(plan.n_step)


def test_schedule_warms_up_stays_and_goes_down() -> None:
    plan = Schedule(
        stages=make_plan(recipe(tokens=10_240)).stages,
        warmup_tokens=2_048,
        warmdown_tokens=5_120,
        final_lr=0.1,
        final_momentum=0.85,
    )
    factors = [plan.factor(1_024 * step, 1_024) for step in range(10)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.82, 0.64, 0.46, 0.28])
    assert plan.momentum(0, 0) == 0.85
    assert plan.momentum(100, 2_048) == pytest.approx(0.9)
    assert plan.momentum(10_000, 5_120) == pytest.approx(0.95)
    assert plan.momentum(10_000, 7_680) == pytest.approx(0.9)
    assert plan.momentum(10_000, 10_240) == pytest.approx(0.85)


def test_schedule_goes_on_smoothly_over_a_stage_border() -> None:
    plan = make_plan(recipe(SHORT, LONG, warmdown_share=0.7, warmup_share=0.0))
    border = plan.stages[0].tokens
    before, after = plan.factor(border - 1_024, 1_024), plan.factor(border, 4_096)
    assert 0 < before - after == pytest.approx((1 - 0.05) * 1_024 / plan.warmdown_tokens)


def test_no_warmdown_is_flat_to_the_end() -> None:
    plan = make_plan(recipe(warmdown_share=0.0))
    assert plan.factor(plan.tokens - 1_024, 1_024) == 1.0


def test_longer_run_or_other_later_stages_are_allowed_before_the_rates_fall() -> None:
    old = as_table(make_plan(recipe(SHORT, LONG)))
    longer = make_plan(recipe(SHORT, LONG, tokens=204_800))
    assert plan_problem(old, longer, 30, 30 * 1_024) == ""
    other = make_plan(recipe(SHORT, dataclasses.replace(LONG, batch_tokens=2_048)))
    assert plan_problem(old, other, 30, 30 * 1_024) == ""
    assert plan_problem(old, make_plan(recipe(SHORT, LONG)), 61, 99_328) == ""


def test_what_is_done_cannot_be_changed() -> None:
    old = as_table(make_plan(recipe(SHORT, LONG)))
    other = make_plan(recipe(dataclasses.replace(SHORT, batch_tokens=2_048), LONG))
    assert "the first 30 steps are done" in plan_problem(old, other, 30, 30 * 1_024)
    # a share of more tokens would move the border that is passed
    old = as_table(make_plan(recipe(SHORT, LONG, warmdown_share=0.1)))
    longer = make_plan(recipe(SHORT, LONG, tokens=204_800, warmdown_share=0.1))
    assert "in tokens" in plan_problem(old, longer, 52, 50 * 1_024 + 2 * 4_096)


def test_length_cannot_change_once_rates_fall() -> None:
    old = as_table(make_plan(recipe()))
    longer = make_plan(recipe(tokens=204_800))
    assert plan_problem(old, longer, 40, 40 * 1_024) == ""
    assert "lowers its rates after 40960" in plan_problem(old, longer, 41, 41 * 1_024)
