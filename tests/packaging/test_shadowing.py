"""A server started inside a repository that has modules named like ours still runs ours.

Not defended where the script `foretype` or `python -m` starts it: modules that Python itself or a
`foretype.py` on PYTHONPATH brings in before our first line runs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.installs import ROOT, install
from tests.programs import run_program

pytest.importorskip("hatchling", reason="hatchling is not installed")
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FOREIGN_PACKAGES = ("model", "lsp", "training", "assistant")
FOREIGN_MODULES = (
    "tokenize",
    "json",
    "logging",
    "random",
    "statistics",
    "numpy",
    "typing_extensions",
)
TRAP = """\
import os
with open(os.path.join(os.path.dirname(os.path.abspath({path!r})), "imported.txt"), "a") as file:
    file.write({name!r} + "\\n")
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A repository whose modules note that they were imported."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in FOREIGN_MODULES:
        path = folder / f"{name}.py"
        path.write_text(TRAP.format(path=str(path), name=name))
    for name in FOREIGN_PACKAGES:
        (folder / name).mkdir()
        path = folder / f"{name}.py"
        text = TRAP.format(path=str(path), name=name)
        for module in ("__init__", "__main__", "config", "engine", "server", "cli"):
            (folder / name / f"{module}.py").write_text(text)
    return folder


@pytest.fixture(scope="module", params=["wheel", "editable"])
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "editable":
        return install(["--editable", str(ROOT)], folder / "installed")
    return install([str(request.getfixturevalue("wheel"))], folder / "installed")


def frame(message: dict[str, Any]) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def answers(output: bytes) -> dict[int, dict[str, Any]]:
    """Responses by id."""
    found = {}
    while output:
        header, _, output = output.partition(b"\r\n\r\n")
        length = int(header.lower().partition(b"content-length:")[2].split()[0])
        message = json.loads(output[:length])
        output = output[length:]
        if "method" not in message:
            found[message["id"]] = message
    return found


def conversation(workspace: Path) -> bytes:
    """One document, one completion, a clean end."""
    uri = (workspace / "file.py").as_uri()
    document = {"uri": uri, "languageId": "python", "version": 1, "text": "x = 1\ny = "}
    ask = {
        "textDocument": {"uri": uri},
        "position": {"line": 1, "character": 4},
        "context": {"triggerKind": 2},
    }
    start = {"processId": None, "rootUri": workspace.as_uri(), "capabilities": {}}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": start},
        {"method": "initialized", "params": {}},
        {"method": "textDocument/didOpen", "params": {"textDocument": document}},
        {"id": 2, "method": "textDocument/inlineCompletion", "params": ask},
        {"id": 3, "method": "shutdown"},
        {"method": "exit"},
    ]
    return b"".join(map(frame, messages))


def start_commands(programs: Path) -> list[list[str]]:
    # `python -m` itself puts the working directory on the path.
    return [[str(programs / "foretype")], [str(programs / "python"), "-m", "foretype"]]


@pytest.mark.parametrize("way", ["console script", "python -m"])
def test_server_in_a_hostile_repository_runs_our_code(
    programs: Path, hostile: Path, way: str
) -> None:
    command = start_commands(programs)[way == "python -m"]
    done = subprocess.run(
        [*command, "lsp"],
        input=conversation(hostile),
        capture_output=True,
        timeout=120,
        cwd=hostile,
        env={**os.environ, "PYTHONPATH": "."},
    )
    said = done.stderr.decode("utf-8", "replace")
    marker = hostile / "imported.txt"
    assert not marker.exists(), marker.read_text()
    found = answers(done.stdout)
    assert sorted(found) == [1, 2, 3], said
    assert "inlineCompletionProvider" in found[1]["result"]["capabilities"], said
    assert done.returncode == 0, said


def test_completion_in_a_hostile_repository_runs_our_code(programs: Path, hostile: Path) -> None:
    (hostile / "file.py").write_text("x = 1\ny = \n")
    done = run_program(
        [str(programs / "foretype"), "complete", "--model", "no-such-folder", "file.py:2:5"],
        timeout=120,
        cwd=hostile,
        env={**os.environ, "PYTHONPATH": "."},
    )
    marker = hostile / "imported.txt"
    assert not marker.exists(), marker.read_text()
    assert done.returncode != 0
    assert "no-such-folder" in done.stderr


def test_the_traps_do_catch(hostile: Path) -> None:
    subprocess.run([sys.executable, "-c", "import model"], cwd=hostile, check=True)
    assert (hostile / "imported.txt").read_text() == "model\n"
