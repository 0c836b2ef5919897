"""The speedrun on a small text: every row's settings are sound, and a run ends at its target."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.programs import ROOT
from training.pretrain.schedule import make_plan
from training.recipe import load_corpus_recipe, load_recipe


@pytest.fixture(scope="module")
def speedrun() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("speedrun", ROOT / "scripts" / "speedrun.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["speedrun"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["speedrun"]


def test_every_row_changes_one_thing_of_a_sound_recipe(speedrun: ModuleType) -> None:
    before = None
    for name in speedrun.ROWS:
        overrides = speedrun.overrides_of(name)
        recipe = load_recipe(speedrun.RECIPE, overrides=overrides)
        corpus = load_corpus_recipe(speedrun.RECIPE, [str(ROOT)], overrides=overrides)
        assert make_plan(recipe).n_step > 50
        assert (recipe, corpus) != before
        before = recipe, corpus


def test_a_run_ends_at_its_target_and_tells_where(speedrun: ModuleType, tmp_path: Path) -> None:
    runs = speedrun.Runs(tmp_path / "out", ROOT / "assistant")
    overrides = ("train.tokens=40_960", "train.validate_steps=4", "train.warmup_share=0.0")
    found = runs.run("plain", (*speedrun.overrides_of("plain"), *overrides), 5.0)
    assert found["reached"]
    assert found["bits_per_byte"] <= 5.0
    assert 1_024 <= found["tokens"] < 40_960
    assert found["cpu_seconds"] > 0
    short = ("train.tokens=4_096", "train.validate_steps=0")
    assert not runs.run("plain", (*speedrun.overrides_of("plain"), *short), 0.1)["reached"]


def test_where_the_target_is_met_lies_between_two_looks(speedrun: ModuleType) -> None:
    judge = speedrun._Judge(None, None, 2.0)
    judge.curve = [(100, 3.0), (200, 2.5), (300, 1.5)]
    assert judge.tokens_to_target() == 250
    judge.curve = [(300, 1.5)]
    assert judge.tokens_to_target() == 300
