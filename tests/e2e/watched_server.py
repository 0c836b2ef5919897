"""The real server with a heartbeat: a line each second of how long its event loop was held up.

`python -m tests.e2e.watched_server FILE [server options]`. A line has the longest time for which a
beat was late, in ms, and the most CPU time of the loop's own within a beat: what is late without
that waited for other threads, or on a busy machine for other programs. FILE.memory gets a line now
and then of the time in hours and the MB that are in use: with PYTHONMALLOC=malloc all that Python
and the libraries hold, and nothing that the allocator only keeps, which swings by 10 MB.
"""

import asyncio
import ctypes
import gc
import sys
import time
import weakref
from pathlib import Path
from typing import Any

from lsp import protocol
from lsp.__main__ import main
from model import prefix_cache
from model.runtime import Runtime

BEAT_S = 0.02
LINE_S = 1.0
MEMORY_S = 4.0
serve = protocol.serve
caches: "weakref.WeakSet[prefix_cache.PrefixCache]" = weakref.WeakSet()


class MallocInfo(ctypes.Structure):
    """What glibc's `mallinfo2` tells, in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena ordblks smblks hblks mapped usmblks fsmblks used free keepcost".split())
    ]


def used_mb() -> float:
    """Return what is in use on the heap, garbage taken out."""
    gc.collect()
    tell = ctypes.CDLL(None).mallinfo2
    tell.restype = MallocInfo
    info = tell()
    return float(info.used + info.mapped) / (1 << 20)


async def beat(path: Path) -> None:
    longest, line_s, memory_s = (0.0, 0.0), time.monotonic() + LINE_S, 0.0
    memory = path.with_suffix(".memory")
    with path.open("a", buffering=1) as file, memory.open("a", buffering=1) as memory_file:
        while True:
            if time.monotonic() > memory_s:
                mb = used_mb() - sum(cache._n_kept_bytes() for cache in caches) / (1 << 20)
                memory_file.write(f"{time.monotonic() / 3_600} {mb}\n")
                memory_s = time.monotonic() + MEMORY_S
            begun_s, own_s = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT_S)
            now_s = time.monotonic()
            late_s = now_s - begun_s - BEAT_S
            longest = max(longest[0], late_s), max(longest[1], time.thread_time() - own_s)
            if now_s > line_s:
                file.write(f"{1_000 * longest[0]:.1f} {1_000 * longest[1]:.1f}\n")
                longest, line_s = (0.0, 0.0), now_s + LINE_S


class WatchedCache(prefix_cache.PrefixCache):
    """One of which it is known how much its copies take."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        caches.add(self)


async def watched(*arguments: Any) -> None:
    task = asyncio.create_task(beat(Path(sys.argv[1])))
    try:
        await serve(*arguments)
    finally:
        task.cancel()


if __name__ == "__main__":
    protocol.serve = watched
    prefix_cache.PrefixCache = WatchedCache  # type: ignore[misc]
    sys.exit(main(sys.argv[2:]))
