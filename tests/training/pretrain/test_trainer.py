"""The trainer: it learns, and a killed run goes on to the same last bit, over stages too."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.config import ConfigError
from tests.programs import ROOT
from tests.rounds import ROUND, count, shifted
from training import recipe as recipes
from training.errors import TrainingError
from training.pretrain import checkpoint as state
from training.pretrain.schedule import Stage, make_plan
from training.pretrain.trainer import Trainer
from training.recipe import FolderTable, NetworkTable, Recipe, StageTable, TrainTable

# 6 steps of 8 rows of 16 tokens, then 2 of 4 rows of 32 tokens, then 6 of 8 rows of 32 tokens
STAGES = (
    StageTable(tokens=6 * 128, shards="short", block_size=16),
    StageTable(tokens=2 * 128, shards="long"),
    StageTable(shards="long", batch_tokens=256, lr_scale=0.5),
)


class RepeatingRows:
    """Rows that a network can learn: each counts up from its own start, modulo 50."""

    def __init__(self, block_size: int = 32, n_rows: int = 40) -> None:
        self.block_size = block_size
        self.n_rows = n_rows
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, index: int) -> NDArray[np.uint16]:
        self.read.append(index)
        return (np.arange(index, index + self.block_size + 1) % 50).astype(np.uint16)


def small_recipe(*stages: StageTable, **train: object) -> Recipe:
    table: dict[str, object] = {
        "tokens": 32 * 4 * 20,
        "batch_tokens": 128,
        "micro_rows": 4,
        "lr_scale": 20.0,
        "dtype": "float32",  # whatever this processor is best at
    }
    vocab_size = int(str(train.pop("vocab_size", 256)))
    return Recipe(
        network=NetworkTable(
            preset="nano", vocab_size=vocab_size, block_size=32, n_layer=1, n_embd=32
        ),
        train=TrainTable(**(table | train)),  # type: ignore[arg-type]
        folder=FolderTable(name="small"),
        stages=stages,
    )


def open_rows(stage: Stage) -> RepeatingRows:
    return RepeatingRows(stage.block_size)


def trainer(*stages: StageTable, **train: object) -> Trainer:
    return Trainer(small_recipe(*stages, **train), open_rows)


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.network.state_dict().items()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_loss_falls_on_what_can_be_learned() -> None:
    run = trainer()
    losses = [run.step() for _ in range(20)]
    assert losses[0] > 5.0
    assert losses[-1] < 0.7 * losses[0]


def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    whole, parts = trainer(micro_rows=4), trainer(micro_rows=3)
    assert whole.step() == pytest.approx(parts.step(), abs=1e-5)
    for name, tensor in weights(whole).items():
        assert torch.allclose(tensor, weights(parts)[name], atol=1e-4), name


@pytest.mark.parametrize("k", [(k + ROUND) % 7 + 1 for k in (0, 1, 4)])
def test_resume_at_any_step_equals_an_uninterrupted_run(tmp_path: Path, k: int) -> None:
    straight = trainer()
    expected = [straight.step() for _ in range(8)]
    first = trainer()
    losses = [first.step() for _ in range(k)]
    first.save(tmp_path)
    second = trainer()
    assert second.resume(tmp_path)
    losses += [second.step() for _ in range(8 - k)]
    assert losses == expected
    assert_same(weights(second), weights(straight))
    count(1)


def test_resume_keeps_the_precision_and_compilation_that_were_chosen_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def auto(*, bf16: bool, long_flops: float) -> Trainer:
        monkeypatch.setattr("model.device.cpu_prefers_bf16", lambda: bf16)
        monkeypatch.setattr("training.pretrain.trainer.LONG_RUN_FLOPS", long_flops)
        return trainer(dtype="auto", device="cpu")

    compiler = tmp_path / "c++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)  # minutes
    for bf16 in (True, False):
        straight = auto(bf16=bf16, long_flops=1e30)
        for _ in range(4):
            straight.step()
            if straight.progress.step == 2:
                straight.save(tmp_path / str(bf16))
        other = auto(bf16=not bf16, long_flops=0.0)
        assert other.progress.compiled
        assert other.resume(tmp_path / str(bf16))
        assert (other.progress.dtype == "bfloat16", other.progress.compiled) == (bf16, False)
        other.step()
        other.step()
        assert_same(weights(other), weights(straight))


def test_compiled_run_without_a_compiler_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trainer(device="cpu")
    first.progress = dataclasses.replace(first.progress, compiled=True)
    first.save(tmp_path)
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(TrainingError, match=r"go on with --set train\.compile=false"):
        trainer(device="cpu").resume(tmp_path)


def three_stages() -> Trainer:
    options = {"normuon_beta2": 0.9, "orthogonaliser": "polar-express", "average_tokens": 500}
    return trainer(*STAGES, tokens=14 * 128 + 4 * 128, **options)


def test_stages_are_read_in_turn_each_row_once() -> None:
    opened: dict[str, RepeatingRows] = {}

    def keep(stage: Stage) -> RepeatingRows:
        opened[stage.shards] = open_rows(stage)
        return opened[stage.shards]

    run = Trainer(three_stages().recipe, keep)
    assert [stage.n_step for stage in run.plan.stages] == [6, 2, 5]
    for _ in range(6):
        run.step()
    assert list(opened) == ["short"]  # the others need not be there yet
    for _ in range(5):
        run.step()
    assert run.progress.rows == {"short": 48, "long": 2 * 4 + 3 * 8}
    assert sorted(opened["short"].read[:40]) == list(range(40))  # a whole epoch, then the next
    assert (
        len(set(opened["long"].read[:32])) == 32
    )  # the third stage goes on where the second stopped
    assert run.progress.tokens == 8 * 128 + 3 * 256


@pytest.mark.parametrize("k", [3, 5, 6, 7, 8, 10])
def test_resume_is_exact_across_stage_borders(tmp_path: Path, k: int) -> None:
    straight = three_stages()
    expected = [straight.step() for _ in range(13)]
    first = three_stages()
    losses = [first.step() for _ in range(k)]
    first.save(tmp_path)
    second = three_stages()
    assert second.resume(tmp_path)
    losses += [second.step() for _ in range(13 - k)]
    assert losses == expected
    assert_same(weights(second), weights(straight))
    assert_same(second.average.state, straight.average.state)
    count(1)


RUN_KILLED_AND_WHOLE = """
import os, signal, sys, threading, time
from pathlib import Path
from tests.training.pretrain.test_trainer import three_stages

def run(delay):
    trainer = three_stages()
    trainer.resume(Path(sys.argv[1]))
    if delay:
        killer = lambda: (time.sleep(delay), os.kill(os.getpid(), signal.SIGKILL))
        threading.Thread(target=killer, daemon=True).start()
    while trainer.progress.step < trainer.plan.n_step:
        trainer.step()
        trainer.save(Path(sys.argv[1]))

for delay in map(float, sys.argv[2:]):
    if not (child := os.fork()):  # cheaper than another start of torch
        run(delay)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in ((0, -signal.SIGKILL) if delay else (0,)), status
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_run_killed_at_random_moments_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    delays = [*map(str, np.random.default_rng(shifted(0)).uniform(0.01, 0.15, size=5)), "0"]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", RUN_KILLED_AND_WHOLE, str(tmp_path), *delays]
    subprocess.run(arguments, env=environ, timeout=240, check=True)
    count(5)
    torch.set_num_threads(1)
    straight = three_stages()
    for _ in range(13):
        straight.step()
    checkpoint = state.load_newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.progress.step == 13
    assert_same(checkpoint.weights, weights(straight))


def test_other_recipe_is_not_resumed(tmp_path: Path) -> None:
    trainer().save(tmp_path)
    with pytest.raises(TrainingError, match="another recipe"):
        trainer(seed=2).resume(tmp_path)


def test_length_may_change_before_the_warmdown_and_ends_as_if_planned_so(tmp_path: Path) -> None:
    first = trainer(tokens=32 * 4 * 40, warmup_share=0.0)
    for _ in range(5):
        first.step()
    first.save(tmp_path)
    shorter = trainer(tokens=32 * 4 * 14, warmup_share=0.0)
    assert shorter.resume(tmp_path)
    straight = trainer(tokens=32 * 4 * 14, warmup_share=0.0)
    for _ in range(5):
        straight.step()
    for _ in range(9):
        assert shorter.step() == straight.step()
    assert_same(weights(shorter), weights(straight))


def test_length_may_not_change_once_rates_go_down(tmp_path: Path) -> None:
    run = trainer(tokens=32 * 4 * 20)
    for _ in range(9):
        run.step()
    run.save(tmp_path)
    with pytest.raises(TrainingError, match=r"lowers its rates after 1024"):
        trainer(tokens=32 * 4 * 30).resume(tmp_path)


@pytest.mark.slow
def test_bf16_activations_learn_too() -> None:
    run = trainer(dtype="bfloat16")
    losses = [run.step() for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
    assert all(tensor.dtype == torch.float32 for tensor in run.network.state_dict().values())


def test_recipe_hash_ignores_what_does_not_touch_the_weights() -> None:
    recipe = small_recipe()
    renamed = dataclasses.replace(recipe, folder=FolderTable(name="other"))
    assert recipes.recipe_hash(recipe) == recipes.recipe_hash(renamed)
    for other in ({"checkpoint_s": 7}, {"compile": True}, {"shard": True, "tensor_parallel": 2}):
        assert recipes.recipe_hash(recipe) == recipes.recipe_hash(small_recipe(**other))
    assert recipes.recipe_hash(recipe) != recipes.recipe_hash(small_recipe(seed=5))
    assert recipes.recipe_hash(recipe) != recipes.recipe_hash(small_recipe(normuon_beta2=0.9))


def test_average_follows_the_weights_by_tokens() -> None:
    run = trainer(average_tokens=128)
    before = weights(run)
    run.step()
    after = weights(run)
    name = "model.embed_tokens.weight"
    share = float(np.exp(-1.0))
    expected = share * before[name] + (1 - share) * after[name]
    assert torch.allclose(run.average.mean[name], expected, atol=1e-7)


def test_run_begins_with_given_weights(tmp_path: Path) -> None:
    source, run = trainer(seed=7), trainer(average_tokens=128)
    run.begin_with(weights(source), "abc")
    assert_same(weights(run), weights(source))
    assert_same(run.average.mean, dict(source.network.named_parameters()))
    run.save(tmp_path)
    again = trainer(average_tokens=128)
    assert again.resume(tmp_path)
    assert again.progress.parent == "abc"


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_weights_that_do_not_fit_are_refused(change: str) -> None:
    run = trainer()
    given = weights(run)
    tensor = given.pop("model.norm.weight")
    if change == "shape":
        given["model.norm.weight"] = tensor[1:]
    with pytest.raises(ConfigError, match=r"model\.norm\.weight"):
        run.begin_with(given, "abc")


def poisoned(run: Trainer) -> Trainer:
    with torch.no_grad():
        run.network.model.norm.weight.fill_(float("nan"))
    return run


def test_step_without_a_finite_loss_changes_nothing_but_the_counts() -> None:
    run = poisoned(trainer(average_tokens=128))
    before, average = weights(run), {k: v.clone() for k, v in run.average.state.items()}
    assert np.isnan(run.step())
    after = weights(run)
    assert all(torch.equal(before[k].nan_to_num(), after[k].nan_to_num()) for k in before)
    assert_same(run.average.state, average)
    progress = run.progress
    assert (progress.step, progress.n_skipped, progress.n_skipped_in_row) == (1, 1, 1)
    assert progress.rows == {"rows": 4}


def test_gradient_that_is_no_number_is_skipped_too() -> None:
    run = trainer()
    gain = run.network.model.layers[0].input_layernorm.weight
    gain.register_hook(lambda grad: grad * float("inf"))
    before = weights(run)
    assert np.isfinite(run.step())
    assert_same(weights(run), before)
    assert run.progress.n_skipped == 1


@pytest.mark.parametrize("variable", ["PATH", "CXX"])
def test_compiling_without_a_compiler_says_so(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(ConfigError, match="needs a C\\+\\+ compiler"):
        trainer(compile=True)


def test_long_runs_are_compiled_where_there_is_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "c++"
    compiler.touch(mode=0o755)
    for found, tokens, chosen, compiled in (
        (True, 10**12, None, True),
        (True, 2_560, None, False),
        (True, 10**12, False, False),
        (False, 10**12, None, False),
    ):
        monkeypatch.setenv("CXX", str(compiler if found else tmp_path / "none"))
        run = trainer(compile=False)
        run.recipe = small_recipe(tokens=tokens, compile=chosen)
        run.plan = make_plan(run.recipe)
        assert run.should_compile(is_plain=True) == compiled
        assert not run.should_compile(is_plain=False)
