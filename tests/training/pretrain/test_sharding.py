"""Weights spread over two and four processes train as whole ones do, and go on elsewhere."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import model.device
from model.config import ConfigError
from model.gpt import GPT
from tests.training.pretrain.forked import run_groups
from tests.training.pretrain.test_trainer import STAGES, open_rows, small_recipe, weights
from training.errors import TrainingError
from training.pretrain import checkpoint as state
from training.pretrain import distributed, loop
from training.pretrain.distributed import Group, local, take_place
from training.pretrain.loop import MEASURED
from training.pretrain.trainer import Trainer
from training.recipe import NetworkTable, Recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # all cores may be busy

# Of losses and of gradient norms by their size: only the order of sums differs, which came to 5e-7
# and 2e-7. Faults that were planted in five steps came to 2e-4 (a gain's gradients not summed over
# a tensor group), 1e-2 (the embedding's counted twice) and 0.17 (Muon's shards mixed up).
TOLERANCE = 5e-5
N_STEPS = 13
KNOWN = {"normuon_beta2": 0.9, "average_tokens": 300}


def recipe(**train: object) -> Recipe:
    """Four heads of two keys, in two layers."""
    small = small_recipe(*STAGES, tokens=18 * 128, **(KNOWN | train))
    network = NetworkTable(preset="xs", vocab_size=256, block_size=32, n_layer=2, n_embd=32)
    return dataclasses.replace(small, network=network)


def note(folder: Path, group: Group, name: str, trainer: Trainer, until: int) -> None:
    """Take steps and write down what they were, as each process saw it."""
    steps = []
    while trainer.progress.step < until:
        steps.append((trainer.step(), trainer.grad_norm))
    (folder / f"{name}-{group.rank}.json").write_text(json.dumps(steps))


def plain(folder: Path, group: Group) -> None:
    """Whole weights in each process; a run stopped half way, then the rest of it."""
    distributed.BUCKET_BYTES = 1 << 14  # several, of so small a network
    first = Trainer(recipe(), open_rows, group=group)
    note(folder, group, "plain", first, 7)
    first.save(folder / "plain")
    group.wait()
    second = Trainer(recipe(), open_rows, group=group)
    assert second.resume(folder / "plain")
    loop.train(second, folder / "plain")


def shard(folder: Path, group: Group) -> None:
    """Through the loop, validated on the way: each process has a part in that."""
    trainer = Trainer(recipe(shard=True, validate_steps=3), open_rows, group=group)
    loop.train(trainer, folder / "shard", validate=validate, until=7)


def validate(network: GPT) -> dict[str, float]:
    with torch.inference_mode():
        return {MEASURED: network(torch.arange(8)[None]).square().mean().item()}


def tensor(folder: Path, group: Group) -> None:
    trainer = Trainer(recipe(tensor_parallel=2), open_rows, group=group)
    note(folder, group, "tensor", trainer, 7)


def mesh(folder: Path, group: Group) -> None:
    """Two by two; saved half way, gone on from and back to, and begun with whole weights."""
    spread = recipe(tensor_parallel=2, recompute=True)
    first = Trainer(spread, open_rows, group=group)
    note(folder, group, "mesh", first, 7)
    first.save(folder / "run")
    second = Trainer(spread, open_rows, group=group)
    assert second.resume(folder / "run")
    note(folder, group, "straight", first, 8)
    note(folder, group, "resumed", second, 8)
    second.network(torch.zeros(1, 8, dtype=torch.long))  # as a validation does
    assert second.resume(folder / "run")
    note(folder, group, "back", second, 8)
    whole = weights(Trainer(recipe(), open_rows))
    fourth = Trainer(spread, open_rows, group=group)
    for parameter in fourth.network.parameters():
        local(parameter.detach()).zero_()
    fourth.begin_with(whole, "parent")
    note(folder, group, "begun", fourth, 1)


def elsewhere(folder: Path, group: Group) -> None:
    """The mesh's run goes on in two processes, without tensor parallelism; and in bf16 not."""
    trainer = Trainer(recipe(shard=True), open_rows, group=group)
    assert trainer.resume(folder / "run")
    note(folder, group, "elsewhere", trainer, 10)
    trainer.save(folder / "run")
    fast = recipe(shard=True, dtype="auto", device="cpu")
    model.device.cpu_prefers_bf16 = lambda: True  # type: ignore[assignment]
    narrow = Trainer(fast, open_rows, group=group)
    note(folder, group, "narrow", narrow, 3)
    narrow.save(folder / "narrow")
    model.device.cpu_prefers_bf16 = lambda: False  # type: ignore[assignment]
    with pytest.raises(TrainingError, match="computes in bfloat16, this machine in float32"):
        Trainer(fast, open_rows, group=group).resume(folder / "narrow")


PHASES = [("plain", 2), ("shard", 2), ("tensor", 2), ("mesh", 4), ("elsewhere", 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sharded")
    run_groups(__name__, path, PHASES)
    return path


@pytest.fixture(scope="module")
def alone() -> list[list[float]]:
    """Loss and gradient norm of each step of one process."""
    trainer = Trainer(recipe(), open_rows)
    return [[trainer.step(), trainer.grad_norm] for _ in range(N_STEPS)]


def told(folder: Path, name: str, size: int) -> list[list[float]]:
    """Return what a group noted, the same in each process."""
    ranks = [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(size)]
    assert all(rank == ranks[0] for rank in ranks)
    steps: list[list[float]] = ranks[0]
    return steps


def assert_near(steps: list[list[float]], expected: list[list[float]]) -> None:
    assert len(steps) == len(expected)
    for (loss, norm), (its_loss, its_norm) in zip(steps, expected, strict=True):
        assert loss == pytest.approx(its_loss, abs=TOLERANCE)
        assert norm == pytest.approx(its_norm, rel=TOLERANCE)


def test_two_plain_processes_have_the_losses_and_weights_of_one(
    folder: Path, alone: list[list[float]]
) -> None:
    assert_near(told(folder, "plain", 2), alone[:7])
    lines = [json.loads(line) for line in (folder / "plain/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(8, 14))  # each once: the first writes
    assert [line["loss"] for line in lines] == pytest.approx(
        [loss for loss, _ in alone[7:]], abs=TOLERANCE
    )


def test_two_processes_that_share_weights_have_the_steps_of_one(
    folder: Path, alone: list[list[float]]
) -> None:
    lines = [json.loads(line) for line in (folder / "shard/log.jsonl").read_text().splitlines()]
    rounded = [[loss, round(norm, 4)] for loss, norm in alone[:7]]
    assert_near([[line["loss"], line["grad_norm"]] for line in lines], rounded)
    measured = {line["step"]: line[MEASURED] for line in lines if MEASURED in line}
    assert measured.keys() == {3, 6}
    plain = Trainer(recipe(), open_rows)
    for _ in range(3):
        plain.step()
    assert measured[3] == pytest.approx(validate(plain.network)[MEASURED], rel=TOLERANCE)


def test_a_tensor_group_has_the_steps_of_one(folder: Path, alone: list[list[float]]) -> None:
    assert_near(told(folder, "tensor", 2), alone[:7])


def test_two_by_two_have_the_steps_of_one(folder: Path, alone: list[list[float]]) -> None:
    assert_near(told(folder, "mesh", 4), alone[:7])


def test_a_sharded_run_goes_on_and_back_to_the_last_bit(folder: Path) -> None:
    straight = told(folder, "straight", 4)
    assert told(folder, "resumed", 4) == straight
    assert told(folder, "back", 4) == straight


def test_a_run_goes_on_in_another_mesh_and_then_alone(
    folder: Path, alone: list[list[float]]
) -> None:
    assert_near(told(folder, "elsewhere", 2), alone[7:10])
    trainer = Trainer(recipe(shard=True), open_rows)  # of which alone nothing comes
    assert trainer.resume(folder / "run")
    assert_near([[trainer.step(), trainer.grad_norm] for _ in range(3)], alone[10:])
    newest = state.load_run(folder / "run", average=True)
    assert newest.weights.keys() == weights(trainer).keys()
    files = sorted(path.name for path in (folder / "run/checkpoints").rglob("*") if path.is_file())
    assert files == 2 * ["optimizer.safetensors"] + 2 * ["state.json"] + 2 * ["weights.safetensors"]


def test_a_sharded_run_begins_with_whole_weights(folder: Path, alone: list[list[float]]) -> None:
    assert_near(told(folder, "begun", 4), alone[:1])


def test_weights_gathered_in_bf16_are_learnt_in_fp32(folder: Path) -> None:
    alone = Trainer(recipe(dtype="bfloat16"), open_rows)
    expected = [alone.step() for _ in range(3)]
    assert [loss for loss, _ in told(folder, "narrow", 2)] == pytest.approx(expected, abs=0.02)
    assert state.load_run(folder / "narrow").weights["model.norm.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("size", "train", "problem"),
    [
        (4, {"tensor_parallel": 4}, "must divide n_kv_head"),
        (3, {"tensor_parallel": 2}, "must divide the number of processes"),
        (3, {"shard": True}, "a batch of 8 rows cannot be spread evenly over 3"),
    ],
)
def test_what_cannot_be_spread_is_refused(
    size: int, train: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        take_place(Group(size=size), recipe(**train), [8])
