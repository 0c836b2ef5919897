"""Each editor's plan, on real files in a home of its own."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from assistant.setup.change import SetupError, SetupPlan, write
from assistant.setup.editors import (
    CLIENTS,
    EDITORS,
    emacs,
    init_file,
    is_balanced,
    plan_removal,
)
from assistant.setup.machine import Machine, find_program, server_command, shipped
from assistant.setup.vscode import FLAVOURS, is_extension_installed, load_settings
from tests.programs import run_program

COMMAND = ['/opt/it\'s "here"/foretype', "lsp"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(home=tmp_path, environ={}, platform="linux")


def plan(name: str, machine: Machine) -> SetupPlan:
    return EDITORS[name].plan(machine, COMMAND)


def carried_out(name: str, machine: Machine) -> Path:
    planned = plan(name, machine)
    assert planned.change is not None, planned.reason
    write(planned.change)
    return planned.path


@pytest.mark.parametrize("name", EDITORS)
def test_written_once_is_done(name: str, machine: Machine) -> None:
    path = carried_out(name, machine)
    text = path.read_bytes()
    assert plan(name, machine).done
    assert plan(name, machine).change is None
    assert path.read_bytes() == text


@pytest.mark.parametrize("name", ["nvim", "emacs", "helix", "vim"])
def test_moved_program_is_written_anew(name: str, machine: Machine) -> None:
    path = carried_out(name, machine)
    again = EDITORS[name].plan(machine, ["/elsewhere/foretype", "lsp"])
    assert again.change is not None
    write(again.change)
    assert path.read_text().count("/elsewhere/foretype") == 1
    assert "/opt/" not in path.read_text()


def test_neovim_file_loads_the_module_beside_the_users_own(machine: Machine) -> None:
    folder = machine.home / ".config" / "nvim"
    folder.mkdir(parents=True)
    (folder / "init.lua").write_text("return 1\n")
    path = carried_out("nvim", machine)
    assert path == folder / "plugin" / "foretype.lua"
    assert (folder / "init.lua").read_text() == "return 1\n"
    text = path.read_text()
    assert "cmd = { '/opt/it\\'s \"here\"/foretype', 'lsp' }" in text
    assert str(shipped("neovim")) in text


@pytest.mark.parametrize("name", ["init.lua", "lua/plugins/ai.lua", "plugin/x.vim"])
def test_neovim_that_names_foretype_is_left_alone(machine: Machine, name: str) -> None:
    path = machine.home / ".config" / "nvim" / name
    path.parent.mkdir(parents=True)
    path.write_text("require('foretype').setup()")
    planned = plan("nvim", machine)
    assert (planned.done, planned.change) == (True, None)
    assert planned.reason == f"{path} names foretype"


@pytest.mark.parametrize(
    ("name", "file"),
    [("nvim", ".config/nvim/plugin/foretype.lua"), ("vim", ".vim/plugin/foretype.vim")],
)
def test_foreign_file_of_our_name_is_left_alone(machine: Machine, name: str, file: str) -> None:
    path = machine.home / file
    path.parent.mkdir(parents=True)
    path.write_text("-- mine\n")
    planned = plan(name, machine)
    assert (planned.done, planned.change) == (False, None)
    assert planned.reason == f"{path} is there already and is not ours"


def test_other_neovim_folders_are_respected(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "c"), "NVIM_APPNAME": "mine"}
    machine = Machine(home=tmp_path, environ=environ)
    assert plan("nvim", machine).path == tmp_path / "c" / "mine" / "plugin" / "foretype.lua"


def test_neovim_on_windows_has_another_folder(tmp_path: Path) -> None:
    machine = Machine(home=tmp_path, environ={}, platform="win32")
    folder = tmp_path / "AppData" / "Local" / "nvim"
    assert plan("nvim", machine).path == folder / "plugin" / "foretype.lua"


@pytest.mark.parametrize("name", ["nvim", "emacs"])
def test_missing_module_is_told(
    name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.setup.editors.shipped", lambda name: None)
    with pytest.raises(SetupError, match="missing from this installation"):
        plan(name, machine)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], ".emacs.d/init.el"),
        ([".config/emacs/early-init.el"], ".config/emacs/init.el"),
        ([".config/emacs/init.el", ".emacs.d/x"], ".emacs.d/init.el"),
        ([".emacs.d/init.el", ".emacs"], ".emacs"),
        ([".emacs", ".emacs.el"], ".emacs.el"),
    ],
)
def test_emacs_init_file_is_the_one_that_emacs_reads(
    machine: Machine, files: list[str], expected: str
) -> None:
    for name in files:
        (machine.home / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.home / name).touch()
    assert init_file(machine) == machine.home / expected


def test_emacs_keeps_what_was_there(machine: Machine) -> None:
    path = machine.home / ".emacs"
    path.write_text('(setq a ?\\( b "(") ; (\n')
    carried_out("emacs", machine)
    assert path.read_text().startswith('(setq a ?\\( b "(") ; (\n\n;; >>> foretype >>>\n')
    assert is_balanced(path.read_text())


@pytest.mark.parametrize("text", ["(a", "a)", "(]", '(a "b)', "(a ?\\))))"])
def test_emacs_file_that_does_not_close_is_not_added_to(machine: Machine, text: str) -> None:
    (machine.home / ".emacs").write_text(text)
    planned = plan("emacs", machine)
    assert (planned.done, planned.change) == (False, None)
    assert "do not close" in planned.reason
    assert "(foretype-setup 'eglot)" in planned.lines


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("", "eglot"),
        (";; not lsp-mode\n(add-hook 'prog-mode-hook #'eglot-ensure)\n", "eglot"),
        ("(use-package lsp-mode :hook (python-mode . lsp))\n", "lsp-mode"),
        ("(add-hook 'python-mode-hook #'lsp-deferred)\n", "lsp-mode"),
        (";; >>> foretype >>>\n(foretype-setup 'lsp-mode)\n;; <<< foretype <<<\n", "lsp-mode"),
    ],
)
def test_emacs_client_is_the_one_in_use(machine: Machine, text: str, client: str) -> None:
    (machine.home / ".emacs").write_text(text)
    path = carried_out("emacs", machine)
    assert f"(foretype-setup '{client})" in path.read_text()
    other = next(name for name in CLIENTS if name != client)
    assert f"(foretype-setup '{other})" in emacs(machine, COMMAND, other).lines


@pytest.mark.parametrize("text", ["(empty? a)", "?( (a)", "[a (b)]", '"\\"" (x ?\\")'])
def test_lisp_is_read_as_lisp(text: str) -> None:
    assert is_balanced(text)


@pytest.mark.skipif(not shutil.which("emacs"), reason="emacs is not installed")
def test_emacs_reads_what_is_written(machine: Machine) -> None:
    path = carried_out("emacs", machine)
    hooks = "(memq 'foretype--start-eglot python-mode-hook)"
    ask = f"(princ (list (featurep 'foretype) (car foretype-command) (not {hooks})))"
    run = ["emacs", "--batch", "-Q", "--load", str(path), "--eval", ask]
    done = run_program(run, timeout=60)
    assert (done.stdout, done.returncode) == (f"(t {COMMAND[0]} nil)", 0), done.stderr


@pytest.mark.skipif(not shutil.which("vim"), reason="vim is not installed")
@pytest.mark.parametrize("is_there", [True, False])
def test_vim_starts_the_program_while_it_is_there(machine: Machine, is_there: bool) -> None:
    program = sys.executable if is_there else str(machine.home / "gone")
    change = EDITORS["vim"].plan(machine, [program, "lsp"]).change
    assert change is not None
    write(change)
    shown = machine.home / "shown"
    take = "function LspAddServer(list) | call writefile([a:list[0].path], $SHOWN) | endfunction"
    plugin = machine.home / "plugin.vim"
    plugin.write_text("\n".join(["call writefile([''], $SHOWN)", *take.split(" | ")]))
    steps = [f"source {plugin}", f"source {change.path}", "doautocmd User LspSetup", "qa!"]
    run = ["vim", "-u", "NONE", "-N", "-es", *(part for step in steps for part in ("-c", step))]
    environment = os.environ | {"TERM": "dumb", "SHOWN": str(shown)}
    subprocess.run(run, timeout=60, check=False, stdin=subprocess.DEVNULL, env=environment)
    assert shown.read_text().strip() == (program if is_there else "")


def test_helix_keeps_the_users_languages(machine: Machine) -> None:
    path = machine.home / ".config" / "helix" / "languages.toml"
    path.parent.mkdir(parents=True)
    mine = """\
[[language]]
name = "python"
language-servers = ["pylsp"]

[language-server.pylsp]
command = "p"
"""
    path.write_text(mine)
    planned = plan("helix", machine)
    assert any("You configure python yourself" in note for note in planned.notes)
    carried_out("helix", machine)
    assert path.read_text().startswith(mine)
    table = tomllib.loads(path.read_text())
    assert table["language-server"]["foretype"]["command"] == COMMAND[0]
    names = [entry["name"] for entry in table["language"]]
    assert names.count("python") == 1
    assert "rust" in names


@pytest.mark.parametrize(
    "text", ["[[language", 'language = [{ name = "go" }]\n', "language-server = {}\n"]
)
def test_helix_file_that_cannot_take_tables_is_left_alone(machine: Machine, text: str) -> None:
    path = machine.home / ".config" / "helix" / "languages.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    planned = plan("helix", machine)
    assert (planned.done, planned.change) == (False, None)
    assert str(path) in planned.reason


def test_helix_with_a_server_of_ours_is_done(machine: Machine) -> None:
    path = machine.home / ".config" / "helix" / "languages.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[language-server.foretype]\ncommand = "foretype"\n')
    assert plan("helix", machine).done


def test_vs_code_settings_keep_their_comments(machine: Machine) -> None:
    path = machine.home / ".config" / "Code" / "User" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text('{\n    // mine\n    "a": 1,\n}\n')
    carried_out("vscode", machine)
    assert "// mine" in path.read_text()
    assert load_settings(path.read_text()) == {"foretype.path": COMMAND[0], "a": 1}


def test_vs_code_settings_that_are_no_json_are_left_alone(machine: Machine) -> None:
    path = machine.home / ".config" / "VSCodium" / "User" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text("{ oh")
    planned = plan("vscodium", machine)
    assert planned.change is None
    assert "cannot be changed safely" in planned.reason


def test_vs_code_wants_a_program(machine: Machine) -> None:
    bare = dataclasses.replace(machine, python=machine.home / "python")
    planned = EDITORS["cursor"].plan(bare, ["python", "-I", "-m", "foretype", "lsp"])
    assert planned.change is None
    assert "install the package with pip" in planned.reason


def test_other_program_in_the_settings_is_told(machine: Machine) -> None:
    carried_out("vscode", machine)
    planned = EDITORS["vscode"].plan(machine, ["/new/foretype", "lsp"])
    assert (planned.done, planned.change) == (True, None)
    assert COMMAND[0] in planned.reason


def test_installed_extension_is_seen(machine: Machine) -> None:
    assert not EDITORS["vscode"].is_set_up(machine, COMMAND)
    assert "Install the extension" in plan("vscode", machine).notes[0]
    (machine.home / ".vscode" / "extensions" / "foretype.foretype-0.1.0").mkdir(parents=True)
    assert is_extension_installed(machine, FLAVOURS["vscode"])
    assert EDITORS["vscode"].is_set_up(machine, COMMAND)
    assert plan("vscode", machine).notes == ()


MINE = {
    "nvim": "",
    "vim": "",
    "emacs": "(setq a 1)\n",
    "helix": '[[language]]\nname = "python"\n',
    "vscode": '{\n    // mine\n    "a": 1,\n}\n',
    "cursor": '{"b": "foretype.path"}\n',
}


@pytest.mark.parametrize("name", EDITORS)
def test_what_was_written_is_taken_out_again(name: str, machine: Machine) -> None:
    editor = EDITORS[name]
    assert plan_removal(editor, machine) is None
    path = carried_out(name, machine)
    change = plan_removal(editor, machine)
    assert change is not None
    write(change)
    assert plan_removal(editor, machine) is None
    assert not path.exists() or load_settings(path.read_text()) == {}


@pytest.mark.parametrize("name", MINE)
def test_the_users_own_lines_stay_when_ours_go(name: str, machine: Machine) -> None:
    path = plan(name, machine).path
    path.parent.mkdir(parents=True, exist_ok=True)
    if MINE[name]:
        path.write_text(MINE[name])
    carried_out(name, machine)
    change = plan_removal(EDITORS[name], machine)
    assert change is not None
    write(change)
    assert path.exists() == bool(MINE[name])
    assert not MINE[name] or path.read_text() == MINE[name]


def test_a_file_of_our_name_that_is_not_ours_is_not_removed(machine: Machine) -> None:
    path = machine.home / ".vim" / "plugin" / "foretype.vim"
    path.parent.mkdir(parents=True)
    path.write_text('" mine\n')
    assert plan_removal(EDITORS["vim"], machine) is None


def test_command_is_isolated_and_names_the_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "python"
    bare = Machine(home=tmp_path, environ={}, python=python, platform="linux")
    command = server_command(bare)
    assert (command[:2], command[-1]) == ([str(python), "-I"], "lsp")


def test_program_is_that_on_the_path_or_beside_python(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "foretype"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    python = tmp_path / "venv" / "python"
    on_path = Machine(home=tmp_path, environ={"PATH": str(program.parent)}, python=python)
    assert find_program(on_path) == program
    beside = Machine(home=tmp_path, environ={}, python=program.parent / "python", platform="linux")
    assert find_program(beside) == program
    assert find_program(Machine(home=tmp_path, environ={}, python=python)) is None


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("darwin", {}, "Library/Application Support"),
        ("win32", {}, "AppData/Roaming"),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, ".config"),
    ],
)
def test_settings_folder_is_the_systems(
    tmp_path: Path, platform: str, environ: dict[str, str], expected: str
) -> None:
    machine = Machine(home=tmp_path, environ=environ, platform=platform)
    assert machine.application_folder == tmp_path / expected
