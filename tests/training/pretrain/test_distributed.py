"""Two real processes train as one does; the first writes, both resume."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.config import ConfigError
from tests.training.pretrain.test_trainer import (
    ROOT,
    STAGES,
    assert_same,
    open_rows,
    small_recipe,
    trainer,
    weights,
)
from training.pretrain import checkpoint as state
from training.pretrain import loop
from training.pretrain.distributed import Group, join, leave
from training.pretrain.trainer import Trainer

pytestmark = pytest.mark.slow

TOLERANCE = 2e-3  # of the loss in nats: only the order of the sums differs, over 13 steps of Muon

# Forked after torch is imported, so that two processes cost one start of it.
TWO_PROCESSES = """
import os, sys
from pathlib import Path
from tests.training.pretrain.test_distributed import work

children = []
for rank in range(2):
    if not (child := os.fork()):
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        work(Path(sys.argv[1]))
        os._exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(max(map(abs, codes)))
"""


def work(folder: Path) -> None:
    """What each of the two processes does: a run stopped half way, then the rest of it."""
    torch.set_num_threads(1)
    group = join("cpu")
    first = Trainer(small_recipe(*STAGES, tokens=18 * 128), open_rows, group=group)
    losses = [first.step() for _ in range(7)]
    first.save(folder / "run")
    group.wait()
    second = Trainer(small_recipe(*STAGES, tokens=18 * 128), open_rows, group=group)
    assert second.resume(folder / "run")
    loop.train(second, folder / "run")
    losses.append(second.grad_norm)
    (folder / f"losses-{group.rank}.json").write_text(json.dumps(losses))
    leave()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    path = tmp_path_factory.mktemp("two")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    environ = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    command = [sys.executable, "-c", TWO_PROCESSES, str(path)]
    subprocess.run(command, env=environ, timeout=240, check=True)
    return path


def test_two_processes_have_the_losses_and_weights_of_one(folder: Path) -> None:
    straight = trainer(*STAGES, tokens=18 * 128)
    expected = [straight.step() for _ in range(13)]
    ranks = [json.loads((folder / f"losses-{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0] == ranks[1]  # each knows the whole batch's loss
    assert ranks[0][:7] == pytest.approx(expected[:7], abs=TOLERANCE)
    checkpoint = state.load_newest(folder / "run")
    assert checkpoint is not None
    assert checkpoint.progress.step == 13
    for name, tensor in weights(straight).items():
        assert torch.allclose(checkpoint.weights[name], tensor, atol=TOLERANCE), name


def test_only_the_first_process_writes(folder: Path) -> None:
    steps = [
        json.loads(line)["step"] for line in (folder / "run/log.jsonl").read_text().split("\n")[:-1]
    ]
    assert steps == list(range(8, 14))  # each once


def test_group_of_one_exchanges_nothing() -> None:
    group = join()
    assert group == Group()
    assert group.is_first
    run = trainer()
    run.step()
    before = {name: p.grad.clone() for name, p in run.network.named_parameters()}
    group.sum_gradients(run.network.parameters())
    assert_same(before, {name: p.grad for name, p in run.network.named_parameters()})
    assert group.sum(2.5, torch.device("cpu")) == 2.5
    group.wait()


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 3), (3, 3)])
def test_each_row_is_taken_by_one_process(count: int, size: int) -> None:
    shares = [Group(rank=rank, size=size).share(count) for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batch_smaller_than_the_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="4 rows cannot be spread over 5 processes"):
        Trainer(small_recipe(), open_rows, group=Group(size=5))
