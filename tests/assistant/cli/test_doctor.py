"""`foretype doctor`: its findings as lines and as JSON, and its exit code."""

import json
import re
import sys
from pathlib import Path

import pytest

from assistant.cli.doctor import main
from assistant.doctor import timing
from assistant.settings import Settings
from model.folder import bundled_folders
from tests.programs import run_program
from tests.scripted import speaking_folder

LATER = ["own models", "index", "statistics", "remote"]
NAMES = [
    "Python",
    "libraries",
    "processor",
    "command",
    "warm",
    "git",
    "settings",
    "cache",
    "telemetry",
    *["model"] * len(bundled_folders()),
]


@pytest.mark.usefixtures("shared_cache")
def test_completion_is_timed(tmp_path: Path) -> None:
    finding = timing.completion(Settings(model=str(speaking_folder(tmp_path))))
    assert finding.found.startswith("loaded in ")
    assert " ms a keystroke" in finding.found
    assert finding.state in ("ok", "warning")


def test_model_that_cannot_be_loaded_is_broken(tmp_path: Path) -> None:
    finding = timing.completion(Settings(model=str(tmp_path / "none")))
    assert finding.state == "broken"
    assert "there is no model folder" in finding.found


def test_json_has_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--json", "--no-timing"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["works"] is True
    names = [finding["name"] for finding in table["findings"]]
    assert names[: len(NAMES) + len(LATER)] == [*NAMES, *LATER]
    for finding in table["findings"]:
        assert finding.keys() == {"name", "state", "found", "fix"}
        assert bool(finding["fix"]) == (finding["state"] != "ok")


def test_editor_that_asks_hears_of_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "bin" / "nvim"
    editor.parent.mkdir()
    editor.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(editor.parent))
    names = []
    for arguments in ([], ["--no-editors"]):
        assert main([str(tmp_path), "--json", "--no-timing", *arguments]) == 0
        names.append([item["name"] for item in json.loads(capsys.readouterr().out)["findings"]])
    assert set(names[0]) - set(names[1]) == {"command", "warm", "Neovim"}


def test_lines_are_plain_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--no-timing"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.startswith("ok       Python       CPython ")
    assert "\n0 broken, " in shown


def test_terminal_gets_colours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main([str(tmp_path), "--no-timing"]) == 0
    assert "\x1b[32mok" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    main([str(tmp_path), "--no-timing"])
    assert "\x1b" not in capsys.readouterr().out


def test_broken_model_is_exit_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_MODEL", str(tmp_path / "none"))
    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert f"broken   model        there is no model folder at {tmp_path / 'none'}" in shown
    assert "completion" not in shown
    assert "\n1 broken, " in shown


def test_wrong_settings_are_exit_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_THREADS", "many")
    assert main([str(tmp_path), "--json"]) == 1
    table = json.loads(capsys.readouterr().out)
    assert table["works"] is False
    assert "model" not in [finding["name"] for finding in table["findings"]]


@pytest.mark.parametrize("name", ["numpy", "onnxruntime", "tiktoken", "tree_sitter", "pygls"])
def test_library_that_is_missing_is_reported(tmp_path: Path, name: str) -> None:
    code = (
        "import sys; sys.modules[sys.argv.pop(1)] = None\nfrom assistant.cli.doctor import main\n"
    )
    code += "sys.exit(main([*sys.argv[1:], '--no-timing', '--no-editors']))"
    done = run_program([sys.executable, "-c", code, name, str(tmp_path)])
    assert done.returncode == 1, done.stderr
    assert re.search(rf"broken +libraries +cannot import .*{name}", done.stdout)
    assert done.stderr == ""


def test_folder_that_is_none_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none"), "--no-timing"]) == 2
    assert capsys.readouterr() == ("", f"foretype doctor: {tmp_path / 'none'} is not a folder\n")
