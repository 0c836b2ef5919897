"""What a run will take, worked out by hand for small figures."""

import math
import re
from pathlib import Path

import pytest
import torch

from model.gpt import GPT
from tests.training.pretrain.test_schedule import LONG, SHORT, recipe
from training.pretrain.plan import (
    HARDWARE,
    Hardware,
    Memory,
    hours,
    layer_numbers,
    main,
    memory,
    report,
)
from training.pretrain.schedule import make_plan
from training.recipe import RECIPES, NetworkTable, load_recipe

MACHINE = Hardware(name="box", flops=1e9, dollars_per_hour=2.0, source="made up")


def test_operations_count_each_stage_at_its_own_length() -> None:
    plain, staged = recipe(), recipe(SHORT, LONG)
    config = plain.network.config()
    matrices = 6 * config.n_params_matrix
    per_position = 6 * config.n_layer * config.n_head * config.head_dim
    assert make_plan(plain).flops(config) == 102_400 * (matrices + per_position * 128)
    plan = make_plan(staged)
    expected = 51_200 * (matrices + per_position * 64)
    expected += plan.stages[1].tokens * (matrices + per_position * 128)
    assert plan.flops(config) == expected


def test_hours_follow_from_the_machine_and_gpus_suffer_from_narrow_networks() -> None:
    narrow, wide = (NetworkTable(preset=name).config() for name in ("m", "xl"))
    assert hours(3.6e12, MACHINE, narrow) == pytest.approx(1.0)
    gpu = MACHINE._replace(is_gpu=True)
    assert hours(3.6e12, gpu, wide) == pytest.approx(1.0)
    assert hours(3.6e12, gpu, narrow) > 1.3


def test_report_names_stages_sources_and_the_story() -> None:
    text = report(recipe(SHORT, LONG), (MACHINE,))
    assert "stage 2: 49.2 thousand tokens in 12 steps of 32 rows of 128 tokens (long)" in text
    assert "box: made up" in text
    assert "2019            $43,000" in text


def test_own_machine_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nano", "--gflops", "50", "--price", "1", "--set", "train.tokens=1_000_000"]) == 0
    shown = capsys.readouterr().out
    assert "995 thousand tokens" in shown  # whole steps of both stages
    assert shown.index("your machine") < shown.index(HARDWARE[0].name)


def test_what_a_machine_does_is_measured_in_steps_of_the_recipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = recipe(SHORT, LONG)
    monkeypatch.setattr("training.pretrain.plan.load_recipe", lambda *_, **__: small)
    assert main(["small", "--measure", "--price", "3600"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "this machine " in line)
    assert re.search(r"this machine +\d+ GFLOPS", row)
    assert float(row.rpartition("$")[2]) > 0  # a dollar a second


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nowhere"], "cannot read recipe"),
        ([], "name a recipe, or ask for --story"),
        (["nano", "--gflops", "0"], "--gflops must be positive"),
        (["nano", "--gflops", "1", "--price", "-1"], "--price not negative"),
    ],
)
def test_mistakes_are_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.toml")])
def test_every_bundled_recipe_has_a_plan(name: str) -> None:
    assert "floating-point operations" in report(load_recipe(Path(name)))


def test_the_story_s_factors_multiply_to_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--story"]) == 0
    text = capsys.readouterr().out
    whole = float(re.search(r"^(\d+) times cheaper", text, re.MULTILINE)[1])
    parts = text.partition(" times cheaper")[2].partition("\n\n")[0]
    factors = [float(factor) for factor in re.findall(r"^ *([\d.]+) x  ", parts, re.MULTILINE)]
    assert len(factors) == 3
    assert math.prod(factors) == pytest.approx(whole, rel=0.03)  # rounded to one place each
    assert text.count("\n") < 25


def test_what_a_layer_keeps_is_what_torch_saves() -> None:
    def saved(n_layer: int) -> int:
        table = NetworkTable(preset="xs", vocab_size=256, n_layer=n_layer, block_size=n_token)
        network = GPT(table.config(), dtype=torch.bfloat16)
        weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
        held = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # kept alive
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = network.hidden(torch.zeros(1, n_token, dtype=torch.long))
        assert out.requires_grad
        return sum(storage.nbytes() for key, storage in held.items() if key not in weights)

    n_token = 1_088  # more than attention's own blocks are for
    config = NetworkTable(preset="xs").config()
    copies = 2 * (config.n_params_matrix - config.vocab_size * config.n_embd) / config.n_layer
    per_token = (saved(2) - saved(1) - copies) / n_token / 2
    assert layer_numbers(config) == pytest.approx(per_token, rel=0.02)


def test_memory_is_shared_between_devices_as_the_recipe_says() -> None:
    def held(*overrides: str, n_device: int = 8) -> Memory:
        return memory(load_recipe(Path("xl"), overrides=overrides), n_device)

    assert held().kept == pytest.approx(held(n_device=1).kept / 8)
    assert held("train.shard=false") == held(n_device=1)
    assert held("train.recompute=false").layers > 10 * held().layers
    assert held("train.tensor_parallel=2").layers < held().layers
    parameters = load_recipe(Path("xl")).network.config().n_params
    assert held(n_device=1).kept == pytest.approx(12 * parameters, rel=0.05)  # 16 by AdamW
    assert 80e9 > held("train.recompute=false", "train.tensor_parallel=2").most > 40e9
