"""pygls's protocol with what is defective in it replaced.

As it comes, pygls leaves requests unanswered whose parameters are wrong, pops up a message and logs
a traceback for each, turns numbers into strings and back, and keeps something of every notification
for ever. Here every request with a readable id gets exactly one reply, and every fault one log line
without the user's text. Knows no feature.

`serve` feeds it: a thread reads, the event loop handles one message at a time. A handler that is a
coroutine begins before the next message is handled, so that it sees the document as it was when it
was asked. Reading waits while the loop is behind or the client does not read its answers: a flood
fills no memory.
"""

import asyncio
import contextlib
import logging
import math
import threading
from asyncio import Future as Task
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from cattrs import Converter, transform_error
from lsprotocol import types
from pygls import exceptions
from pygls.protocol import LanguageServerProtocol, default_converter, lsp_method

from lsp.documents import Workspace
from lsp.framing import Malformed, Outbox, find_id
from lsp.next_edit import INLINE_EDIT, InlineEditRequest
from lsp.scheduler import describe

VERSION = "2.0"
MAX_WAITING = 16  # messages read and not yet handled
STOP_S = 0.5  # granted to requests that are being cancelled
_END = object()

log = logging.getLogger(__name__)


def strict_converter() -> Converter:
    """Return pygls's converter, which however does not take one kind of value for another."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    for kind in (int, str):
        converter.register_structure_hook(kind, _exactly)
    return converter


def _exactly(value: Any, kind: type) -> Any:
    """Return `value` as a `kind` of integer or string, enumerations included."""
    plain = bool if kind is bool else int if issubclass(kind, int) else str
    if type(value) is not plain:  # a bool is no integer here
        raise TypeError(f"not a {kind.__name__}")
    return kind(value)


class Protocol(LanguageServerProtocol):
    """Handles one client's messages on the event loop."""

    is_exiting = False
    on_answer: Callable[[object, bool], None] = staticmethod(lambda *_: None)  # to our requests
    on_initialize: Callable[[object], bool] = staticmethod(lambda _: False)  # whether it was right

    def receive(self, value: Any) -> None:
        """Handle one JSON value, or what came in place of one."""
        if isinstance(value, Malformed):
            self._refuse(find_id(value.body), exceptions.JsonRpcParseError(value.reason))
        elif isinstance(value, list) and value:
            for part in value:  # a batch, which the protocol does not have
                self._refuse(_readable_id(part), _invalid("batches are not supported"))
        else:
            self._receive_message(value)

    def adopt(self, workspace: Workspace) -> None:
        """Keep documents in `workspace` from now on; the client counts as initialized."""
        self._workspace = workspace

    def _receive_message(self, value: Any) -> None:
        try:
            message = self._read(value)
        except exceptions.JsonRpcException as error:
            if isinstance(value, dict) and "id" not in value and "method" in value:
                log.warning("notification ignored: %s", error.message)
            else:
                self._refuse(_readable_id(value), error)
            return
        if message is not None:
            self.handle_message(message)
            # Of notifications that are dealt with pygls keeps something, for ever.
            for key in [key for key, future in self._request_futures.items() if future.done()]:
                del self._request_futures[key]

    # --- reading

    def _read(self, value: Any) -> Any:
        """Return the typed message, None for one that needs no handling, or raise."""
        if not isinstance(value, dict):
            raise _invalid("a message must be an object")
        if "method" not in value and ("result" in value or "error" in value):
            self.on_answer(value.get("id"), "error" not in value)
            return None
        method = value.get("method")
        if not isinstance(method, str):
            raise _invalid("method must be a string")
        if value.get("jsonrpc") != VERSION:
            raise _invalid("jsonrpc must be 2.0")
        if "id" not in value:
            return self._read_notification(method, value)
        if type(value["id"]) not in (int, str):
            raise _invalid("id must be an integer or a string")
        return self._read_request(method, value)

    def _read_request(self, method: str, value: dict[str, Any]) -> Any:
        is_ready = isinstance(self._workspace, Workspace)
        if self._shutdown:
            raise _invalid("the server is shutting down")
        if method == types.INITIALIZE:
            if is_ready:
                raise _invalid("initialize was already sent")
            if not self.on_initialize(value):
                raise exceptions.JsonRpcInvalidParams("wrong params")
            return None
        if not is_ready:
            raise exceptions.JsonRpcServerNotInitialized("initialize comes first")
        kind = self._kind(method)
        if kind is None or not hasattr(kind, "id"):  # a notification is no request
            raise exceptions.JsonRpcMethodNotFound("unknown method")
        return self._structure(kind, method, value)

    def _read_notification(self, method: str, value: dict[str, Any]) -> Any:
        is_served = isinstance(self._workspace, Workspace) and not self._shutdown
        kind = self._kind(method)
        if kind is None or not (is_served or method == types.EXIT):
            return None
        if hasattr(kind, "id"):
            raise _invalid("a request needs an id")
        return self._structure(kind, method, value)

    def _kind(self, method: str) -> type[Any] | None:
        """Return the type of the messages of `method` if they are handled."""
        is_handled = (
            method in self.fm.features
            or method in self.fm.builtin_features
            or method == types.CANCEL_REQUEST
        )
        if method == INLINE_EDIT:  # lsprotocol does not have it
            return InlineEditRequest
        return self.get_message_type(method) if is_handled else None

    def _structure(self, kind: type[Any], method: str, value: dict[str, Any]) -> Any:
        try:
            return self._converter.structure(_tolerated(method, value), kind)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, it is the message
            if "id" not in value:
                self._distrust(value)
            raise exceptions.JsonRpcInvalidParams(f"wrong {_places(error)}") from None

    def _distrust(self, notification: Mapping[str, Any]) -> None:
        """Take no document for the client's that misses what this would have told."""
        with contextlib.suppress(KeyError, TypeError):
            uri = notification["params"]["textDocument"]["uri"]
            if isinstance(uri, str) and isinstance(self._workspace, Workspace):
                self._workspace.distrust(uri)

    # --- answering

    def _refuse(self, message_id: Any, error: exceptions.JsonRpcException) -> None:
        """Answer with `error`, in a text of ours."""
        log.warning("bad message: %s", error.message)
        refusal = {"code": error.code, "message": error.message}
        self._send_data({"jsonrpc": VERSION, "id": message_id, "error": refusal})

    def _send_handler_result(self, future: "Future[Any] | Task[Any]", *, msg_id: Any) -> None:
        self._request_futures.pop(msg_id, None)
        if future.cancelled():
            self._answer_error(msg_id, exceptions.JsonRpcRequestCancelled("cancelled"))
        elif error := future.exception():
            log.warning("request failed: %s", describe(error))
            code = getattr(error, "code", exceptions.JsonRpcInternalError.CODE)  # pygls's own say
            self._answer_error(msg_id, exceptions.JsonRpcException(describe(error), code))
        else:
            self._send_response(msg_id, result=future.result())

    def _answer_error(self, msg_id: Any, error: exceptions.JsonRpcException) -> None:
        self._send_response(msg_id, error=error.to_response_error())

    def _check_handler_result(self, future: "Future[Any] | Task[Any]") -> None:
        if not future.cancelled() and (error := future.exception()):
            log.warning("notification failed: %s", describe(error))

    def _handle_cancel_notification(self, msg_id: Any) -> None:
        if isinstance(msg_id, int | str):  # it is not checked where it is read
            super()._handle_cancel_notification(msg_id)

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: object) -> None:  # type: ignore[override]
        """Let whoever feeds the messages end; pygls ends the process here."""
        self.is_exiting = True


def _tolerated(method: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return the message without what clients may get wrong at no harm."""
    params = value.get("params")
    if not isinstance(params, dict):
        return value
    if method == types.TEXT_DOCUMENT_INLINE_COMPLETION:
        context = params.get("context")
        read = {"triggerKind": _trigger_kind(context)}
        if isinstance(context, dict) and isinstance(context.get("selectedCompletionInfo"), dict):
            read["selectedCompletionInfo"] = context["selectedCompletionInfo"]
        params = {**params, "context": read}
    elif method == types.TEXT_DOCUMENT_COMPLETION:
        params = {**params, "context": None}  # not used
    elif method == types.TEXT_DOCUMENT_CODE_ACTION:
        context = params.get("context")  # the diagnostics are those of other servers
        only = context.get("only") if isinstance(context, dict) else None
        params = {**params, "context": {"diagnostics": [], "only": only}}
    elif method == types.TEXT_DOCUMENT_DID_CHANGE:
        changes = params.get("contentChanges")
        if isinstance(changes, list):
            params = {**params, "contentChanges": [_without_null_range(item) for item in changes]}
    return {**value, "params": params}


def _trigger_kind(context: Any) -> int:
    """Return how a suggestion was asked for: by hand only where the client says exactly that."""
    kind = context.get("triggerKind") if isinstance(context, dict) else None
    invoked = types.InlineCompletionTriggerKind.Invoked.value
    is_invoked = type(kind) is int and kind == invoked
    return invoked if is_invoked else types.InlineCompletionTriggerKind.Automatic.value


def _without_null_range(change: Any) -> Any:
    if isinstance(change, dict) and change.get("range", 0) is None:
        return {name: value for name, value in change.items() if name != "range"}
    return change


def _readable_id(value: Any) -> int | float | str | None:
    message_id = value.get("id") if isinstance(value, dict) else None
    if isinstance(message_id, float) and not math.isfinite(message_id):  # 1e999
        return None
    is_readable = isinstance(message_id, int | float | str) and not isinstance(message_id, bool)
    return message_id if is_readable else None


def _places(error: Exception) -> str:
    """Name the members that are wrong; never their values, which may be the user's text."""
    try:
        texts = transform_error(error, path="message", format_exception=lambda *_: "")
    except RecursionError:
        return "nesting"
    return ", ".join(text.rpartition("@ ")[2] for text in texts[:3]) or "message"


def _invalid(reason: str) -> exceptions.JsonRpcInvalidRequest:
    return exceptions.JsonRpcInvalidRequest(reason)


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
