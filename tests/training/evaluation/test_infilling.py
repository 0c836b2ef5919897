"""Holes are read, drawn and filled as they are; a model that knows the code fills them with it."""

import gzip
import json
from pathlib import Path

import pytest

from assistant.generate.backend import LocalBackend
from tests.scripted import ScriptedRuntime, scripted_info, small_tokenizer
from training.evaluation.infilling import BenchmarkError, Task, fill, load_tasks, sample

HEAD, LINES, TAIL = (
    "def add(a, b):\n",
    "    total = a + b\n    if total:\n        total += 0\n",
    "    return total\n",
)
TEST = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
TOKENIZER = small_tokenizer()
INFO = scripted_info(suffix_tokens=64)


def row(kind: str = "SingleLineInfilling", number: int = 0, **changes: object) -> dict[str, object]:
    first, newline, others = LINES.partition("\n")
    return {
        "task_id": f"{kind}/HumanEval/{number}/L0",
        "entry_point": "add",
        "prompt": HEAD,
        "suffix": others + TAIL,
        "canonical_solution": first + newline,
        "test": TEST,
    } | changes


def task(kind: str = "SingleLineInfilling", **changes: str) -> Task:
    return Task(**(row(kind) | changes))  # type: ignore[arg-type]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(table) + "\n" for table in rows))
    return path


def speaking(script: str) -> LocalBackend:
    return LocalBackend(ScriptedRuntime(TOKENIZER, script), TOKENIZER, INFO)


def test_tasks_come_from_plain_and_gzipped_files(tmp_path: Path) -> None:
    rows = [row(number=number) for number in range(3)]
    plain = write(tmp_path / "a.jsonl", rows)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes() + b"\n"))
    tasks = load_tasks(plain)
    assert [item.problem for item in tasks] == ["HumanEval/0", "HumanEval/1", "HumanEval/2"]
    assert {item.kind for item in tasks} == {"single-line"}
    assert load_tasks(packed) == tasks


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no task"),
        (b"\x1f\x8bno", "cannot read"),
        (b"\xff\xfe", "cannot read"),
        (b"[1\n", "line 1 is not a task"),
        (b"[]\n", "line 1 is not a task"),
        (b"{}\n", "line 1 is not a task .*task_id"),
        (json.dumps(row(test=3)).encode(), "line 1: test must be a text"),
        (json.dumps(row("Essay")).encode(), "'Essay/HumanEval/0/L0' should begin with one of Si"),
        (json.dumps(row(task_id="SingleLineInfilling")).encode(), "should begin with"),
    ],
)
def test_other_files_are_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=problem):
        load_tasks(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="cannot read"):
        load_tasks(tmp_path / "none.jsonl")


def test_sample_is_a_function_of_the_seed(tmp_path: Path) -> None:
    tasks = load_tasks(write(tmp_path / "a", [row(number=number) for number in range(40)]))
    chosen = sample(tasks, 10, seed=1)
    assert len(set(chosen)) == 10
    assert [item for item in tasks if item in chosen] == chosen
    assert sample(tasks, 10, seed=1) == chosen != sample(tasks, 10, seed=2)
    assert sample(tasks, None, seed=1) == sample(tasks, 99, seed=1) == tasks


def test_line_is_filled_to_its_end() -> None:
    filling = fill(speaking(HEAD + LINES + TAIL), task())
    assert (filling.text, filling.finish_reason) == ("    total = a + b\n", "lines")
    assert 0 < filling.new_tokens < 20


def test_lines_are_filled_up_to_their_number() -> None:
    asked = task("MultiLineInfilling", suffix=TAIL, canonical_solution=LINES)
    filling = fill(speaking(HEAD + LINES + TAIL), asked)
    assert (filling.text, filling.finish_reason) == (LINES, "lines")


def test_model_that_ends_is_taken_at_its_word() -> None:
    asked = task("MultiLineInfilling", suffix=TAIL, canonical_solution=LINES)
    filling = fill(speaking(HEAD + "    total = a + b"), asked)
    assert (filling.text, filling.finish_reason) == ("    total = a + b\n", "stop")


def test_span_ends_inside_a_line() -> None:
    asked = task(
        "RandomSpanInfillingLight",
        prompt="def add(a, b):\n    tot",
        canonical_solution="al = a",
        suffix=" + b\n    return total\n",
    )
    filling = fill(speaking("def add(a, b):\n    total = a"), asked)
    assert (filling.text, filling.finish_reason) == ("al = a", "stop")
    run_on = fill(speaking("def add(a, b):\n    total = a\n    b = 1\n"), asked)
    assert (run_on.text, run_on.finish_reason) == ("al = a", "lines")


def test_endless_text_is_cut() -> None:
    filling = fill(speaking(HEAD + "    total = " + "(" * 2000), task())
    assert filling.finish_reason == "length"
    assert filling.text.endswith("((\n")
    assert filling.new_tokens == 64


def test_same_task_is_filled_alike_whatever_was_asked_before() -> None:
    backend = speaking(HEAD + LINES + TAIL)
    first = fill(backend, task())
    fill(backend, task("MultiLineInfilling", suffix=TAIL, canonical_solution=LINES))
    assert fill(backend, task()) == first


def test_exercise_puts_the_text_into_the_hole() -> None:
    asked = task().exercise("    total = 3\n")
    assert asked.program == "def add(a, b):\n    total = 3\n" + task().suffix
    assert asked.reference == HEAD + LINES + TAIL
    assert (asked.entry_point, asked.test) == ("add", TEST)


@pytest.mark.parametrize(
    ("kind", "text", "is_exact"),
    [
        ("SingleLineInfilling", "    total = a + b\n", True),
        ("SingleLineInfilling", "    total = a + b  \n", True),
        ("SingleLineInfilling", "  total = a + b\n", False),
        ("RandomSpanInfilling", "    total = a + b\n", True),
        ("RandomSpanInfilling", "    total = a + b", False),
    ],
)
def test_exact_match_forgives_white_space_at_line_ends_only(
    kind: str, text: str, is_exact: bool
) -> None:
    assert task(kind).is_exact(text) is is_exact
