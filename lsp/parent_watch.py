"""Notices that the editor has died although the pipe from it is still open.

A pipe stays open while any other process holds its far end, so its end alone is not enough.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

POLL_S = 2.0
_PARENT = os.getppid()  # of this process at its start: it may die before it has told us its id


def is_alive(pid: int, parent_at_start: int) -> bool:
    """Whether process `pid` still runs; a dead one that nobody has reaped does not.

    On Windows there is no harmless signal to ask with, so the answer there is always yes.
    """
    if os.name == "nt":
        return True
    if pid == parent_at_start and os.getppid() != pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _is_zombie(pid)


def watch(pid: int, on_death: Callable[[], None]) -> Callable[[], None] | None:
    """Call `on_death` once when process `pid` is gone; None if it cannot be seen even now.

    What is returned ends the watch.

    A client in another container has an id that means nothing, or somebody else, here.
    """
    if pid != _PARENT and not is_alive(pid, _PARENT):
        return None
    stopped = threading.Event()

    def run() -> None:
        while is_alive(pid, _PARENT):
            if stopped.wait(POLL_S):
                return
        on_death()

    thread = threading.Thread(target=run, name="client-watch", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()

    return stop


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # no /proc on this system
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"Z"]
