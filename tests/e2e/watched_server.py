"""The real server with a heartbeat: a line each second of how long its event loop was held up.

`python -m tests.e2e.watched_server FILE [server options]`. A line has the longest time for which a
beat was late, in ms, and the most CPU time of the loop's own within a beat: what is late without
that waited for other threads, or on a busy machine for other programs.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from lsp import loop
from lsp.__main__ import main

BEAT_S = 0.02
LINE_S = 1.0
serve = loop.serve


async def beat(path: Path) -> None:
    longest, line_s = (0.0, 0.0), time.monotonic() + LINE_S
    with path.open("a", buffering=1) as file:
        while True:
            begun_s, own_s = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT_S)
            now_s = time.monotonic()
            late_s = now_s - begun_s - BEAT_S
            longest = max(longest[0], late_s), max(longest[1], time.thread_time() - own_s)
            if now_s > line_s:
                file.write(f"{1_000 * longest[0]:.1f} {1_000 * longest[1]:.1f}\n")
                longest, line_s = (0.0, 0.0), now_s + LINE_S


async def watched(*arguments: Any) -> None:
    task = asyncio.create_task(beat(Path(sys.argv[1])))
    try:
        await serve(*arguments)
    finally:
        task.cancel()


if __name__ == "__main__":
    loop.serve = watched
    sys.exit(main(sys.argv[2:]))
