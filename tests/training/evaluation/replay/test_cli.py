"""`foretype eval` from the command line: reports, the same for one seed, and clear mistakes."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import tiny_folder
from tests.programs import run_program
from tests.repositories import commit_files, new_repository, plain_git
from training.evaluation.replay.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = new_repository(
        tmp_path_factory.mktemp("repositories") / "lib",
        {"a.py": "def known(value):\n    return value + 1\n"},
    )
    body = "def later(value):\n    total = known(value) + known(2)\n    return total\n"
    commit_files(root, {"package/b.py": body})
    return commit_files(root, {"package/c.py": body.replace("later", "latest")})


def options(model: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--tasks", "6", "--lines", "1", *more]


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    for found in report["systems"].values():
        for name in [name for name in found if name.endswith("_ms")]:
            del found[name]
    return report


def test_table_and_json(
    repository: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / name for name in ("1.json", "2.json")]
    first = options(model, "--json", str(files[0]))
    assert main([str(repository), *first]) == 0
    shown = capsys.readouterr().out
    assert "tiny on lib: 6 cursors in 2 later commits" in shown
    assert "Recommended: show" in shown or "speaks for or against" in shown
    assert "Tuning: not yet." in shown
    again = options(model, "--systems", "longest match", "--json", str(files[1]))
    assert main([str(repository), *again]) == 0
    all_of_it, match_only = (without_times(json.loads(path.read_text())) for path in files)
    assert all_of_it["systems"]["longest match"] == match_only["systems"]["longest match"]
    assert all_of_it["repositories"] == match_only["repositories"]
    assert list(all_of_it["systems"]) == ["network + index", "network", "index", "longest match"]
    assert {found["tasks"] for found in all_of_it["systems"].values()} == {6}
    assert all_of_it["is_complete"]


def test_folder_inside_a_repository_stands_for_it(
    repository: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = options(model, "--systems", "longest match", "--range", "HEAD~1..HEAD")
    assert main([str(repository / "package"), *chosen]) == 0
    shown = capsys.readouterr().out
    assert "in 1 later commit\n" in shown
    assert "network" not in shown


def test_quick_has_a_time_limit(
    repository: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    chosen = ["--quick", "--systems", "longest match", "--model", str(model), "--json", str(report)]
    assert main([str(repository), *chosen]) == 0
    assert 0 < json.loads(report.read_text())["plan"]["limit_s"] < 120
    capsys.readouterr()


def mistake(path: Path, model: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main([str(path), *options(model, *more)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.removeprefix("reading the history\n").splitlines()
    assert len(lines) == 1
    return lines[0]


def test_mistakes_are_one_line(
    repository: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not a git repository" in mistake(tmp_path, model, capsys)
    new_repository(tmp_path / "one", {"a.py": "x = 1\n"})
    assert "has no history" in mistake(tmp_path / "one", model, capsys)
    new_repository(tmp_path / "prose", {"a.md": "text\n"})
    commit_files(tmp_path / "prose", {"a.md": "text and more of it\n"})
    assert "add no code" in mistake(tmp_path / "prose", model, capsys)
    plain_git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    assert "git fetch --unshallow" in mistake(tmp_path / "shallow", model, capsys)
    assert "names no commits" in mistake(repository, model, capsys, "--range", "a..b")
    assert "tiny" not in mistake(repository, tmp_path, capsys)  # no model folder
    plain_git(tmp_path, "clone", "-q", str(repository), "other/lib")  # would count as the same one
    assert main([str(repository), str(tmp_path / "other" / "lib"), *options(model)]) == 1
    assert capsys.readouterr().err.endswith(" are called lib; ask about one of them\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "0"], "0 is not a number above 0"),
        (["--systems", "oracle"], "'oracle' is none of: network + index, network"),
        (["nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_serving_installation_can_run_it() -> None:
    program = (
        "import sys\n"
        "import training.evaluation.replay.cli\n"
        "extra = {'torch', 'rensa', 'tokenizers'}\n"
        "sys.exit(' '.join(extra & sys.modules.keys()) or 0)\n"
    )
    done = run_program([sys.executable, "-c", program])
    assert (done.returncode, done.stderr) == (0, "")
