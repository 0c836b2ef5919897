"""`foretype complete --warm`: the same answers by a process that stays, and never by two."""

import _socket
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import warm
from assistant.cli import purge
from assistant.cli.command import plain_output, write
from assistant.cli.warm_server import _Stream
from assistant.doctor import installation
from model.paths import config_folder
from tests.programs import ROOT, run_program
from tests.scripted import speaking_folder
from tests.waiting import wait_for

SOURCE = "def read(path):\n    with open(path) as handle:\n        return hand\n"
PLACE = "sample.py:3:20"
SERVES = "warm_server import serve"
TIMEOUT_S = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets on this system"),
    pytest.mark.skipif(
        not Path("/proc/self/cmdline").exists(), reason="processes are not in /proc"
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def place(
    tmp_path: Path, shared_cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder to work in, with one source file; what was started there ends with the test."""
    monkeypatch.setenv("FORETYPE_MODEL", str(model))
    (tmp_path / "sample.py").write_text(SOURCE)
    yield tmp_path
    for pid in serving():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not serving())


def serving() -> list[int]:
    """Return the processes that answer in this test's folder."""
    folder = warm.runtime_folder()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = SERVES in (path / "cmdline").read_text() and (
                path / "cwd"
            ).readlink() == Path(folder)
        except OSError:
            continue
        found += [int(path.name)] * is_ours
    return found


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "foretype.py"), "complete", *arguments]


def complete(
    place: Path, *arguments: str, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), cwd=place, input=data, capture_output=True, timeout=TIMEOUT_S
    )


def outcome(done: subprocess.CompletedProcess[bytes]) -> tuple[bytes, bytes, int]:
    return done.stdout, done.stderr, done.returncode


CASES: list[tuple[list[str], bytes | None]] = [
    ([PLACE], None),
    (["-:3:20", "--path", "sample.py"], SOURCE.replace("\n", "\r\n").encode()),
    (["sample.py:9:1"], None),
    (["nowhere.py:1:1"], None),
    ([PLACE, "--n", "0"], None),
    ([PLACE, "--model", "nowhere"], None),
    (["--help"], None),
    (["a\udcff.py:1:1", "--path", ""], None),
]


def test_warm_and_cold_say_the_same(place: Path) -> None:
    for arguments, data in CASES:
        warmed = complete(place, "--warm", *arguments, data=data)
        assert outcome(warmed) == outcome(complete(place, *arguments, data=data)), arguments
        assert b"Traceback" not in warmed.stderr
    assert outcome(complete(place, "--warm", PLACE)) == (b"y_mo\n", b"", 0)
    assert len(serving()) == 1


def test_many_at_once_start_one(place: Path) -> None:
    started = [
        subprocess.Popen(command("--warm", PLACE), cwd=place, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=TIMEOUT_S)[0] for process in started] == [b"y_mo\n"] * 4
    assert len(serving()) == 1


def test_killed_one_is_replaced_and_its_socket_too(place: Path) -> None:
    complete(place, "--warm", PLACE)
    (pid,) = serving()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not warm.is_running())
    assert Path(warm.socket_in(warm.runtime_folder())).is_socket()
    assert outcome(complete(place, "--warm", PLACE)) == (b"y_mo\n", b"", 0)
    assert len(serving()) == 1


def test_one_of_another_version_leaves(place: Path) -> None:
    complete(place, "--warm", PLACE)
    (old,) = serving()
    # Another installation asks, one that has no server.
    program = f"from assistant import warm; warm.HERE = 'other'; print(warm.ask([{PLACE!r}]))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
    assert outcome(done) == (b"None\n", b"", 0)
    assert outcome(complete(place, "--warm", PLACE)) == (b"y_mo\n", b"", 0)
    assert old not in serving()


def test_changed_settings_and_models_are_heeded(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shutil.copytree(model, place / "own")
    monkeypatch.setenv("FORETYPE_MODEL", str(own))
    assert complete(place, "--warm", PLACE).stdout == b"y_mo\n"
    settings = config_folder() / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("enabled = false\n")
    off = complete(place, "--warm", PLACE)
    assert (off.stdout, off.returncode) == (b"", 1)
    settings.write_text("enabled = 5\n")
    wrong = complete(place, "--warm", PLACE)
    assert (wrong.stdout, wrong.returncode) == (b"", 2)
    assert b"enabled" in wrong.stderr
    settings.unlink()
    (own / "config.json").write_text("{}")
    damaged = complete(place, "--warm", PLACE)
    assert (damaged.stdout, damaged.returncode) == (b"", 3)
    assert outcome(damaged) == outcome(complete(place, PLACE))
    assert len(serving()) == 1


def test_new_index_is_found(place: Path) -> None:
    (place / "sample.py").write_text("from zoo import hippopotamus_of\n\nhippop\n")
    (place / "other.py").write_text("hippopotamus_of_the_nile(3)\n" * 3)
    where = "sample.py:3:7"
    complete(place, "--warm", where, "--json")
    subprocess.run(
        [sys.executable, str(ROOT / "foretype.py"), "index", "build", str(place)],
        check=True, capture_output=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert outcome(complete(place, "--warm", where)) == outcome(complete(place, where))


def test_files_of_one_name_in_two_folders_stay_apart(place: Path) -> None:
    (place / "two").mkdir()
    (place / "two" / "sample.py").write_text(SOURCE.replace("hand\n", "ha\n"))
    for folder in (place, place / "two", place):
        (name, line, _) = PLACE.split(":")
        column = len((folder / name).read_text().splitlines()[int(line) - 1]) + 1
        at = f"{name}:{line}:{column}"
        assert outcome(complete(folder, "--warm", at)) == outcome(complete(folder, at))


def test_idle_one_leaves_and_takes_its_socket_along(place: Path) -> None:
    path = Path(warm.socket_in(warm.runtime_folder()))
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        program = f"from assistant.cli.{SERVES}; serve({listener.fileno()}, idle_s=0.1)"
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(
            [sys.executable, "-c", program], cwd=path.parent, env=environment,
            pass_fds=[listener.fileno()],
        )  # fmt: skip
    assert server.wait(TIMEOUT_S) == 0
    assert not path.exists()


@pytest.mark.parametrize("kind", ["open to others", "link", "file"])
def test_folder_that_others_reach_is_not_used(place: Path, kind: str) -> None:
    folder = Path(warm.runtime_folder())
    if kind == "link":
        (place / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(place / "elsewhere")
    elif kind == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o755)
    assert outcome(complete(place, "--warm", PLACE)) == (b"y_mo\n", b"", 0)
    assert outcome(complete(place, "--warm", "-:3:20", "--path", "x.py", data=SOURCE.encode())) == (
        b"y_mo\n", b"", 0,
    )  # fmt: skip
    assert not warm.is_running()
    assert serving() == []


def test_socket_is_the_owners_only(place: Path) -> None:
    complete(place, "--warm", PLACE)
    assert Path(warm.runtime_folder()).stat().st_mode & 0o777 == 0o700


def test_answer_that_breaks_off_is_given_here(place: Path) -> None:
    """Who holds the socket says half of an answer, or rubbish."""
    path = Path(warm.socket_in(warm.runtime_folder()))
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        asking = subprocess.Popen(command("--warm", PLACE), cwd=place, stdout=subprocess.PIPE)
        connection, _ = listener.accept()
        with connection:
            while connection.recv(1 << 16):
                pass
            connection.sendall(b"0 100 0\ny_m")
        assert asking.communicate(timeout=TIMEOUT_S)[0] == b"y_mo\n"


def test_doctor_and_purge_know_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert installation.warm_process().found.startswith("no process waits")
    complete(place, "--warm", PLACE)
    assert installation.warm_process().found.startswith("a process waits")
    assert purge.main(["--yes"]) == 0
    assert "`complete --warm`; it ends" in capsys.readouterr().out
    wait_for(lambda: not serving())
    assert not Path(warm.runtime_folder()).exists()


def test_system_without_such_sockets_answers_itself(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(_socket, "AF_UNIX")
    assert warm.ask([PLACE]) is None
    assert not warm.is_running()
    warm.leave()
    assert "on this system" in installation.warm_process().found


def test_terminal_of_who_asks_is_shown_no_control_characters() -> None:
    out = _Stream("utf-8", is_terminal=True)
    with contextlib.redirect_stdout(out), plain_output():
        write("x\x1b]0;owned\x07")
    assert out.written() == rb"x\x1b]0;owned\x07"


def test_asking_imports_nothing_that_takes_time() -> None:
    heavy = (
        "numpy",
        "onnxruntime",
        "argparse",
        "collections",
        "json",
        "logging",
        "re",
        "socket",
        "typing",
    )
    program = (
        f"import sys, foretype, assistant.warm; print([n for n in {heavy} if n in sys.modules])"
    )
    done = run_program([sys.executable, "-S", "-c", program])
    assert (done.stdout, done.stderr) == ("[]\n", "")
