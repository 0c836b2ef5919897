"""Runs a program where there is no network: in a network namespace of its own, with nothing in it.

Not even the machine's own address answers there; pipes, files and processes are as everywhere.
Linux, where a user may make namespaces.
"""

import functools
import shutil
import subprocess

UNSHARE = ["unshare", "--map-root-user", "--net"]  # becomes the program: signals and pipes reach it


@functools.cache
def without_network() -> list[str]:
    """Return what to put before a command, or nothing where that cannot be had."""
    if shutil.which(UNSHARE[0]) is None:
        return []
    run = subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=60)
    return UNSHARE if run.returncode == 0 else []
