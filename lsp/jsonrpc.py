"""JSON-RPC below the protocol's methods: bodies to JSON values, plain messages to bodies.

What can be said before pygls is imported is said with this. Knows no method and no type of the
language server protocol.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lsp.framing import Malformed, MessageReader


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
            value = json.loads(body)
        except (ValueError, RecursionError) as error:  # broken, numbers too long, nested too deep
            reader.put_back(body)
            value = Malformed(f"not JSON ({type(error).__name__})")
        yield value
