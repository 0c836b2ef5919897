"""What all training commands share."""

import resource
import sys

import pytest
import torch

from training.cli import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
def test_freed_memory_is_not_asked_for_again() -> None:
    keep_freed_memory()
    faults = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(4_000_000)  # 16 MB: some 3,900 pages
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert faults[-1] < 400
