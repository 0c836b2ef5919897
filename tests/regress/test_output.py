"""2026-11-29: names with terminal sequences were printed raw; a closed output ended commands.

Cause: every command printed what it was given, and only some knew that a reader may go.
"""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from assistant.cli import complete
from assistant.cli.command import plain_output
from assistant.logs import escape_controls

pytestmark = pytest.mark.skipif(os.name == "nt", reason="names and devices of Unix")

LAUNCHER = str(Path(__file__).parents[2] / "foretype.py")
EVIL = "re\x1b]0;owned\x07po\x9b2J\rname\u202e"
RAW = ("\x1b", "\x07", "\x9b", "\r", "\u202e")


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "status", EVIL),
        ("index", "build", EVIL),
        ("models", "--repository", EVIL),
        ("complete", f"{EVIL}/none.py:1:1"),
        ("setup", EVIL),
        (EVIL,),
    ],
)
def test_no_command_prints_what_a_name_smuggles_in(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / EVIL).mkdir()
    done = subprocess.run(
        [sys.executable, LAUNCHER, *arguments], cwd=tmp_path, capture_output=True, timeout=300
    )
    said = (done.stdout + done.stderr).decode()
    assert "owned" in said
    assert "Traceback" not in said
    assert [mark for mark in RAW if mark in said] == []


def test_a_name_that_is_not_utf_8_ends_no_command(tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    place.mkdir()
    done = subprocess.run(
        [sys.executable, LAUNCHER, "index", "build", place],
        capture_output=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"caf\udce9" in done.stdout


def test_our_own_colours_and_bars_stay() -> None:
    assert escape_controls("\rreading 3 MB\t\x1b[32mok\x1b[0m\n") == (
        "\rreading 3 MB\t\x1b[32mok\x1b[0m\n"
    )
    assert escape_controls("a\rb\x1b[8m") == "a\\rb\\x1b[8m"


def test_what_is_no_text_is_left_alone(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with plain_output():
        sys.stdout.buffer.write(b"\x1b")
        print("\x1b")
    assert capsysbinary.readouterr().out == b"\x1b\\x1b\n"


def run_into(stdout: int, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, LAUNCHER, *arguments],
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )


COMMANDS = [("--help",), ("index", "build", "."), ("purge", "--dry-run")]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_reader_that_has_gone_is_no_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_into(writing, tmp_path, *arguments)
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr and "Broken pipe" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_full_disk_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_into(full.fileno(), tmp_path, *arguments)
    assert done.returncode != 0
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") <= 2 and "Traceback" not in done.stderr


def test_a_suggestion_on_a_terminal_is_escaped_too() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(LAUNCHER).parent)!r})\n"
        "from assistant.cli.command import write\n"
        "from assistant.cli.command import plain_output\n"
        "with plain_output(): write('x\\x1b]0;owned\\x07')\n"
    )
    terminal, end = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", program], stdout=end, check=True, timeout=60)
        assert os.read(terminal, 100) == rb"x\x1b]0;owned\x07"
    finally:
        os.close(terminal)
        os.close(end)


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "said"),
    [
        ("2>&-", ("complete", "none.py:1:1"), 2, ""),  # not as if it were a suggestion
        (">&-", ("index", "status"), 1, ""),
        (">&-", ("models", "--json"), 0, ""),
        ("<&-", ("complete", "-:1:1", "--path", "a.txt"), 1, "nothing to suggest: "),
        ("<&- >&- 2>&-", ("stats",), 0, ""),
    ],
)
def test_what_is_closed_leads_nowhere(
    closed: str, arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, LAUNCHER, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == code
    assert done.stdout + done.stderr == said or (said and done.stderr.startswith(said))


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(LAUNCHER).parent)!r})\n"
        "from foretype import open_standard_streams\n"
        "open_standard_streams()\n"
        "sys.exit(open(sys.executable).fileno())\n"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(command, timeout=60, check=False).returncode > 2


def test_a_suggestion_for_a_dos_file_has_plain_line_ends_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    (tmp_path / "a.py").write_bytes(b"import os\r\nos.pa\r\n")
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    answer = SimpleNamespace(completions=[SimpleNamespace(text="th")])
    monkeypatch.setattr(complete, "_complete", lambda *_: answer)
    with plain_output():
        assert complete.main(["complete", str(tmp_path / "a.py:2:6")]) == 0
    assert shown.getvalue() == "th\n"
