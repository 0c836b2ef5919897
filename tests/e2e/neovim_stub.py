"""A language server with known answers, so that the Neovim module can be tested key by key.

Speaks just enough raw JSON-RPC on stdio. It offers `foobar(a, b)` after an equals sign, a second
choice beside it when asked by hand, `left, right)` over an auto-closed bracket after `pair(`, three
lines over one after `lines(`, and text with tabs after `tabs`.
"""

import json
import sys
from typing import Any

CHOICES = ("foobar(a, b)", "second_choice")
BRACKETED = {"pair(": "left, right)", "lines(": "a,\n  b,\n  c)"}  # after an opening
TABBED = "\t= 1\n\tif x:\n\t\ty\t= 2"
WORDS = "not sure enough (1%, shown from 2%)"


def read_message() -> dict[str, Any] | None:
    length = 0
    while (line := sys.stdin.buffer.readline()) not in (b"\r\n", b""):
        key, _, value = line.decode("ascii").partition(":")
        if key.lower() == "content-length":
            length = int(value)
    return json.loads(sys.stdin.buffer.read(length)) if length else None


def send(message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    sys.stdout.buffer.flush()


def items_at(line: str, number: int, character: int, is_invoked: bool) -> list[dict[str, Any]]:
    """Offers for a cursor; `character` counts UTF-16 units, here the same as characters."""
    before, after = line[:character], line[character:]
    if opening := next((text for text in BRACKETED if text in before), None):
        start = before.index(opening) + len(opening)
        texts, end = [BRACKETED[opening]], character + after.startswith(")")
    elif "= " in before:
        start = before.index("= ") + 2
        texts, end = list(CHOICES if is_invoked else CHOICES[:1]), character
    elif before == "\ttabs":
        start, texts, end = character, [TABBED], character
    else:
        return []
    place = {
        "start": {"line": number, "character": start},
        "end": {"line": number, "character": end},
    }
    typed = before[start:]
    return [{"insertText": text, "range": place} for text in texts if text.startswith(typed)]


def serve() -> None:
    lines: list[str] = []
    while (message := read_message()) is not None and message["method"] != "exit":
        method, parameters = message["method"], message.get("params")
        answer: Any = None
        if method == "initialize":
            abilities = {"textDocumentSync": 1, "inlineCompletionProvider": {}}
            answer = {"capabilities": {**abilities, "positionEncoding": "utf-16"}}
        elif method == "textDocument/didOpen":
            lines = parameters["textDocument"]["text"].split("\n")
        elif method == "textDocument/didChange":
            lines = parameters["contentChanges"][-1]["text"].split("\n")
        elif method == "textDocument/inlineCompletion":
            position = parameters["position"]
            number = position["line"]
            is_invoked = parameters["context"]["triggerKind"] == 1
            items = items_at(lines[number], number, position["character"], is_invoked)
            answer = {"items": items}
        elif method == "workspace/executeCommand":
            is_why = parameters["command"] == "foretype.why"
            answer = {"words": WORDS} if is_why else {"engine": "ready"}
        if "id" in message:
            send({"id": message["id"], "result": answer})


if __name__ == "__main__":
    serve()
