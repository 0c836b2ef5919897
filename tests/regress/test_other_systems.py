"""2026-11-30: what would have gone wrong on Windows and macOS, found by reading line by line.

Causes: what only their systems do differently (a git that is none, names, locks on open files,
another word for a closed pipe, line ends) was met nowhere. Each is played here by a double.
"""

import errno
import io
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import foretype
from assistant.cli.command import run_command
from assistant.git import GitError, git, has_git
from assistant.index.files import list_files
from assistant.logs import FILE_BYTES, configure
from model.files import UnreadableFileError, read_regular
from tests.programs import ROOT
from tests.repositories import new_repository

pytestmark = pytest.mark.skipif(os.name == "nt", reason="plays Windows elsewhere")


@pytest.mark.parametrize("has_tools", [True, False])
def test_a_git_that_only_offers_to_install_one_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_tools: bool
) -> None:
    """macOS without Apple's tools: each run opens a window."""
    root = new_repository(tmp_path / "r", {"a.py": "a = 1\n"})
    monkeypatch.setattr("assistant.git._APPLES", shutil.which("git"))
    monkeypatch.setattr("assistant.git._HAS_TOOLS", ["true" if has_tools else "false"])
    assert has_git() == has_tools
    assert set(list_files(root)) == {"a.py"}  # by looking, where there is none
    if not has_tools:
        with pytest.raises(GitError, match="there is none"):
            git(root, "log")


def test_a_name_that_windows_refuses_to_decode_costs_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "a = 1\n"})
    (root / os.fsdecode(b"caf\xe9.py")).write_text("b = 1\n")

    def decode(name: str | bytes) -> str:
        return name if isinstance(name, str) else name.decode("utf-8", "surrogatepass")

    monkeypatch.setattr(os, "fsdecode", decode)
    assert "a.py" in list_files(root)


def test_a_name_in_another_case_is_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows opens `A.py` as `a.py`, and says that it is called so."""
    (tmp_path / "A.py").write_text("a = 1\n")
    realpath = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: realpath(path).replace("A.py", "a.py"))
    with pytest.raises(UnreadableFileError, match="behind a symbolic link"):
        read_regular(tmp_path / "A.py", 100, inside=tmp_path)
    monkeypatch.setattr(os.path, "normcase", lambda path: os.fspath(path).lower())
    assert read_regular(tmp_path / "A.py", 100, inside=tmp_path) == b"a = 1\n"


class _ClosedPipe(io.StringIO):
    """Standard output on Windows, once its reader has gone."""

    def flush(self) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.parametrize(("is_windows", "code"), [(True, 0), (False, 1)])
def test_a_reader_that_has_gone_is_no_error_on_windows(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], is_windows: bool, code: int
) -> None:
    def work() -> int:
        _ClosedPipe().flush()
        return 0

    monkeypatch.setattr(foretype, "leave_user_code_out", lambda: None)
    monkeypatch.setattr(foretype, "dispatch", lambda _: run_command("stats", work))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr("assistant.cli.command.ON_WINDOWS", is_windows)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    assert foretype.main([]) == code
    assert ("Invalid argument" in capfd.readouterr().err) != is_windows


def test_a_full_log_that_another_server_has_open_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows nobody can rename it: not one more line was written."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(os, "rename", refuse)
    path, log = tmp_path / "a.log", logging.getLogger("assistant.test")
    path.write_bytes(b"x" * FILE_BYTES)
    with configure(str(path), 1):
        log.info("one")
        log.info("two")

    def said() -> list[str]:  # closing waits for half a second, the writer of a busy machine longer
        return [line.split()[-1] for line in path.read_text().splitlines()]

    end = time.monotonic() + 60
    while said() != ["one", "two"] and time.monotonic() < end:
        time.sleep(0.05)
    assert said() == ["one", "two"]


def test_a_checkout_on_windows_has_the_bytes_of_the_models(tmp_path: Path) -> None:
    """Git for Windows writes CRLF unless it is told otherwise: no hash of a model would fit."""
    name = "tokenizer.json"
    files = {name: "{\n}\n", ".gitattributes": (ROOT / ".gitattributes").read_text("utf-8")}
    root = new_repository(tmp_path / "r", files)
    clone = ["git", "clone", "--quiet", "-c", "core.autocrlf=true", str(root), str(tmp_path / "c")]
    subprocess.run(clone, check=True)
    assert (tmp_path / "c" / name).read_bytes() == b"{\n}\n"
