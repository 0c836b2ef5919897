"""Nothing of ours reaches for a network or writes outside our folders, native libraries included.

To see these tests red, set ORT_DISABLE_TELEMETRY to "0" in `foretype.py` and `model/__init__.py`:
onnxruntime then writes a device id and its queue of events below the user's cache. The last test
does that to the bare library in each run, so a watch that no longer sees it is noticed.
"""

import os
import sys
from pathlib import Path

import pytest

from model.runtime_onnx import ONNXRUNTIME_VERSION
from tests.doubles import tiny_folder
from tests.e2e.raw_client import ServerProcess
from tests.e2e.system_calls import Watch, why_not
from tests.histories import general_folder, growing_history
from tests.programs import run_program

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "strace runs"),
]

FORETYPE = [sys.executable, "-m", "foretype"]
URI = "file:///w/a.py"
BUILD_SERVERS = [
    "APPVEYOR", "BUILDKITE", "CI", "CIRCLECI", "CODEBUILD_BUILD_ID", "GITHUB_ACTIONS", "GITLAB_CI",
    "JENKINS_URL", "TEAMCITY_VERSION", "TF_BUILD", "TRAVIS",
]  # fmt: skip
TIMEOUT_S = 240  # a traced import of torch on a busy machine
IMPORT_TRAINING = """
import importlib, pkgutil, sys
sys.argv = ["foretype", "tune", "--help"]
import foretype, training
for module in pkgutil.walk_packages(training.__path__, "training."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import torch
torch.nn.Linear(4, 4)(torch.ones(1, 4)).sum().backward()
from training.pretrain.report import Plot, draw
assert draw("", [Plot("", ("", ""), {"": [(0.0, 1.0)]})])[1]
"""
TUNE = """
import sys
from pathlib import Path
import foretype
from training.finetune import texts, session
from training.finetune.request import TuneOptions, TuneRequest
texts.MIN_TOKENS, session.MAX_BYTES = 1_000, 2_000
repository, base, general = sys.argv[1:]
options = TuneOptions(n_epochs=1, n_tasks=20, general=general)
session.tune(TuneRequest(repository=Path(repository), base=Path(base), options=options))
"""
BARE_LIBRARY = """
import onnxruntime, time
options = onnxruntime.SessionOptions()
time.sleep(1)
"""
BEACON = """
import socket
try:
    socket.create_connection(("collector.example", 80), timeout=60).sendall(b"a device id")
except OSError:
    pass
"""


@pytest.fixture
def watch(tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watches a program whose home is new, and who may write to foretype's folders there only."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)  # the program itself must set it
    for name in BUILD_SERVERS:  # where the library is silent by itself, which would prove nothing
        monkeypatch.delenv(name, raising=False)
    ours = [
        private_home / kind / "foretype" for kind in ("cache", "config", "data", "run", "state")
    ]
    return Watch(tmp_path / "calls", ours)


def assert_silent(watch: Watch, home: Path) -> None:
    assert watch.n_calls() > 50, "the watch saw next to nothing"
    assert watch.violations() == []
    written = [path for path in home.rglob("*") if path.is_file()]
    assert [path for path in written if "foretype" not in path.parts] == []


def run(watch: Watch, *command: str, codes: tuple[int, ...] = (0,)) -> None:
    done = run_program([*watch.prefix, *command], timeout=TIMEOUT_S)
    assert done.returncode in codes, done.stdout + done.stderr


def n_graphs(home: Path) -> int:
    return len(list(home.rglob("*.onnx")))


def test_server_is_silent(watch: Watch, tmp_path: Path, private_home: Path) -> None:
    options = {"model": str(tiny_folder(tmp_path)), "deadline_ms": 60_000, "max_new_tokens": 4}
    with ServerProcess(command=[*watch.prefix, *FORETYPE, "lsp"]) as server:
        server.client.initialize(initializationOptions=options)
        server.client.open(URI, "x = 1\ny")
        server.client.inline(URI, 1, 1)
        status = server.client.call("workspace/executeCommand", {"command": "foretype.status"})
        assert (status["engine"], status["answered"]) == ("ready", 1)
        assert server.finish() == 0
    assert n_graphs(private_home) == 1  # built in this run
    assert_silent(watch, private_home)


def test_complete_and_its_new_graph_are_silent(
    watch: Watch, tmp_path: Path, private_home: Path
) -> None:
    source = tmp_path / "a.py"
    source.write_text("x = 1\ny")
    model = str(tiny_folder(tmp_path))
    command = [*FORETYPE, "complete", f"{source}:2:2", "--model", model]
    run(watch, *command, codes=(0, 1))  # 1: an untrained model has nothing to suggest
    assert n_graphs(private_home) == 1
    assert_silent(watch, private_home)


def test_process_that_stays_is_silent(watch: Watch, tmp_path: Path, private_home: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("x = 1\ny")
    model = str(tiny_folder(tmp_path))
    foretype = f"{sys.executable} -m foretype"
    asks = f"{foretype} complete --warm {source}:2:2 --model {model}"
    run(watch, "sh", "-c", f"{asks}; {asks}; {foretype} purge --yes")
    assert any("complete.socket" in line for line in watch.log.read_text().splitlines())
    assert_silent(watch, private_home)


def test_training_modules_are_silent(watch: Watch, private_home: Path) -> None:
    pytest.importorskip("torch", reason="needs the `train` extra")
    run(watch, sys.executable, "-c", IMPORT_TRAINING)
    assert_silent(watch, private_home)


def test_tuning_is_silent(
    watch: Watch, tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs the `train` extra")
    places = growing_history(tmp_path / "r"), tiny_folder(tmp_path), general_folder(tmp_path / "g")
    temporary = private_home / "run" / "foretype"
    temporary.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(temporary))  # what git is asked goes through files there
    run(watch, sys.executable, "-c", TUNE, *map(str, places))
    assert list((private_home / "data").rglob("result.json"))
    assert_silent(watch, private_home)


@pytest.mark.skipif(
    tuple(map(int, ONNXRUNTIME_VERSION.split(".")[:2])) < (1, 29), reason="carries no telemetry"
)
def test_watch_sees_the_telemetry_of_the_bare_library(watch: Watch) -> None:
    assert "ORT_DISABLE_TELEMETRY" not in os.environ
    run(watch, sys.executable, "-c", BARE_LIBRARY)
    assert any("deviceid" in line for line in watch.violations())


def test_watch_sees_a_name_and_what_is_sent(watch: Watch) -> None:
    run(watch, sys.executable, "-c", BEACON)
    assert any("AF_INET" in line for line in watch.violations())
    if not watch.packets():
        pytest.skip("no network of its own can be made here")
    assert any("collector" in line for line in watch.packets())
    assert any("a device id" in line for line in watch.packets())
