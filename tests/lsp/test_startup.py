"""What starting costs: nothing heavy is imported before `initialize` is answered."""

import sys

import attrs
from lsprotocol import types

from lsp.__main__ import import_lsprotocol
from tests.programs import run_program

# Seconds of imports between them; the protocol's classes alone take longer to build than
# `initialize` may take.
HEAVY = {
    "asyncio",
    "attrs",
    "cattrs",
    "lsprotocol",
    "numpy",
    "onnx",
    "onnxruntime",
    "pygls",
    "safetensors",
    "tiktoken",
    "torch",
    "tree_sitter",
}
GREETING = """
from lsp.__main__ import guard_stdio
import assistant.logs, lsp.__main__
from lsp.fast_initialize import greet
from lsp.framing import MessageReader, dump, frame, values
from lsp.framing import Outbox
from lsp.session import Session

modules = set()

def answer(message):
    modules.update(sys.modules)  # as they are when the client is answered
    outbox.put(message)

class Engine:
    settings = None
    def load(self): pass

import sys
message = frame(dump({"id": 1, "method": "initialize", "params": {"capabilities": {}}}))
pieces = [message]
outbox = Outbox(lambda body: None, lambda: None)
session = Session(outbox.put, open_engine=lambda _: Engine())
first = next(values(MessageReader(lambda _: pieces.pop())))
assert greet(first, session, answer)
outbox.close()
"""


def modules_after(program: str, listed: str = "sys.modules") -> set[str]:
    code = f"{program}\nimport sys\nprint(*{listed})"
    done = run_program([sys.executable, "-c", code], check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_nothing_heavy_before_initialize_is_answered() -> None:
    loaded = modules_after(GREETING, "modules")
    assert "lsp" in loaded
    assert loaded & HEAVY == set()


def test_control_heavy_modules_would_be_seen() -> None:
    assert {"lsprotocol", "pygls", "asyncio"} <= modules_after("import lsp.server")


LEAN = """
from lsp.__main__ import import_lsprotocol
import_lsprotocol()
import attrs
from lsprotocol import types
from lsp.protocol import strict_converter

@attrs.define
class Other:
    text: str

assert Other("x") == Other("x") and "x" in repr(Other("x")), "only lsprotocol is meant"
converter = strict_converter()
table = {"textDocument": {"uri": "u"}, "position": {"line": 1, "character": 2},
         "context": {"triggerKind": 1}}
params = converter.structure(table, types.InlineCompletionParams)
assert converter.unstructure(params) == table
assert types.Position(1, 2) == types.Position(1, 2) < types.Position(1, 3)
assert "secret" not in repr(types.TextDocumentItem("u", "x", 1, "secret"))
try:
    types.Position(-1, 0)
except ValueError:
    print("still checked")
"""


def test_lean_classes_read_write_and_check_as_before() -> None:
    done = run_program([sys.executable, "-c", LEAN], check=True)
    assert done.stdout == "still checked\n"


def test_lean_import_leaves_classes_alone_that_are_there() -> None:
    assert attrs.has(types.TextDocumentItem)
    import_lsprotocol()
    assert types.TextDocumentItem("u", "x", 1, "t") == types.TextDocumentItem("u", "x", 1, "t")
