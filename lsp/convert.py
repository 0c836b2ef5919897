"""Between the protocol's values and the assistant's: snapshots to requests, suggestions to items.

Every item gets a range on the cursor's line, inside the document that the client has: an editor
puts in text without one by its own guess, and one outside the buffer is an error in the user's
face. "Nothing to offer" is an empty list, never null, which would leave an old suggestion showing.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from assistant.completion import Completion, CompletionRequest
from lsp.documents import Snapshot
from lsp.positions import Encoding, units_of

LABEL_CHARS = 80  # of a menu entry
OUTSIDE_PARTS = 3  # path components kept of a file outside every workspace folder
_KIND_TEXT = 1  # CompletionItemKind.Text
_PLAIN_TEXT = 1  # InsertTextFormat.PlainText


def request_of(
    snapshot: Snapshot, *, roots: Sequence[str], deadline_ms: int, n: int = 1
) -> CompletionRequest:
    """Return what the engine is asked."""
    return CompletionRequest(
        path=path_of(snapshot.uri, roots),
        text=snapshot.text,
        offset=snapshot.offset,
        language=snapshot.language,
        n=n,
        deadline_ms=deadline_ms,
    )


def path_of(uri: str, roots: Sequence[str]) -> str:
    """Return the path that the model is told: relative to a workspace folder, else its end.

    >>> path_of("file:///w/my%20app/x.py", ["file:///w"])
    'my app/x.py'
    >>> path_of("untitled:Untitled-1", [])
    'Untitled-1'
    """
    path = _decoded(uri)
    inside = [root for root in map(_decoded, roots) if path.startswith(root.rstrip("/") + "/")]
    if inside:
        return path[len(max(inside, key=len).rstrip("/")) + 1 :]
    return "/".join([part for part in path.split("/") if part][-OUTSIDE_PARTS:])


def inline_list(
    snapshot: Snapshot, completions: Sequence[Completion], encoding: Encoding
) -> dict[str, Any]:
    """Return the result of textDocument/inlineCompletion."""
    return {
        "items": [
            {
                "insertText": _own_line_ends(completion.text, snapshot),
                "range": _range(snapshot, completion, encoding),
            }
            for completion in completions
        ]
    }


def menu_list(
    snapshot: Snapshot, completions: Sequence[Completion], encoding: Encoding
) -> dict[str, Any]:
    """Return the same suggestions as the result of textDocument/completion."""
    items = []
    for rank, completion in enumerate(completions):
        text = _own_line_ends(completion.text, snapshot)
        items.append(
            {
                "label": completion.text.strip().partition("\n")[0][:LABEL_CHARS],
                "kind": _KIND_TEXT,
                "detail": "foretype",
                "documentation": completion.text,
                "filterText": completion.text,
                "sortText": f"{rank:04}",
                "insertTextFormat": _PLAIN_TEXT,
                "textEdit": {"range": _range(snapshot, completion, encoding), "newText": text},
            }
        )
    return {"isIncomplete": True, "items": items}


def _range(snapshot: Snapshot, completion: Completion, encoding: Encoding) -> dict[str, Any]:
    line_start = snapshot.offset - snapshot.column
    start = min(max(completion.start - line_start, 0), snapshot.column)
    end = min(max(completion.end - line_start, snapshot.column), len(snapshot.line))
    return {
        "start": {"line": snapshot.row, "character": units_of(snapshot.line, start, encoding)},
        "end": {"line": snapshot.row, "character": units_of(snapshot.line, end, encoding)},
    }


def _own_line_ends(text: str, snapshot: Snapshot) -> str:
    return text if snapshot.eol == "\n" else text.replace("\n", snapshot.eol)


def _decoded(uri: str) -> str:
    """Return the path of `uri`, percent signs decoded."""
    scheme, separator, rest = uri.partition(":")
    if not separator or len(scheme) == 1:  # a plain path, on Windows too
        return uri.replace("\\", "/")
    if rest.startswith("//"):
        rest = "/" + rest[2:].partition("/")[2]
    return unquote(rest.partition("#")[0].partition("?")[0])
