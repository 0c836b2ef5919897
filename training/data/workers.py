"""Tasks spread over worker processes, here or of a Dask cluster, and results in order.

A bounded number of results waits, so memory stays flat however many tasks there are. Workers here
end when their parent does. Knows nothing of the work.
"""

import contextlib
import multiprocessing
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from training.errors import TrainingError

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    processes: int,
    scheduler: str = "",
) -> Generator[Result, None, None]:
    """Yield `function(task)` for each task; the function goes to each worker once, not by task.

    One process is this one. With the address of a `scheduler` its workers take the place of
    processes. What was not begun when the generator is closed is left undone, the rest waited for.
    """
    if processes <= 1 and not scheduler:
        yield from map(function, tasks)
        return
    pool = _cluster(function, scheduler) if scheduler else _processes(function, processes)
    with pool as (submit, n_workers):
        waiting: deque[Any] = deque()  # futures
        for task in tasks:
            waiting.append(submit(task))
            if len(waiting) > 2 * n_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextlib.contextmanager
def _processes(
    function: Callable[[Any], Any], n_workers: int
) -> Iterator[tuple[Callable[[Any], Any], int]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, context, _start, (function,))
    try:
        yield lambda task: pool.submit(_call, _OURS, task), n_workers
    finally:  # and wait: what is still at work would take processors from whatever comes next
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _cluster(
    function: Callable[[Any], Any], scheduler: str
) -> Iterator[tuple[Callable[[Any], Any], int]]:
    try:
        from distributed import Client
    except ImportError as error:
        raise TrainingError("--scheduler needs the extra `cluster` (distributed)") from error
    with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        n_threads: dict[str, int] = client.nthreads()
        if set(n_threads.values()) != {1}:
            raise TrainingError(
                f"{scheduler} has {len(n_threads)} workers with {sum(n_threads.values())} threads; "
                "start some, each with `dask worker --nthreads 1`"
            )
        # Scattered, it would be dropped from workers and copied between them while it is in use.
        key, kept = uuid.uuid4().hex, {"workers": list(n_threads), "pure": False}
        client.run(_hold, key, function)
        yield lambda task: client.submit(_call, key, task, **kept), len(n_threads)
        client.run(_hold, key, None)


_OURS = ""  # key of the function in worker processes of ours
_held: dict[str, Any] = {}  # in a worker


def _hold(key: str, function: Any) -> None:
    _held[key] = function


def _start(function: Callable[[Any], Any]) -> None:
    _hold(_OURS, function)
    # A killed parent closes no queue that its workers hold open for each other: they would wait.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _call(key: str, task: Any) -> Any:
    return _held[key](task)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
