"""Groups of processes that train together, forked after torch is imported: cheaper than started."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.programs import free_port
from tests.training.pretrain.test_trainer import ROOT

# Sharding imports the compiler, which takes three seconds of each process's time: it is done once.
_SCRIPT = """
import os, sys
from importlib import import_module
from pathlib import Path
import torch, torch._dynamo
from training.pretrain.distributed import join, leave

module, folder, *phases = sys.argv[1:]
for phase in phases:
    name, size, port = phase.split(":")
    children = []
    for rank in range(int(size)):
        if not (child := os.fork()):
            torch.set_num_threads(1)
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size}
            os.environ |= own | {"MASTER_PORT": port}
            getattr(import_module(module), name)(Path(folder), join("cpu"))
            leave()
            os._exit(0)
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit(phase)
"""


def run_groups(module: str, folder: Path, phases: Sequence[tuple[str, int]]) -> None:
    """Call functions of a test module, each in so many processes, with a folder and their group."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    arguments = [f"{name}:{size}:{free_port()}" for name, size in phases]
    subprocess.run(
        [sys.executable, "-c", _SCRIPT, module, str(folder), *arguments],
        env=environment(),
        timeout=1100,
        check=True,
    )


def environment() -> dict[str, str]:
    """Return what processes of a group need beside their place in it."""
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    return os.environ | own
