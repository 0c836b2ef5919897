"""Shared guards: no test sees the developer's home or settings, and none reaches a network."""

import dataclasses
import ipaddress
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from model import folder as model_folder
from tests.doubles import tiny_info

# CI judges a change, not a draw: the same examples each time. Elsewhere each run tries new ones.
# No example is too slow: how busy a machine is, is nobody's fault.
settings.register_profile(
    "ours",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("ours")

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports onnxruntime

HOME_VARIABLES = {
    "HOME": "home",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_RUNTIME_DIR": "run",
    "XDG_STATE_HOME": "state",
}


THREADS_END_S = 10.0  # granted after a test, on a busy machine too


class NetworkUsedError(AssertionError):
    """A test tried to leave this machine."""


def _refuse_remote_addresses(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: sockets may connect to loopback and to local paths only."""
    if event != "socket.connect":
        return
    address = arguments[1]
    if not isinstance(address, tuple) or address[0] in ("", "localhost"):
        return
    try:
        is_local = ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise NetworkUsedError(f"a test connected to {address!r}")


sys.addaudithook(_refuse_remote_addresses)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of fresh folders by a count: to look for a free one takes longer with each test."""
    place = tmp_path_factory.mktemp("private")
    return (place / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def private_home(_homes: Iterator[Path]) -> Iterator[Path]:
    """Home, settings, caches and state in a fresh folder; children inherit it."""
    place = next(_homes)
    place.mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as environment:
        for variable, folder in HOME_VARIABLES.items():
            (place / folder).mkdir()
            environment.setenv(variable, str(place / folder))
        for variable in [name for name in os.environ if name.startswith("FORETYPE_")]:
            environment.delenv(variable)
        environment.delenv("PYTHONPATH", raising=False)
        yield place


OF_LIBRARIES = ("tqdm_monitor",)  # threads that live as long as the process, not ours


class ThreadLeftError(AssertionError):
    """A test has ended, and a thread that it started has not."""


@pytest.fixture(autouse=True)
def _no_thread_is_left(private_home: Path) -> Iterator[None]:
    """Fail a test whose threads go on: in the next one they would meet other folders and settings.

    Whoever closes what a test opened need not wait, so the threads get a while to end.
    """
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + THREADS_END_S
    started = [thread for thread in threading.enumerate() if thread.name not in OF_LIBRARIES]
    for thread in set(started) - before:
        thread.join(max(0.0, end - time.monotonic()))
    left = [thread.name for thread in started if thread.is_alive() and thread not in before]
    if left:
        raise ThreadLeftError(f"still running: {', '.join(sorted(left))}")


@pytest.fixture(scope="session")
def _shared_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the run, whichever worker asks: writers of a graph do not disturb others."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder = place / "shared-cache"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


@pytest.fixture
def shared_cache(
    private_home: Path, _shared_cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """One artefact cache for the run: the bundled model is quantised once. Not to be damaged."""
    monkeypatch.setenv("FORETYPE_CACHE", str(_shared_cache_folder))
    return _shared_cache_folder


@pytest.fixture
def two_bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of two bundled models, of which there is only what they say of themselves."""
    place = tmp_path / "bundled"
    for name, languages in (("python", ["python"]), ("polyglot", ["python", "go", "rust"])):
        info = dataclasses.replace(tiny_info(), languages=tuple(languages))
        (place / name).mkdir(parents=True)
        (place / name / "foretype.json").write_text(json.dumps(dataclasses.asdict(info)))
    model_folder.bundled_for.cache_clear()
    monkeypatch.setattr(model_folder, "BUNDLED", place / "python")
    yield place
    model_folder.bundled_for.cache_clear()
