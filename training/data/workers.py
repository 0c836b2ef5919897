"""Tasks spread over worker processes, results in order; workers end when their parent does.

A bounded number of results waits, so memory stays flat however many tasks there are. Knows nothing
of the work.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, processes: int
) -> Generator[Result, None, None]:
    """Yield `function(task)` for each task; the function goes to each worker once, not by task.

    One process is this one. What was not begun when the generator is closed is left undone.
    """
    if processes <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start, (function,)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(_run, task))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_function: Callable[[Any], Any]  # set once in each worker


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    # A killed parent closes no queue that its workers hold open for each other: they would wait.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _run(task: Any) -> Any:
    return _function(task)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
