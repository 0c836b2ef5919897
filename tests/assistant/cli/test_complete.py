"""`foretype complete` as a person runs it: a real child process, exact output and exit codes."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assistant.cli.complete import MAX_FILE_BYTES, main
from assistant.generate.engine import Engine
from assistant.generate.response import Response
from assistant.request import CompletionRequest
from assistant.settings import Settings
from tests.doubles import tiny_folder
from tests.programs import ROOT
from tests.repositories import new_repository
from tests.scripted import speaking_folder

SOURCE = "def read(path):\n    with open(path) as handle:\n        return hand\n"
# Counts from one: behind `hand`.
CURSOR = "3:20"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def place(tmp_path: Path, shared_cache: Path) -> Path:
    """A folder to work in, with one source file; graphs are built once for all tests."""
    (tmp_path / "sample.py").write_text(SOURCE)
    return tmp_path


def complete(
    place: Path, *arguments: str, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(ROOT / "foretype.py"), "complete", *arguments]
    return subprocess.run(command, cwd=place, input=data, capture_output=True, timeout=120)


def report(
    place: Path, model: Path, *arguments: str, data: bytes | None = None
) -> dict[str, object]:
    run = complete(place, "--json", "--model", str(model), *arguments, data=data)
    assert (run.stderr, run.returncode) in ((b"", 0), (b"", 1))
    table = json.loads(run.stdout)
    assert bool(table["suggestions"]) == (run.returncode == 0)
    return table


@pytest.mark.slow
def test_plain_output_is_the_text_of_the_json_report(place: Path, model: Path) -> None:
    table = report(place, model, f"sample.py:{CURSOR}")
    (suggestion,) = table["suggestions"]  # type: ignore[misc]
    assert suggestion["text"] == "y_mo"
    run = complete(place, "--model", str(model), f"sample.py:{CURSOR}")
    assert (run.stdout, run.stderr, run.returncode) == (b"y_mo\n", b"", 0)


@pytest.mark.slow
def test_report_has_range_and_costs(place: Path, model: Path) -> None:
    table = report(place, model, f"sample.py:{CURSOR}")
    assert table["path"] == "sample.py"
    (suggestion,) = table["suggestions"]  # type: ignore[misc]
    assert suggestion.keys() == {
        "text", "range", "source", "finish_reason", "logprob", "prompt_tokens", "new_tokens",
        "reused_tokens", "first_token_ms", "total_ms", "probability",
    }  # fmt: skip
    cursor = {"line": 3, "column": 20}
    assert suggestion["range"] == {"start": cursor, "end": cursor}
    assert (suggestion["source"], suggestion["finish_reason"]) == ("network", "stop")
    assert suggestion["prompt_tokens"] > 20


@pytest.mark.slow
def test_standard_input_gives_the_same_as_the_file(place: Path, model: Path) -> None:
    piped = report(place, model, f"-:{CURSOR}", "--path", "sample.py", data=SOURCE.encode())
    from_file = report(place, model, f"sample.py:{CURSOR}")
    for table in (piped, from_file):
        for suggestion in table["suggestions"]:  # type: ignore[attr-defined]
            for cost in ("first_token_ms", "total_ms"):
                del suggestion[cost]
    assert piped == from_file


@pytest.mark.slow
def test_carriage_returns_change_only_the_line_end_of_the_output(place: Path, model: Path) -> None:
    (place / "dos.py").write_bytes(SOURCE.replace("\n", "\r\n").encode())
    run = complete(place, "--model", str(model), f"dos.py:{CURSOR}")
    assert (run.stdout, run.stderr, run.returncode) == (b"y_mo\r\n", b"", 0)
    table = report(place, model, f"dos.py:{CURSOR}")
    cursor = {"line": 3, "column": 20}
    (suggestion,) = table["suggestions"]  # type: ignore[misc]
    assert (suggestion["text"], suggestion["range"]["start"]) == ("y_mo", cursor)


@pytest.mark.slow
def test_several_suggestions_are_distinct(place: Path, model: Path) -> None:
    table = report(place, model, f"sample.py:{CURSOR}", "--n", "4")
    texts = [item["text"] for item in table["suggestions"]]  # type: ignore[attr-defined]
    assert 1 <= len(texts) <= 4
    assert len(texts) == len(set(texts))


@pytest.mark.slow
def test_nothing_to_suggest_is_exit_code_one(place: Path, model: Path) -> None:
    (place / "notes.txt").write_text("hello")
    run = complete(place, "--model", str(model), "notes.txt:1:6")
    assert (run.stdout, run.returncode) == (b"", 1)
    assert run.stderr.startswith(b"nothing to suggest: ")
    again = f"--model {model} notes.txt:1:6"
    assert run.stderr.endswith(f'; "foretype why {again}" says more\n'.encode())


@pytest.mark.slow
def test_the_command_that_says_more_can_be_copied(place: Path, model: Path) -> None:
    run = complete(place, "--model", str(model), "-:1:6", "--path", "a b.txt", data=b"hello")
    again = f"--model {model} -:1:6 --path 'a b.txt'"
    assert run.stderr.endswith(f'; "foretype why {again}" says more\n'.encode())


@pytest.mark.slow
def test_secret_file_gets_nothing(place: Path, model: Path) -> None:
    (place / ".env.py").write_text("KEY = ")
    run = complete(place, "--model", str(model), ".env.py:1:7")
    assert (run.stdout, run.returncode) == (b"", 1)
    assert run.stderr.startswith(b"nothing to suggest: this file is excluded: ")


@pytest.mark.slow
def test_name_with_colons_and_spaces_works(place: Path, model: Path) -> None:
    (place / "a:1:2 b.py").write_text("x = ")
    run = complete(place, "--model", str(model), "--json", "a:1:2 b.py:1:5")
    assert run.returncode in (0, 1)
    assert run.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.py:1:1"], "cannot open none.py: No such file or directory"),
        (["C:\\code\\none.py:1:1"], "cannot open C:\\code\\none.py: No such file or directory"),
        ([".:1:1"], ". is not a regular file"),
        (["pipe.py:1:1"], "pipe.py is not a regular file"),
        (["sample.py"], "FILE:LINE:COL is needed, got 'sample.py'"),
        (["sample.py:1"], "FILE:LINE:COL is needed, got 'sample.py:1'"),
        ([":1:1"], "FILE:LINE:COL is needed, got ':1:1'"),
        (["sample.py:x:1"], "LINE must be a whole number from 1 on, got 'x' in 'sample.py:x:1'"),
        (["sample.py:1:-1"], "COL must be a whole number from 1 on, got '-1' in 'sample.py:1:-1'"),
        (["sample.py:9:1"], "sample.py: line 9 is outside the file (1..4)"),
        (["sample.py:0:1"], "sample.py: line 0 is outside the file (1..4)"),
        (["sample.py:1:99"], "sample.py: column 99 is outside line 1 (1..16)"),
        (["binary.py:1:1"], "binary.py: is a binary file (it contains a NUL byte)"),
        (["latin.py:1:1"], "latin.py: is not UTF-8 text (byte 0xe9 at offset 1)"),
        (["-:1:1"], "text from standard input needs --path to tell the language"),
        (["a.py:1:1", "--path", "b.py"], "--path is only for text from standard input (FILE -)"),
        (["sample.py:1:1", "--n", "0"], "--n must be in 1..16, got 0"),
        (["sample.py:1:1", "--n", "two"], "argument --n: invalid int value: 'two'"),
        (["sample.py:1:1", "--deadline-ms", "0"], "deadline_ms must be in 1..600000, got 0"),
        (["sample.py:1:1", "--wat"], "unrecognized arguments: --wat"),
        ([], "the following arguments are required: FILE:LINE:COL"),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, list) else "",
)  # fmt: skip
def test_bad_input_is_one_clear_line(
    place: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    os.mkfifo(place / "pipe.py")
    (place / "binary.py").write_bytes(b"\x7fELF\0")
    (place / "latin.py").write_bytes(b"d\xe9f")
    monkeypatch.chdir(place)
    assert main(["complete", *arguments]) == 2
    assert capfd.readouterr() == ("", f"foretype complete: {message}\n")


def test_bad_input_to_a_real_process(place: Path) -> None:
    run = complete(place, "sample.py:9:1")
    message = b"foretype complete: sample.py: line 9 is outside the file (1..4)\n"
    assert (run.stdout, run.stderr, run.returncode) == (b"", message, 2)


def test_standard_input_is_bounded(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"x" * (MAX_FILE_BYTES + 1)))
    monkeypatch.setattr(sys, "stdin", stream)
    assert main(["complete", "-:1:1", "--path", "a.py"]) == 2
    message = f"foretype complete: standard input is larger than {MAX_FILE_BYTES} bytes\n"
    assert capfd.readouterr() == ("", message)


def test_unknown_model_is_exit_code_three(place: Path) -> None:
    run = complete(place, "--model", "nowhere", "sample.py:1:1")
    message = "there is no model folder at nowhere; check the path"
    assert run.stderr.decode() == f"foretype complete: {message}\n"
    assert (run.stdout, run.returncode) == (b"", 3)


def test_damaged_model_is_exit_code_three(place: Path, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    run = complete(place, "--model", str(folder), "sample.py:1:1")
    assert (run.stdout, run.returncode) == (b"", 3)
    assert run.stderr.startswith(b"foretype complete: model folder ")
    assert run.stderr.count(b"\n") == 1


def test_wrong_settings_file_is_named(place: Path, private_home: Path) -> None:
    folder = private_home / "config" / "foretype"
    folder.mkdir()
    (folder / "settings.toml").write_text("modle = 1\n")
    run = complete(place, "sample.py:1:1")
    assert b"settings.toml: unknown setting modle; known: " in run.stderr
    assert (run.stderr.count(b"\n"), run.returncode) == (1, 2)


@pytest.mark.slow
def test_log_file_has_a_line_without_text(place: Path, model: Path, private_home: Path) -> None:
    folder = private_home / "config" / "foretype"
    folder.mkdir()
    (folder / "settings.toml").write_text(f'log_file = "{place}/foretype.log"\n')
    complete(place, "--model", str(model), f"sample.py:{CURSOR}")
    lines = (place / "foretype.log").read_text().splitlines()  # the first may build the graph
    assert "INFO assistant.generate.engine: completion 1 document=" in lines[-1]
    assert not any(word in lines[-1] for word in ("sample", "hand", "path"))


@pytest.mark.slow
def test_reader_that_goes_away_is_no_error(place: Path, model: Path) -> None:
    command = [sys.executable, str(ROOT / "foretype.py"), "complete", "--model", str(model)]
    with subprocess.Popen(
        [*command, f"sample.py:{CURSOR}"], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(60) == 0


@pytest.mark.slow
def test_interrupt_leaves_without_a_traceback(place: Path, model: Path) -> None:
    command = [sys.executable, str(ROOT / "foretype.py"), "complete", "--model", str(model)]
    with subprocess.Popen(
        [*command, "-:1:1", "--path", "a.py"],
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_interrupts,
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b"#" * 1_000_000)  # more than a pipe holds: returns once it is read
        child.stdin.flush()
        interrupt(child)
        assert child.returncode == 130
        assert child.stderr is not None
        assert child.stderr.read() == b""


def hear_interrupts() -> None:
    """A shell's background jobs ignore Ctrl-C, and their children with them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(child: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C until it is felt: one that arrives just before a read begins waits with it."""
    for _ in range(30):
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(2)
            return


@pytest.mark.slow
def test_output_is_utf8_in_any_locale(place: Path, model: Path) -> None:
    command = [sys.executable, "-X", "utf8=0", str(ROOT / "foretype.py"), "complete", "--json"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run(
        [*command, "--model", str(model), "-:1:5", "--path", "gr\u00fcn.py"],
        cwd=place,
        input=b"x = ",
        env=environment,
        capture_output=True,
        timeout=120,
    )
    assert json.loads(run.stdout.decode("utf-8"))["path"] == "gr\u00fcn.py"
    assert run.stderr == b""


def test_help_states_the_exit_codes(place: Path) -> None:
    run = complete(place, "--help")
    assert b"exit codes: 0 a suggestion was printed, 1 nothing to suggest" in run.stdout
    assert (run.stderr, run.returncode) == (b"", 0)


@pytest.mark.slow
def test_completion_leaves_torch_alone(place: Path, model: Path) -> None:
    program = (
        "import sys\n"
        "from assistant.cli.complete import main\n"
        "code = main(['complete', *sys.argv[1:]])\n"
        "heavy = {'torch', 'transformers', 'onnx', 'training', 'lsp'}\n"
        "print(code, sorted(heavy & sys.modules.keys()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, "--model", str(model), f"sample.py:{CURSOR}"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    assert run.stdout.decode().splitlines()[-1] == "0 []"


class ListeningEngine(Engine):
    """An engine without a network that keeps what it is asked."""

    heard: CompletionRequest

    def load(self, language: str = "") -> None:
        """Load nothing."""

    def respond(self, request: CompletionRequest, *args: Any, **more: Any) -> Response:
        """Answer by the document alone."""
        self.heard = request
        return super().respond(request, *args, **more)


def test_network_is_told_the_name_of_the_files_repository(tmp_path: Path) -> None:
    new_repository(tmp_path / "app", {"pkg/sample.py": SOURCE})
    (tmp_path / "loose.py").write_text(SOURCE)
    engines: list[ListeningEngine] = []

    def engine_for(settings: Settings, *_: object) -> Engine:
        engines.append(ListeningEngine(settings))
        return engines[-1]

    for name in ("app/pkg/sample.py", "loose.py"):
        main(["complete", f"{tmp_path / name}:{CURSOR}"], engine_for=engine_for)
        engines[-1].close(1.0)
    assert [engine.heard.repository for engine in engines] == ["app", ""]
