"""JSON-RPC below the protocol's methods: bodies to JSON values, plain messages to bodies.

What can be said before pygls is imported is said with this. Knows no method and no type of the
language server protocol.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lsp.framing import Malformed, MessageReader

_HEAD_BYTES = 1_024
_ID = re.compile(rb'"id"\s*:\s*(-?\d{1,15}|"(?:[^"\\]|\\.){0,200}")\s*,')


def dump(message: Mapping[str, Any]) -> bytes:
    """Return the body of `message`; any string can be sent, lone surrogates too."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode("ascii")


def values(reader: MessageReader) -> Iterator[Any]:
    """Yield the JSON value of each body, or a Malformed where there is none, until the end."""
    while (body := reader.next()) is not None:
        if isinstance(body, Malformed):
            yield body
            continue
        try:
            value = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:  # broken, numbers too long, nested too deep
            reader.put_back(body)
            value = Malformed(f"not JSON ({type(error).__name__})", body)
        yield value


def find_id(body: bytes) -> int | str | None:
    """Return the id of a request that cannot be read, where it stands before the parameters.

    Anywhere, if only a constant such as NaN is no JSON.
    """
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(body)
        if isinstance(value, dict) and "method" in value and type(value.get("id")) in (int, str):
            return value["id"]  # type: ignore[no-any-return]
    head = body[:_HEAD_BYTES].partition(b'"params"')[0]
    match = _ID.search(head)
    if match is None or b'"method"' not in head:
        return None
    try:
        found: int | str = json.loads(match[1])
    except ValueError:
        return None
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
