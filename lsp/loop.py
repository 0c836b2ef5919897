"""Feeds the protocol: a thread reads, the event loop handles one message at a time.

A handler that is a coroutine begins before the next message is handled, so that it sees the
document as it was when it was asked. Reading waits while the loop is behind or the client does not
read its answers: a flood fills no memory.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

from lsp.framing import Outbox
from lsp.protocol import Protocol
from lsp.scheduler import describe

MAX_WAITING = 16  # messages read and not yet handled
STOP_S = 0.5  # granted to requests that are being cancelled
_END = object()

log = logging.getLogger(__name__)


async def serve(protocol: Protocol, values: Iterator[Any], outbox: Outbox) -> None:
    """Handle messages until `exit` or the end."""
    asyncio.get_running_loop().set_exception_handler(_log_fault)
    protocol.set_writer(outbox, include_headers=False)
    inbox = _Inbox(values, outbox)
    while not protocol.is_exiting and (value := await inbox.next()) is not _END:
        try:
            protocol.receive(value)
        except Exception as error:  # noqa: BLE001  the border: one bad message is one log line
            log.warning("message failed: %s", describe(error))
        await asyncio.sleep(0)  # requests begin, cancelled ones end
    if under_way := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(under_way, timeout=STOP_S if protocol.is_exiting else 0)


class _Inbox:
    """What the reading thread has read and the loop has not yet handled."""

    def __init__(self, values: Iterator[Any], outbox: Outbox) -> None:
        self._values = values
        self._outbox = outbox
        self._room = threading.Semaphore(MAX_WAITING)
        self._waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="reader", daemon=True).start()

    async def next(self) -> Any:
        value = await self._waiting.get()
        self._room.release()
        return value

    def _read(self) -> None:
        try:
            for value in self._values:
                self._outbox.wait_for_room()
                self._room.acquire()
                self._loop.call_soon_threadsafe(self._waiting.put_nowait, value)
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, _END)
        except RuntimeError:  # the loop has ended
            log.debug("reading ends")


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    log.warning("event loop: %s", describe(error) if error else context.get("message"))
