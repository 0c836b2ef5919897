"""The training loop: it learns, and a killed run goes on to the same last bit."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training import loop, state
from training.config import FolderTable, NetworkTable, Recipe, TrainTable

ROOT = Path(__file__).parents[2]


class RepeatingRows:
    """Rows that a network can learn: each counts up from its own start, modulo 50."""

    def __len__(self) -> int:
        return 40

    def row(self, index: int) -> NDArray[np.uint16]:
        return (np.arange(index, index + 33) % 50).astype(np.uint16)


def small_recipe(**train: object) -> Recipe:
    table: dict[str, object] = {
        "tokens": 32 * 4 * 20,
        "batch_tokens": 128,
        "micro_rows": 4,
        "lr_scale": 20.0,
    }
    return Recipe(
        network=NetworkTable(preset="nano", vocab_size=256, block_size=32, n_layer=1, n_embd=32),
        train=TrainTable(**(table | train)),  # type: ignore[arg-type]
        folder=FolderTable(name="small"),
    )


def trainer(**train: object) -> loop.Trainer:
    return loop.Trainer(small_recipe(**train), RepeatingRows())


def weights(run: loop.Trainer) -> dict[str, torch.Tensor]:
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


@pytest.mark.parametrize("k", [1, 2, 5])
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


def test_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.training.test_loop import trainer\n"
        "run = trainer()\n"
        "run.resume(Path(sys.argv[1]))\n"
        "while run.progress.step < 9:\n"
        "    run.step()\n"
        "    run.save(Path(sys.argv[1]))\n"
        "    if run.progress.step in (2, 5) and len(sys.argv) == 3:\n"
        "        run.step()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for kills in (True, True, False):
        arguments = [sys.executable, "-c", script, str(tmp_path), *(["kill"] if kills else [])]
        done = subprocess.run(arguments, env=environ, timeout=120, check=False)
        assert done.returncode == (-signal.SIGKILL if kills else 0)
    torch.set_num_threads(1)
    straight = trainer()
    for _ in range(9):
        straight.step()
    checkpoint = state.load_newest(tmp_path)
    assert checkpoint is not None
    assert_same(checkpoint.weights, weights(straight))


def test_train_writes_a_log_and_a_last_checkpoint(tmp_path: Path) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    run = trainer(validate_steps=10)
    try:
        loop.train(run, tmp_path, validate=lambda network: 1.5)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["step"] for line in lines if "bits_per_byte" in line] == [10, 20]
    checkpoint = state.load_newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.progress.step == 20
    assert checkpoint.progress.tokens == 20 * 128
    assert checkpoint.progress.seconds > 0


def test_terminated_run_is_saved_after_its_step(tmp_path: Path) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    run = trainer(validate_steps=3)

    def stop(network: torch.nn.Module) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return 1.0

    try:
        loop.train(run, tmp_path, validate=stop)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    checkpoint = state.load_newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.progress.step == 3


def test_other_recipe_is_not_resumed(tmp_path: Path) -> None:
    trainer().save(tmp_path)
    with pytest.raises(state.StateError, match="another recipe"):
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
    with pytest.raises(state.StateError, match=r"from step 8 on"):
        trainer(tokens=32 * 4 * 30).resume(tmp_path)


def test_loss_that_is_no_number_stops_the_run() -> None:
    run = trainer()
    with torch.no_grad():
        run.network.model.norm.weight.fill_(float("nan"))
    with pytest.raises(loop.DivergedError, match=r"lower train\.lr_scale"):
        run.step()


def test_bf16_activations_learn_too() -> None:
    run = trainer(dtype="bfloat16")
    losses = [run.step() for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
    assert all(tensor.dtype == torch.float32 for tensor in run.network.state_dict().values())


def test_recipe_hash_ignores_what_does_not_touch_the_weights() -> None:
    recipe = small_recipe()
    renamed = dataclasses.replace(recipe, folder=FolderTable(name="other"))
    assert loop.recipe_hash(recipe) == loop.recipe_hash(renamed)
    assert loop.recipe_hash(recipe) != loop.recipe_hash(small_recipe(seed=5))
