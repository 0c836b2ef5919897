"""What all training commands share."""

import ctypes
import sys

import pytest

from training.cli import keep_freed_memory


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="a matter of glibc",
)
def test_glibc_accepts_the_limits() -> None:
    assert keep_freed_memory()
