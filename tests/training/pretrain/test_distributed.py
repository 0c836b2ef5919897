"""A group of processes: who takes which rows, and that torchrun starts it anew after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.config import ConfigError
from tests.training.pretrain.forked import environment
from tests.training.pretrain.test_trainer import (
    STAGES,
    open_rows,
    small_recipe,
    trainer,
)
from training.pretrain import loop
from training.pretrain.distributed import Group, join, leave
from training.pretrain.trainer import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # all cores may be busy

N_STEPS = 13


def restarted(folder: Path) -> None:
    """What torchrun starts: the second process is killed after the step behind a checkpoint."""
    torch.set_num_threads(1)
    group = join("cpu")
    run = Trainer(small_recipe(*STAGES, tokens=18 * 128), open_rows, group=group)
    if run.resume(folder / "run"):
        loop.train(run, folder / "run")
    else:
        loop.train(run, folder / "run", until=5)
        run.step()
        if group.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        run.step()  # waits for the dead
    leave()


def test_torchrun_goes_on_from_the_newest_checkpoint_after_a_kill(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        f"import sys\nfrom pathlib import Path\nfrom {__name__} import restarted\n"
        "restarted(Path(sys.argv[1]))\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # One restart has to do: the second attempt may not meet addresses of the first.
    options = ["--nproc-per-node=2", "--max-restarts=1", "--monitor-interval=0.1"]
    subprocess.run(
        [*torchrun, *options, str(script), str(tmp_path)],
        env=environment(),
        timeout=1100,
        check=True,
    )
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, N_STEPS + 1))
    straight = trainer(*STAGES, tokens=18 * 128)
    expected = [straight.step() for _ in range(N_STEPS)]
    assert [line["loss"] for line in lines] == pytest.approx(expected, abs=1e-4)


def test_group_of_one_exchanges_nothing() -> None:
    group = join()
    assert group == Group()
    assert group.is_first
    assert trainer().gradient_sum is None
    assert not group.any(False, torch.device("cpu"))
    group.wait()


def test_neighbours_of_a_tensor_group_take_the_same_rows() -> None:
    groups = [Group(rank=rank, size=4, tensor_parallel=2) for rank in range(4)]
    assert [list(group.share(6)) for group in groups] == 2 * [[0, 1, 2]] + 2 * [[3, 4, 5]]


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 3), (3, 3)])
def test_each_row_is_taken_by_one_process(count: int, size: int) -> None:
    shares = [Group(rank=rank, size=size).share(count) for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batch_smaller_than_the_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="4 rows cannot be spread over 5 processes"):
        Trainer(small_recipe(), open_rows, group=Group(size=5))
