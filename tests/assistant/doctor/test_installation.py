"""What the doctor says of Python, libraries, processor, command, git and settings."""

import platform
import sys
from pathlib import Path

import pytest

from assistant.doctor import installation
from assistant.setup.machine import Machine


def test_python_is_named() -> None:
    finding = installation.python()
    assert (finding.state, finding.fix) == ("ok", "")
    assert sys.executable in finding.found


def test_small_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    finding = installation.python()
    assert finding.state == "broken"
    assert "64-bit" in finding.fix


def test_libraries_are_imported() -> None:
    finding = installation.libraries()
    assert finding.state == "ok"
    assert "onnxruntime" in finding.found


def test_library_that_cannot_be_imported_is_named() -> None:
    finding = installation.libraries(["json", "no_such_library"])
    assert finding.state == "broken"
    assert "no_such_library (ModuleNotFoundError" in finding.found
    assert "pipx install --force ." in finding.fix


@pytest.mark.parametrize(
    ("flags", "state", "found"),
    [
        ("fpu avx2 avx512bw avx512_vnni", "ok", "2 x x86_64"),
        ("fpu sse4_2", "warning", "without AVX2"),
    ],
)
def test_processor_features_are_read(
    flags: str, state: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    info = tmp_path / "cpuinfo"
    info.write_text("".join(f"processor\t: {n}\nflags\t\t: {flags}\n\n" for n in range(2)))
    finding = installation.processor(info)
    assert finding.state == state
    assert found in finding.found


def test_processor_that_cannot_be_asked_is_no_fault(tmp_path: Path) -> None:
    finding = installation.processor(tmp_path / "none")
    assert finding.state == "ok"
    assert "cannot be read" in finding.found


def test_programs_on_the_path_are_found(tmp_path: Path) -> None:
    bare = Machine(home=tmp_path, environ={}, python=tmp_path / "python")
    assert installation.git(bare).state == "warning"
    finding = installation.command(bare)
    assert finding.state == "warning"
    assert f"{tmp_path / 'python'} -I " in finding.fix
    for name in ("git", "foretype"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    machine = Machine(home=tmp_path, environ={"PATH": str(tmp_path)})
    assert installation.git(machine).found == str(tmp_path / "git")
    assert installation.command(machine).found == str(tmp_path / "foretype")


def settings_file(private_home: Path, text: str) -> Path:
    path = private_home / "config" / "foretype" / "settings.toml"
    path.parent.mkdir()
    path.write_text(text)
    return path


def test_settings_may_be_absent() -> None:
    read, finding = installation.settings()
    assert read is not None
    assert finding.state == "ok"
    assert "the defaults" in finding.found


def test_wrong_settings_are_broken(private_home: Path) -> None:
    path = settings_file(private_home, "speed = 1\n")
    read, finding = installation.settings()
    assert (read, finding.state) == (None, "broken")
    assert "speed" in finding.found
    assert str(path) in finding.fix


@pytest.mark.parametrize("text", ["enabled = false", 'show = "off"'])
def test_settings_that_silence_everything_are_told(private_home: Path, text: str) -> None:
    settings_file(private_home, text)
    _, finding = installation.settings()
    assert finding.state == "warning"
    assert text in finding.found


def test_log_that_cannot_be_written_is_broken(private_home: Path) -> None:
    folder = private_home / "config" / "foretype"
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text(f"log_file = '{folder}'\n")
    read, finding = installation.settings()
    assert (read, finding.state) == (None, "broken")
    assert finding.found == f"log_file {str(folder)!r} is not a regular file"
