"""Holes are read, drawn and filled as they are; a model that knows the code passes its tests."""

import gzip
import json
from pathlib import Path

import pytest

from assistant.generate.backend import LocalBackend
from tests.doubles import tiny_folder
from tests.scripted import ScriptedRuntime, scripted_info, small_tokenizer
from training.evaluation.infilling import (
    Hole,
    answer_holes,
    bubblewrap,
    fill,
    load_holes,
    main,
    table,
)

HEAD, LINES, TAIL = (
    "def add(a, b):\n",
    "    total = a + b\n    if total:\n        total += 0\n",
    "    return total\n",
)
TOKENIZER = small_tokenizer()


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
    info = scripted_info(suffix_tokens=64)
    return LocalBackend(ScriptedRuntime(TOKENIZER, script), TOKENIZER, info)


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
