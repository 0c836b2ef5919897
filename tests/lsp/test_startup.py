"""What starting costs: nothing heavy is imported before `initialize` is answered."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Seconds of imports between them. The protocol classes of lsprotocol alone take longer to build
# than `initialize` may take, which is why lsp works on plain messages and does without them.
HEAVY = {
    "asyncio",
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


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_nothing_heavy_before_initialize_is_answered() -> None:
    loaded = modules_after("import lsp.__main__, lsp.server, assistant.logs")
    assert loaded & HEAVY == set()


def test_control_heavy_modules_would_be_seen() -> None:
    assert "numpy" in modules_after("import numpy")
