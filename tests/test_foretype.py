"""The launcher: its commands, its messages, and what it takes off the import path."""

import io
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import foretype
from assistant import settings
from model.extras import how_to_add
from tests.programs import run_program

ROOT = Path(foretype.__file__).parent
TRAP = "import sys\nsys.stderr.write('imported ' + __name__ + '\\n')\n"
NAMES = ("model", "assistant", "lsp", "training", "tokenize", "json", "logging", "tiktoken")


def run(
    *arguments: str, cwd: Path = ROOT, environment: dict[str, str] | None = None
) -> tuple[str, str, int]:
    done = run_program(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | (environment or {}), timeout=120
    )
    return done.stdout, done.stderr, done.returncode


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A repository whose modules are named like ours and like those that we import."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(TRAP)
    for name in NAMES[:4]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(TRAP)
    (tmp_path / "a.py").write_text("x = 1\n")
    return tmp_path


@pytest.mark.parametrize("python_path", [".", "", f".{os.pathsep}..", "{cwd}"])
def test_repository_with_our_names_is_left_out(hostile: Path, python_path: str) -> None:
    environment = {"PYTHONPATH": python_path.format(cwd=hostile)}
    launcher = str(ROOT / "foretype.py")
    out, err, code = run(launcher, "complete", "a.py:9:1", cwd=hostile, environment=environment)
    message = "foretype complete: a.py: line 9 is outside the file (1..2)\n"
    assert (out, err, code) == ("", message, 2)


def test_module_met_before_us_is_forgotten(hostile: Path) -> None:
    program = (
        "import sys, tokenize\n"
        "sys.path.append(sys.argv[1])\n"
        "import foretype\n"
        "foretype.leave_user_code_out()\n"
        "import tokenize\n"
        "print(hasattr(tokenize, 'generate_tokens'))\n"
    )
    environment = {"PYTHONPATH": "."}
    out, err, code = run("-c", program, str(ROOT), cwd=hostile, environment=environment)
    assert (out, err, code) == ("True\n", "imported tokenize\n", 0)


def test_child_processes_inherit_no_python_path(hostile: Path) -> None:
    program = (
        "import os, sys\n"
        "sys.path.append(sys.argv[1])\n"
        "import foretype\n"
        "foretype.leave_user_code_out()\n"
        "print('PYTHONPATH' in os.environ, os.getcwd() in sys.path, '' in sys.path)\n"
        "print(os.environ['NoDefaultCurrentDirectoryInExePath'])\n"  # of Windows: no git.exe here
    )
    environment = {"PYTHONPATH": f".{os.pathsep}{hostile}"}
    out, err, code = run("-c", program, str(ROOT), cwd=hostile, environment=environment)
    assert (out, err, code) == ("False False False\n1\n", "", 0)


def test_our_own_checkout_stays_importable_inside_itself() -> None:
    out, err, code = run("-m", "foretype", "complete", "--help", environment={"PYTHONPATH": "."})
    assert out.startswith("usage: foretype complete")
    assert (err, code) == ("", 0)


def test_help_names_every_command() -> None:
    out, err, code = run("foretype.py", "--help")
    assert out.startswith("usage: foretype COMMAND ...\n")
    assert all(f"  {name} " in out for name in foretype.COMMANDS)
    assert (err, code) == ("", 0)


def test_version_is_one_line() -> None:
    out, err, code = run("foretype.py", "--version")
    assert out.startswith("foretype ")
    assert (out.count("\n"), err, code) == (1, "", 0)


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert foretype.dispatch([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: foretype COMMAND ...\n")
    assert err == ""


@pytest.mark.parametrize(
    ("word", "advice"),
    [("conquer", "see foretype --help"), ("compelte", "did you mean 'complete'?")],
)
def test_unknown_command_is_one_line(
    word: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert foretype.dispatch([word]) == 2
    assert capsys.readouterr() == ("", f"foretype: unknown command {word!r}; {advice}\n")


@pytest.mark.parametrize("command", foretype.COMMANDS)
def test_every_command_exists(command: str) -> None:
    out, err, code = run("foretype.py", command, "--help")
    assert "usage" in out.lower()
    assert (err, code) == ("", 0)


@pytest.mark.parametrize("name", ["torch", "tokenizers"])
def test_missing_extra_says_what_to_install(name: str) -> None:
    step = {"torch": "['train', 'run']", "tokenizers": "['data', 'tokenizer']"}[name]
    program = f"import sys, foretype; sys.modules[{name!r}] = None; sys.exit(foretype.main({step}))"
    out, err, code = run("-c", program)
    command = "train" if name == "torch" else "data"
    advice = f"install it with: {how_to_add('train')}"
    assert (out, err, code) == ("", f"foretype: `{command}` needs {name}; {advice}\n", 3)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.skipif(os.name == "nt", reason="a script stands for Python")
@pytest.mark.parametrize(("answer", "code"), [("y\n", 7), ("n\n", 3)])
def test_missing_extra_is_installed_on_consent(
    answer: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    called, python = tmp_path / "called", tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {called}\n[ "$2" = pip ] || exit 7\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setitem(sys.modules, "torch", None)  # what import meets where it is not installed
    monkeypatch.delitem(sys.modules, "training.finetune.cli", raising=False)
    pip = ModuleType("pip")
    pip.__spec__ = ModuleSpec("pip", None)
    monkeypatch.setitem(sys.modules, "pip", pip)
    assert foretype.dispatch(["tune", "--dry-run"]) == code
    said = capsys.readouterr()
    assert said.err.startswith("foretype: `tune` needs torch; install it with: ")
    assert "torch" in said.out and "now (PyTorch is large)? [y/N]" in said.out
    ran = called.read_text().splitlines() if called.exists() else []
    if code == 7:
        assert ran[0].startswith("-m pip install ") and " rensa==" in ran[0]
        assert ran[1].endswith("foretype.py tune --dry-run")
    else:
        assert ran == []


def test_other_missing_modules_are_not_hidden() -> None:
    hide = "sys.modules['argparse'] = None"  # met before anything slow is imported
    program = f"import sys, foretype; {hide}; foretype.main(['train', 'run'])"
    _, err, code = run("-c", program)
    assert "ModuleNotFoundError" in err
    assert code == 1


@pytest.mark.parametrize("old", foretype.RENAMED)
def test_an_old_command_runs_and_says_its_new_name(
    old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        foretype.dispatch([*old.split(), "--help"])
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: foretype {foretype.RENAMED[old]} ")
    line = f"foretype {old} is now foretype {foretype.RENAMED[old]}; the old name goes away in 0.3"
    assert said.err == line + "\n"
    assert foretype.OLD_NAMES_END == settings.OLD_NAMES_END
