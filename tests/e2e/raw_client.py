"""A language client of a hundred lines that shares no code with the server or with pygls."""

import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema

from tests.programs import ROOT

SCHEMAS = Path(__file__).parent / "schemas"
TIMEOUT_S = 120.0
SCRIPTED = [sys.executable, "-m", "tests.e2e.scripted_server"]


def schema(name: str) -> jsonschema.Draft7Validator:
    table = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(table)


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


class Client:
    """One connection; a thread reads what the server sends."""

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], Any]) -> None:
        self._read = read
        self._write = write
        self._n_requests = 0
        self._replies: dict[Any, queue.Queue[dict[str, Any]]] = {}
        self.others: queue.Queue[dict[str, Any]] = queue.Queue()  # all but replies to requests
        self.reading_error: str | None = None
        self.ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def send_bytes(self, data: bytes) -> None:
        self._write(data)

    def send(self, message: dict[str, Any]) -> None:
        self._write(framed(json.dumps({"jsonrpc": "2.0", **message}).encode()))

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"method": method, "params": params})

    def ask(self, method: str, params: Any = None) -> int:
        """Send a request; its reply is had with `reply`."""
        self._n_requests += 1
        self._replies[self._n_requests] = queue.Queue()
        self.send({"id": self._n_requests, "method": method, "params": params})
        return self._n_requests

    def reply(self, request_id: int, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        return self._replies[request_id].get(timeout=timeout_s)

    def result(self, request_id: int, timeout_s: float = TIMEOUT_S) -> Any:
        reply = self.reply(request_id, timeout_s)
        assert "error" not in reply, reply
        return reply["result"]

    def call(self, method: str, params: Any = None) -> Any:
        return self.result(self.ask(method, params))

    def n_waiting_replies(self, request_id: int) -> int:
        return self._replies[request_id].qsize()

    def initialize(self, encoding: str = "utf-16", **params: Any) -> Any:
        everything = {
            "processId": None,
            "rootUri": "file:///w",
            "capabilities": {
                "general": {"positionEncodings": [encoding]},
                "textDocument": {"inlineCompletion": {}},
            },
            **params,
        }
        schema("InitParams").validate(everything)
        result = self.call("initialize", everything)
        schema("InitResult").validate(result)
        self.notify("initialized", {})
        return result

    def open(self, uri: str, text: str, version: int = 1, language: str = "python") -> None:
        item = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, version: int, *changes: dict[str, Any]) -> None:
        params = {"textDocument": {"uri": uri, "version": version}, "contentChanges": [*changes]}
        self.notify("textDocument/didChange", params)

    def ask_inline(self, uri: str, line: int, character: int, trigger_kind: int = 2) -> int:
        params = {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": character},
            "context": {"triggerKind": trigger_kind},
        }
        schema("ICParams").validate(params)
        return self.ask("textDocument/inlineCompletion", params)

    def inline(self, uri: str, line: int, character: int) -> Any:
        result = self.result(self.ask_inline(uri, line, character))
        schema("ICResult").validate(result)
        return result

    def inline_text(self, uri: str, line: int, character: int) -> str:
        (item,) = self.inline(uri, line, character)["items"]
        return str(item["insertText"])

    def _run(self) -> None:
        buffer = b""
        while True:
            head, separator, rest = buffer.partition(b"\r\n\r\n")
            length = 0
            if separator:
                match = re.fullmatch(rb"Content-Length: (\d+)", head)
                if match is None:
                    self.reading_error = f"not a header: {head[:200]!r}"
                    break
                length = int(match[1])
            if separator and len(rest) >= length:
                self._take(json.loads(rest[:length]))
                buffer = rest[length:]
                continue
            if not (data := self._read(65536)):
                break
            buffer += data
        self.ended.set()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("jsonrpc") != "2.0":
            self.reading_error = f"not a message: {sorted(message)}"
        waiting = self._replies.get(message.get("id")) if "method" not in message else None
        (self.others if waiting is None else waiting).put(message)


class ServerProcess:
    """A server started as an editor starts one."""

    def __init__(
        self,
        *options: str,
        command: list[str] | None = None,
        stderr: int | None = subprocess.DEVNULL,
        cwd: Path = ROOT,
    ) -> None:
        self.process = subprocess.Popen(
            [*(command or SCRIPTED), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=cwd,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        self.client = Client(self._read, self._write)

    def _read(self, n_bytes: int) -> bytes:
        try:
            return os.read(self._out, n_bytes)
        except OSError:  # closed by the test, which is done
            return b""

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def finish(self) -> int:
        """Shut down as the protocol says; return the exit code."""
        assert self.client.call("shutdown") is None
        self.client.notify("exit")
        return self.process.wait(TIMEOUT_S)

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        assert self.client.reading_error is None, self.client.reading_error


def connect(port: int) -> tuple[socket.socket, Client]:
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    return connection, Client(connection.recv, connection.sendall)
