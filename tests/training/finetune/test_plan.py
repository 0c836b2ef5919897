"""What decides a tuning: its options and base; commits may move on while it runs."""

import dataclasses

from model.config import PRESETS
from tests.doubles import tiny_config
from training.finetune.history_split import HistorySplit
from training.finetune.plan import LORA_RANK, ModelRef, Options, TunePlan, disk_bytes, lora_rank

SPLIT = HistorySplit(
    trained_to="a", developed_to="b", judged_to="c", n_trained=3, n_development=2, n_judged=1
)
OTHER = ModelRef(path="/b", content_hash="ef")
BASE = ModelRef(path="/b", content_hash="cd")
PLAN = TunePlan(
    name="r-1",
    repository_id="ab" * 16,
    root="/r",
    split=SPLIT,
    base=BASE,
    start=BASE,
    serving=BASE,
    options=Options(),
)


def test_new_commits_are_the_same_work() -> None:
    later = dataclasses.replace(
        PLAN, split=dataclasses.replace(SPLIT, trained_to="z"), root="/q", name="q-1"
    )
    assert PLAN.is_same_work(later)


def test_other_options_or_base_are_other_work() -> None:
    assert not PLAN.is_same_work(dataclasses.replace(PLAN, options=Options(n_epochs=1)))
    assert not PLAN.is_same_work(dataclasses.replace(PLAN, serving=OTHER))
    assert not PLAN.is_same_work(dataclasses.replace(PLAN, since="a"))


def test_large_bases_get_adapters() -> None:
    assert lora_rank(Options(), tiny_config()) == 0
    assert lora_rank(Options(), PRESETS["qwen2.5-coder-0.5b"]) == LORA_RANK
    assert lora_rank(Options(lora_rank=8), tiny_config()) == 8


def test_disk_estimate_covers_checkpoints() -> None:
    config = PRESETS["s"]
    assert disk_bytes(config, n_tokens=10**6, n_epochs=3) > 3 * 12 * config.n_params
