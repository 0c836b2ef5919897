"""What the doctor says of editors; the programs are small scripts of the test's."""

from pathlib import Path

import pytest

from assistant.doctor.installation import editors, neovim_version
from assistant.setup.change import write
from assistant.setup.editors import EDITORS
from assistant.setup.machine import Machine, server_command


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "bin").mkdir()
    return Machine(home=tmp_path, environ={"PATH": str(tmp_path / "bin")}, platform="linux")


def program(machine: Machine, name: str, says: str = "") -> Path:
    path = machine.home / "bin" / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_no_editor_is_told(machine: Machine) -> None:
    (finding,) = editors(machine)
    assert finding.state == "warning"
    assert finding.found.startswith("none of Neovim, Emacs")


def test_editor_that_is_not_set_up_gets_the_command(machine: Machine) -> None:
    program(machine, "emacs")
    (finding,) = editors(machine)
    assert (finding.name, finding.state) == ("Emacs", "warning")
    assert finding.fix == "foretype setup emacs, then the same with --write"
    change = EDITORS["emacs"].plan(machine, server_command(machine)).change
    assert change is not None
    write(change)
    (finding,) = editors(machine)
    assert (finding.state, finding.fix) == ("ok", "")


def test_other_editors_are_no_fault_once_one_is_set_up(machine: Machine) -> None:
    program(machine, "emacs")
    vim = program(machine, "vim")
    assert [finding.state for finding in editors(machine)] == ["warning", "warning"]
    change = EDITORS["emacs"].plan(machine, server_command(machine)).change
    assert change is not None
    write(change)
    _, other = editors(machine)
    assert (other.name, other.state) == ("Vim", "ok")
    assert other.found.startswith(f"{vim} is not set up (foretype setup vim")


def test_old_neovim_is_told(machine: Machine) -> None:
    path = program(machine, "nvim", "NVIM v0.9.5")
    (finding,) = editors(machine)
    assert (finding.state, finding.found) == ("warning", f"{path} is 0.9")
    program(machine, "nvim", "NVIM v0.12.1-dev")
    (finding,) = editors(machine)
    assert finding.found == f"{path} is not set up"


def test_version_that_is_not_said_is_unknown(machine: Machine) -> None:
    assert neovim_version(program(machine, "nvim", "hello")) is None
    assert neovim_version(machine.home / "bin" / "none") is None


def test_configuration_that_cannot_be_read_is_told(machine: Machine) -> None:
    program(machine, "emacs")
    (machine.home / ".emacs").write_bytes(b"\xff")
    (finding,) = editors(machine)
    assert finding.state == "warning"
    assert "is not UTF-8 text" in finding.found
