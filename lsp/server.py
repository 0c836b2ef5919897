"""The language server: dispatches messages, answers every request once, starts and ends.

One thread reads and handles messages in order, each instantly; completions run on the scheduler's
worker, writing on the outbox's thread. `initialize` is answered before anything heavy is imported.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from lsp import convert
from lsp.framing import Malformed, Reader
from lsp.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_NOT_INITIALIZED,
    Message,
    Reply,
    RpcError,
    load,
    read,
)
from lsp.outbox import Outbox
from lsp.params import BadParamsError, member, optional, position_at, text_at
from lsp.positions import choose_encoding
from lsp.scheduler import Completer, Job, Scheduler, describe
from lsp.settings import ClientSettings
from lsp.stdio import Channel
from lsp.watch import POLL_S, watch
from lsp.workspace import Workspace

STOP_S = 0.5  # granted to the worker's token and to the last replies at the end
STATUS_COMMAND = "foretype.status"
_INCREMENTAL = 2  # TextDocumentSyncKind.Incremental
_WARNING = 2  # MessageType.Warning

log = logging.getLogger(__name__)

OpenEngine = Callable[[Any], Completer]  # of the settings


def create_server(
    engine: Completer | None = None,
    *,
    on_lost: Callable[[], None] = lambda: os._exit(1),
    poll_s: float = POLL_S,
) -> "Server":
    """Return a server for one client, with `engine` or the one that the settings describe.

    `on_lost` is called, on another thread, when the client is gone while the reader still waits.
    """
    return Server(lambda settings: engine or _open_engine(settings), on_lost, poll_s)


def _open_engine(settings: Any) -> Completer:
    from assistant.engine import Engine  # imports the runtime: after `initialize` is answered

    return Engine(settings)


class Server:
    """Speaks with one client from `initialize` to `exit`."""

    def __init__(self, open_engine: OpenEngine, on_lost: Callable[[], None], poll_s: float) -> None:
        self._open_engine = open_engine
        self._on_lost = on_lost
        self._poll_s = poll_s
        self._workspace = Workspace()
        self._settings = ClientSettings(self._warn)
        self._scheduler = Scheduler(self._report)
        self._outbox: Outbox
        self._engine_state = "not loaded"
        self._is_initialized = False
        self._is_shut_down = False
        self._is_exiting = False
        self._warned: set[str] = set()
        self._held: list[dict[str, Any]] = []  # to be shown once `initialize` is answered
        self._requests: dict[str, Callable[[Any, Reply], None]] = {
            "initialize": self._initialize,
            "shutdown": self._shut_down,
            "textDocument/inlineCompletion": self._complete_inline,
            "textDocument/completion": self._complete_menu,
            "workspace/executeCommand": self._execute,
        }
        self._notifications: dict[str, Callable[[Any], None]] = {
            "textDocument/didOpen": lambda params: self._outdate(self._workspace.open(params)),
            "textDocument/didChange": self._change,
            "textDocument/didClose": lambda params: self._outdate(self._workspace.close(params)),
            "workspace/didChangeWorkspaceFolders": self._workspace.change_roots,
            "workspace/didChangeConfiguration": self._configure,
            "$/cancelRequest": lambda params: self._scheduler.cancel(member(params, "id")),
        }

    def serve(self, channel: Channel) -> int:
        """Handle messages until `exit` or the end of input; return the exit code."""
        self._outbox = Outbox(channel.write, self._on_lost)
        reader = Reader(channel.read)
        while not self._is_exiting and (body := reader.next()) is not None:
            self._receive(reader, body)
        self._scheduler.stop(STOP_S)
        self._outbox.close(STOP_S)
        channel.close()
        return self.exit_code

    @property
    def exit_code(self) -> int:
        """What the protocol asks for: 0 if `shutdown` came before the end, 1 otherwise."""
        return 0 if self._is_shut_down else 1

    # --- messages

    def _receive(self, reader: Reader, body: bytes | Malformed) -> None:
        if isinstance(body, Malformed):
            self._refuse(RpcError(PARSE_ERROR, body.reason))
            return
        try:
            value = load(body)
        except RpcError as error:
            reader.put_back(body)
            self._refuse(error)
            return
        if isinstance(value, list) and value:
            for part in value:
                self._refuse_part(part)
            return
        try:
            message = read(value)
        except RpcError as error:
            self._refuse(error)
            return
        if message is not None:
            self._dispatch(message)

    def _refuse_part(self, part: Any) -> None:
        """Refuse one message of a batch, which the protocol does not have, under its own id."""
        try:
            message = read(part)
        except RpcError as error:
            self._refuse(error)
            return
        if message is not None and message.id is not None:
            self._refuse(RpcError(INVALID_REQUEST, "batches are not supported", message.id))

    def _refuse(self, error: RpcError) -> None:
        log.warning("bad message: %s", error.message)
        self._outbox.put(
            {"id": error.message_id, "error": {"code": error.code, "message": error.message}}
        )

    def _dispatch(self, message: Message) -> None:
        if message.id is None:
            self._notify(message)
            return
        reply = Reply(message.id, self._outbox.put)
        try:
            self._request(message, reply)
        except BadParamsError as error:
            self._decline(reply, INVALID_PARAMS, str(error))
        except Exception as error:  # noqa: BLE001  the border: the client is owed a reply
            self._decline(reply, INTERNAL_ERROR, describe(error))

    def _request(self, message: Message, reply: Reply) -> None:
        handler = self._requests.get(message.method)
        if self._is_shut_down:
            self._decline(reply, INVALID_REQUEST, "the server is shutting down")
        elif not self._is_initialized and message.method != "initialize":
            self._decline(reply, SERVER_NOT_INITIALIZED, "initialize comes first")
        elif handler is None:
            self._decline(reply, METHOD_NOT_FOUND, "unknown method")
        else:
            handler(message.params, reply)

    def _decline(self, reply: Reply, code: int, reason: str) -> None:
        if reply.error(code, reason):
            log.warning("request refused: %s", reason)

    def _notify(self, message: Message) -> None:
        if message.method == "exit":
            self._is_exiting = True
        handler = self._notifications.get(message.method)
        if handler is None or not self._is_initialized or self._is_shut_down:
            return
        try:
            handler(message.params)
        except BadParamsError as error:
            log.warning("%s ignored: %s", message.method, error)
        except Exception as error:  # noqa: BLE001  the border: one bad message is one log line
            log.warning("%s failed: %s", message.method, describe(error))

    # --- life

    def _initialize(self, params: Any, reply: Reply) -> None:
        if self._is_initialized:
            self._decline(reply, INVALID_REQUEST, "initialize was already sent")
            return
        offered = optional(params, "capabilities", "general", "positionEncodings")
        self._workspace.encoding = choose_encoding(offered)
        self._workspace.read_roots(params)
        self._settings.initialize(optional(params, "initializationOptions"))
        reply.result({"capabilities": self._capabilities(), "serverInfo": {"name": "foretype"}})
        self._is_initialized = True
        for message in self._held:
            self._outbox.put(message)
        pid = optional(params, "processId")
        if type(pid) is int and pid > 0 and not watch(pid, self._on_lost, poll_s=self._poll_s):
            log.warning("the client's process cannot be seen from here; not watching it")
        threading.Thread(target=self._load, name="engine-load", daemon=True).start()

    def _capabilities(self) -> dict[str, Any]:
        # inlineCompletion is offered to every client: lsp-mode uses it without announcing it.
        capabilities: dict[str, Any] = {
            "positionEncoding": self._workspace.encoding,
            "textDocumentSync": {"openClose": True, "change": _INCREMENTAL},
            "inlineCompletionProvider": {},
            "executeCommandProvider": {"commands": [STATUS_COMMAND]},
            "workspace": {"workspaceFolders": {"supported": True, "changeNotifications": True}},
        }
        if self._settings.current.menu_completion:
            capabilities["completionProvider"] = {}
        return capabilities

    def _load(self) -> None:
        self._engine_state = "loading"
        started_s = time.monotonic()
        try:
            engine = self._open_engine(self._settings.current)
            engine.load()
        except Exception as error:  # noqa: BLE001  the server lives on and says why it is silent
            self._engine_state = "failed"
            log.error("the model cannot be used: %s", describe(error))  # noqa: TRY400
            self._scheduler.use(None)
            self._report(error)
            return
        self._engine_state = "ready"
        self._scheduler.use(engine)
        self._scheduler.configure(self._settings.current)  # may have changed while it loaded
        log.info("model loaded in %.0f ms", 1000 * (time.monotonic() - started_s))

    def _shut_down(self, params: Any, reply: Reply) -> None:
        self._is_shut_down = True
        self._scheduler.stop(0.0)
        reply.result(None)

    # --- documents and settings

    def _change(self, params: Any) -> None:
        try:
            self._workspace.change(params)
        finally:
            uri = optional(params, "textDocument", "uri")
            if isinstance(uri, str):
                self._outdate(uri)

    def _outdate(self, uri: str) -> None:
        self._scheduler.outdate(uri)

    def _configure(self, params: Any) -> None:
        self._settings.change(optional(params, "settings"))
        self._scheduler.configure(self._settings.current)

    # --- requests

    def _complete_inline(self, params: Any, reply: Reply) -> None:
        self._complete("inline", params, reply)

    def _complete_menu(self, params: Any, reply: Reply) -> None:
        self._complete("menu", params, reply)

    def _complete(self, kind: str, params: Any, reply: Reply) -> None:
        uri = text_at(params, "textDocument", "uri")
        position = position_at(params, "position")
        settings = self._settings.current
        document = self._workspace.completable(uri)
        is_off = not settings.enabled or (kind == "menu" and not settings.menu_completion)
        if document is None or is_off:
            reply.result({"items": []} if kind == "inline" else [])
            return
        encoding = self._workspace.encoding
        snapshot = document.snapshot(position, encoding)
        render = convert.inline_list if kind == "inline" else convert.menu_list
        self._scheduler.submit(
            Job(
                key=(kind, uri),
                uri=uri,
                request=convert.request_of(
                    snapshot, roots=self._workspace.roots, deadline_ms=settings.deadline_ms
                ),
                reply=reply,
                render=lambda completions: render(snapshot, completions, encoding),
            )
        )

    def _execute(self, params: Any, reply: Reply) -> None:
        if text_at(params, "command") != STATUS_COMMAND:
            raise BadParamsError(f"command must be {STATUS_COMMAND}")
        reply.result(
            {
                "engine": self._engine_state,
                "enabled": self._settings.current.enabled,
                "documents": len(self._workspace.documents),
                "answered": self._scheduler.n_answered,
                "positionEncoding": self._workspace.encoding,
            }
        )

    # --- the user

    def _report(self, error: Exception) -> None:
        """Tell the user of what they can mend, once per kind."""
        from assistant.errors import AssistantError

        if isinstance(error, AssistantError):
            self._warn(type(error).__name__, str(error))

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("told the user of a wrong %s", kind)
            params = {"type": _WARNING, "message": f"foretype: {text}"}
            message = {"method": "window/showMessage", "params": params}
            if self._is_initialized:
                self._outbox.put(message)
            else:
                self._held.append(message)
