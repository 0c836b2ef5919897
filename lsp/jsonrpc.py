"""JSON-RPC: bodies to messages, answers to bytes, and one reply for every request.

Errors are values sent to the client, never pop-ups; their texts hold nothing of the message.
Knows no method of the language server protocol.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_NOT_INITIALIZED = -32002
REQUEST_CANCELLED = -32800

MessageId = int | float | str

Send = Callable[[dict[str, Any]], None]


class RpcError(Exception):
    """Becomes an error reply; `message_id` is None where none could be read."""

    def __init__(self, code: int, message: str, message_id: MessageId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.message_id = message_id


@dataclass(frozen=True, slots=True)
class Message:
    """A request, or a notification if `id` is None."""

    method: str
    params: Any
    id: MessageId | None = None


class Reply:
    """The one answer to a request: the first of several counts, from whichever thread."""

    def __init__(self, message_id: MessageId, send: Send) -> None:
        self.message_id = message_id
        self._send = send
        self._lock = threading.Lock()
        self._is_sent = False

    @property
    def is_sent(self) -> bool:
        """Whether the client has its answer."""
        return self._is_sent

    def result(self, value: Any) -> bool:
        """Answer with `value`; say whether this was the first answer."""
        return self._once({"result": value})

    def error(self, code: int, message: str) -> bool:
        """Answer with an error; say whether this was the first answer."""
        return self._once({"error": {"code": code, "message": message}})

    def _once(self, outcome: dict[str, Any]) -> bool:
        with self._lock:
            if self._is_sent:
                return False
            self._is_sent = True
        self._send({"id": self.message_id, **outcome})
        return True


def dump(message: Mapping[str, Any]) -> bytes:
    """Return the body of `message`; any string can be sent, lone surrogates too."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode("ascii")


def load(body: bytes) -> Any:
    """Return the JSON value of `body`, or raise RpcError without an id."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # broken, numbers too long, nested too deep
        raise RpcError(PARSE_ERROR, f"not JSON ({type(error).__name__})") from None


def read(value: Any) -> Message | None:
    """Return the message in a JSON value, None if it is an answer to us, or raise RpcError."""
    if not isinstance(value, dict):
        raise RpcError(INVALID_REQUEST, "a message must be an object")
    message_id = value.get("id")
    has_good_id = isinstance(message_id, int | float | str) and not isinstance(message_id, bool)
    if "method" not in value and ("result" in value or "error" in value):
        return None
    method = value.get("method")
    if not isinstance(method, str):
        known_id = message_id if has_good_id else None
        raise RpcError(INVALID_REQUEST, "method must be a string", known_id)
    if "id" in value and not has_good_id:
        raise RpcError(INVALID_REQUEST, "id must be a number or a string")
    return Message(method, value.get("params"), message_id)
