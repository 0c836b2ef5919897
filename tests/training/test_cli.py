"""What training commands share: a report written and shown, or a mistake told in one line."""

import ctypes
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.cli.command import UsageError
from assistant.errors import ModelError
from assistant.git import GitError
from model.folder import ModelFolderError
from model.onnx_cache import OnnxCacheError
from training import cli
from training.cli import keep_freed_memory


def report_on(
    argv: list[str],
    make: Callable[[Namespace], cli.Report],
    table: Callable[[cli.Report], str] = str,
) -> int:
    return cli.report_on("prog", cli.parser("prog", None), argv, make, table)


def test_report_is_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    argv = ["--json", str(file)]
    code = report_on(argv, lambda args: {"n": 3}, lambda report: f"n = {report['n']}\n")
    assert (code, capsys.readouterr()) == (0, ("n = 3\n", ""))
    assert json.loads(file.read_text()) == {"n": 3}


@pytest.mark.parametrize(
    "kind", [ModelFolderError, ModelError, OnnxCacheError, GitError, OSError, ValueError]
)
def test_mistake_is_told_and_nothing_is_written(
    kind: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(args: Namespace) -> cli.Report:
        raise kind("do this instead")

    file = tmp_path / "report.json"
    assert report_on(["--json", str(file)], make) == 1
    assert capsys.readouterr() == ("", "foretype prog: do this instead\n")
    assert not file.exists()


def test_fault_of_ours_is_not_hidden() -> None:
    def make(args: Namespace) -> cli.Report:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        report_on([], make)


@pytest.mark.parametrize(
    ("name", "said"), [("no/file.json", "is there a folder for it?"), (".", "is a folder")]
)
def test_report_that_cannot_be_written_is_a_mistake_before_the_work(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(args: Namespace) -> cli.Report:
        raise AssertionError

    assert report_on(["--json", str(tmp_path / name)], make) == 2
    assert said in capsys.readouterr().err


def test_report_is_shown_although_its_file_takes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "folder" / "report.json"
    file.parent.mkdir()

    def make(args: Namespace) -> cli.Report:
        file.parent.rmdir()
        return {"n": 3}

    assert report_on(["--json", str(file)], make, lambda report: f"n = {report['n']}\n") == 1
    said = f"foretype prog: {file}: No such file or directory\n"
    assert capsys.readouterr() == ("n = 3\n", said)


@pytest.mark.skipif(os.name == "nt", reason="pipes with names")
def test_report_goes_into_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert report_on(["--json", str(pipe)], lambda args: {"n": 3}) == 0
    assert json.loads(os.read(reading, 100)) == {"n": 3}
    os.close(reading)


def test_common_options(tmp_path: Path) -> None:
    args = cli.parser("prog", "what it does").parse_args(
        ["--model", str(tmp_path), "--seed", "7", "--json", "a.json"]
    )
    assert (args.model, args.seed, args.json) == (tmp_path, 7, Path("a.json"))
    defaults = cli.parser("prog", None).parse_args([])
    assert (defaults.model, defaults.seed, defaults.json) == (None, 0, None)


@pytest.mark.parametrize("text", ["0", "-3", "2.5", "many", ""])
def test_count_must_be_above_zero(text: str) -> None:
    parser = cli.parser("prog", None)
    parser.add_argument("--n", type=cli.count)
    assert parser.parse_args(["--n", "12"]).n == 12
    with pytest.raises(UsageError, match="is not a number above 0"):
        parser.parse_args([f"--n={text}"])


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="a matter of glibc",
)
def test_glibc_accepts_the_limits() -> None:
    assert keep_freed_memory()
