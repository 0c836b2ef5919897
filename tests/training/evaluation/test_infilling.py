"""Holes are read, drawn and filled as they are; a model that knows the code passes its tests."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.generate.backend import LocalBackend
from tests.doubles import tiny_folder
from tests.scripted import scripted_backend
from training.evaluation.infilling import (
    Hole,
    answer_holes,
    bubblewrap,
    fill,
    load_holes,
    main,
    run_test,
    table,
)

HEAD, LINES, TAIL = (
    "def add(a, b):\n",
    "    total = a + b\n    if total:\n        total += 0\n",
    "    return total\n",
)


def hole(kind: str = "SingleLineInfilling", number: int = 0, **changes: str) -> Hole:
    first, newline, others = LINES.partition("\n")
    return {
        "task_id": f"{kind}/HumanEval/{number}/L0",
        "entry_point": "add",
        "prompt": HEAD,
        "suffix": others + TAIL,
        "canonical_solution": first + newline,
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
        "path": "solution.py",
    } | changes


def write(path: Path, rows: list[Hole]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scripted(script: str) -> LocalBackend:
    return scripted_backend(script, suffix_tokens=64)


def test_holes_come_from_plain_and_gzipped_files(tmp_path: Path) -> None:
    rows = [hole(number=number) for number in range(3)]
    plain = write(tmp_path / "a.jsonl", rows)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes() + b"\n"))
    assert load_holes(plain) == load_holes(packed) == rows


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x1f\x8bno", b"\xff\xfe", b"[1\n", b"[]\n", b"{}\n",
        json.dumps(hole() | {"test": 3}).encode(), json.dumps(hole("Essay")).encode(),
    ],
)  # fmt: skip
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tasks"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read benchmark .*tasks|holds no tasks"):
        load_holes(path)


def test_draw_is_a_function_of_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [hole(number=number) for number in range(40)])
    drawn = load_holes(path, 10, seed=1)
    assert len(drawn) == 10
    assert [row for row in load_holes(path) if row in drawn] == drawn
    assert load_holes(path, 10, seed=1) == drawn != load_holes(path, 10, seed=2)
    assert len(load_holes(path, 99)) == 40


def test_hole_is_filled_up_to_its_number_of_lines() -> None:
    backend = scripted(HEAD + LINES + TAIL)
    assert fill(backend, hole()) == "    total = a + b\n"
    lines = hole("MultiLineInfilling", suffix=TAIL, canonical_solution=LINES)
    assert fill(backend, lines) == LINES
    assert fill(backend, hole()) == "    total = a + b\n"  # whatever was asked before


def test_model_that_ends_early_is_taken_at_its_word() -> None:
    lines = hole("MultiLineInfilling", suffix=TAIL, canonical_solution=LINES)
    assert fill(scripted(HEAD + "    total = a + b"), lines) == "    total = a + b\n"


@pytest.mark.parametrize("script", ["", "\n    b = 1\n"])
def test_span_ends_inside_a_line(script: str) -> None:
    span = hole(
        "RandomSpanInfillingLight",
        prompt="def add(a, b):\n    tot",
        canonical_solution="al = a",
        suffix=" + b\n    return total\n",
    )
    assert fill(scripted("def add(a, b):\n    total = a" + script), span) == "al = a"


def test_model_that_knows_the_code_passes_and_another_does_not() -> None:
    known = answer_holes([hole()], scripted(HEAD + LINES + TAIL))
    assert [(each["reason"], each["exact"]) for each in known] == [("passed", True)]
    other = answer_holes([hole(), hole()], scripted(HEAD + "    total = b + a\n"))
    assert [(each["reason"], each["exact"]) for each in other] == [("passed", False)] * 2
    wrong = answer_holes([hole()], scripted(HEAD + "    total = a - b\n"))
    assert [each["reason"] for each in wrong] == ["wrong answer"]


def test_report_is_the_same_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_folder(tmp_path)
    tasks = str(write(tmp_path / "tasks.jsonl", [hole(number=number) for number in range(3)]))
    reports = []
    for name in ("one.json", "two.json"):
        options = ["--limit", "2", "--seed", "3"]
        where = ["--model", str(model), "--json", str(tmp_path / name)]
        assert main([tasks, tasks, *options, *where]) == 0
        reports.append((tmp_path / name).read_text())
    assert reports[0] == reports[1]
    report = json.loads(reports[0])
    assert [found["tasks"] for found in report["benchmarks"]] == [2, 2]
    assert len(report["answers"]) == 4
    assert report["answers"][:2] == report["answers"][2:]
    assert capsys.readouterr().out.startswith("tiny, holes filled\n")


def test_lines_of_several_languages_are_compared_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "name": f"problem_{number}-L1",
            "language": language,
            "prompt": "let total = 0;",
            "suffix": "return total;",
            "canonical_solution": "  total = 1;",
            "tests": "never run",
        }
        for number, language in enumerate(["js", "py", "js"])
    ]
    tasks = write(tmp_path / "lines.jsonl", rows)
    holes = load_holes(tasks)
    assert [hole["path"] for hole in holes] == ["solution.js", "solution.js", "solution.py"]
    known = answer_holes(holes[:1], scripted("let total = 0;\n  total = 1;\nreturn total;"))
    assert [(each["exact"], each["reason"]) for each in known] == [(True, "")]
    assert main([str(tasks), "--model", str(tiny_folder(tmp_path))]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:4] for line in out.splitlines()[3:5]] == [
        ["Santa-FIM,", "js", "2", "-"], ["Santa-FIM,", "py", "1", "-"]
    ]  # fmt: skip
    assert "bubblewrap" not in err


def test_missing_bubblewrap_is_told_and_the_tests_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, tasks = tiny_folder(tmp_path), write(tmp_path / "tasks.jsonl", [hole()])
    monkeypatch.setenv("PATH", str(tmp_path))
    bubblewrap.cache_clear()
    try:
        assert main([str(tasks), "--model", str(model)]) == 0
    finally:
        bubblewrap.cache_clear()
    err = capsys.readouterr().err
    assert "no bubblewrap here, code runs with your rights\n" in err


def test_table_shows_what_was_measured() -> None:
    interval = {"mean": 0.5, "low": 0.25, "high": 0.75}
    found = {"kind": "MultiLineInfilling", "tasks": 40, "pass_at_1": interval, "exact": interval}
    report = {
        "model": "nano",
        "benchmarks": [found],
    }
    lines = table(report).split("\n")
    shown = ["50.0%", "[25.0,", "75.0]"]
    assert lines[3].split() == ["MultiLineInfilling", "40", *shown, *shown]


def test_users_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jsonl"
    assert main([str(missing)]) == 1
    err = capsys.readouterr().err
    assert f": cannot read benchmark {missing}: " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_limit_must_be_a_number_of_tasks(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks.jsonl", f"--limit={limit}"]) == 2
    assert f"{limit} is not a number above 0" in capsys.readouterr().err


CORRECT = "def double(x):\n    return x + x\n"
TEST = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'\n"
HAS_BUBBLEWRAP = bool(bubblewrap())
needs_bubblewrap = pytest.mark.skipif(not HAS_BUBBLEWRAP, reason="no bubblewrap here")


@pytest.fixture(params=[pytest.param(True, marks=needs_bubblewrap), False])
def either_way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Run a test under bubblewrap, and as if there were none."""
    if not request.param:
        monkeypatch.setenv("PATH", str(tmp_path))
        bubblewrap.cache_clear()
    yield
    bubblewrap.cache_clear()


ENDLESS_PRINTS = """
import signal
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    print("x" * 65536)
"""
PROGRAMS = {
    CORRECT: "passed",
    "def double(x):\n    return x\n": "wrong answer",
    "def double(x:\n": "SyntaxError",
    "def single(x): pass\n": "KeyError",
    "def double(x):\n    return 1 / 0\n": "ZeroDivisionError",
    f"{CORRECT}x = bytearray(1 << 30)\n": "MemoryError",
    # what looks as if it had passed
    "print('passed')\nraise SystemExit(0)\n": "SystemExit",
    "import os\nos._exit(0)\n": "died",
    "import os\nos.write(2, b'passed\\n')\nos._exit(0)\n": "died",
    "import sys\nsys.stderr.write('passed')\nsys.exit()\n": "SystemExit",
    "def double(x):\n    print('passed')\n": "wrong answer",
    "def check(candidate): pass\ndef double(x): return None\n": "wrong answer",
    "import ctypes\nctypes.string_at(0)\n": "died",
}


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("program", PROGRAMS)
def test_reason_says_what_happened(program: str) -> None:
    assert run_test(program, TEST, "double") == PROGRAMS[program]


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("program", ["import time\ntime.sleep(999)\n", ENDLESS_PRINTS])
def test_endless_program_ends_in_time(program: str) -> None:
    started = time.monotonic()
    assert run_test(program + CORRECT, TEST, "double", wall_s=1.5) in ("timeout", "died")
    assert time.monotonic() - started < 30


@pytest.mark.usefixtures("either_way")
def test_endless_test_ends_in_time() -> None:
    test = "def check(candidate):\n    while True: pass\n"
    assert run_test(CORRECT, test, "double", wall_s=1.5) == "timeout"


@pytest.mark.usefixtures("either_way")
def test_program_works_in_an_empty_folder_without_our_environment() -> None:
    program = (
        "import os\nassert os.listdir() == [] and not os.environ.keys() - {'LC_CTYPE', 'PWD'}\n"
    )
    assert run_test(program + CORRECT, TEST, "double") == "passed"


@needs_bubblewrap
@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)",
        "open({outside!r}).read()",
        "open({outside!r}, 'w')",
        "open('/etc/passwd')",
        "open(__import__('os').__file__, 'a')",
        "import os\nos.kill(os.getppid(), 9) if os.getppid() > 1 else 1 / 0",
    ],
)
def test_contained_program_does_not_reach_out(
    code: str, tmp_path: Path, listening_port: int
) -> None:
    outside = tmp_path / "mine.txt"
    outside.write_text("mine")
    program = f"{code.format(outside=str(outside), port=listening_port)}\n{CORRECT}"
    assert run_test(program, TEST, "double") not in ("passed", "timeout")
    assert outside.read_text() == "mine"


@pytest.fixture
def listening_port() -> Iterator[int]:
    """A port of this machine that answers outside of the sandbox."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_bubblewrap_that_does_not_work_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap.__wrapped__() == ()
