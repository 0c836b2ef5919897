"""The command: a model that knows the answers passes, the report is the same each time."""

import json
from pathlib import Path

import pytest

from assistant.generate.backend import LocalBackend
from tests.doubles import tiny_folder
from tests.scripted import ScriptedRuntime, scripted_info, small_tokenizer
from training.cli import main
from training.data.corpus import SplitWriter, write_manifest
from training.evaluation import sandbox
from training.evaluation.infilling import Task
from training.evaluation.sandbox import SandboxError, Verdict
from training.evaluation.score_infilling import answered, table

# problem -> head, hole, tail, test
PROBLEMS = {
    "add": ("def add(a, b):\n", "    total = a + b\n", "    return total\n", "(1, 2) == 3"),
    "twice": ("def twice(x):\n", "    both = [x, x]\n", "    return both\n", "(1) == [1, 1]"),
    "best": (
        "def best(items):\n",
        "    first = max(items)\n",
        "    return first\n",
        "([1, 3]) == 3",
    ),
}


def tasks() -> list[Task]:
    return [
        Task(
            task_id=f"SingleLineInfilling/HumanEval/{number}/L0",
            entry_point=name,
            prompt=head,
            suffix=tail,
            canonical_solution=hole,
            test=f"def check(candidate):\n    assert candidate{test}\n",
        )
        for number, (name, (head, hole, tail, test)) in enumerate(PROBLEMS.items())
    ]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    rows = [{name: getattr(task, name) for name in Task.__dataclass_fields__} for task in tasks()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    with SplitWriter(folder, "train") as train, SplitWriter(folder, "validation"):
        train.add(source="o/n", path="a.py", text=b"    first = max(items)\n", sha256="0")
    write_manifest(folder, {})
    return folder


def scripted(script: str) -> LocalBackend:
    info = scripted_info(suffix_tokens=64)
    tokenizer = small_tokenizer()
    return LocalBackend(ScriptedRuntime(tokenizer, script), tokenizer, info)


def has_isolation() -> bool:
    try:
        sandbox.require_isolation()
    except SandboxError:
        return False
    return True


def test_model_that_knows_the_code_passes_its_tests() -> None:
    script = "".join("".join(parts[:3]) for parts in PROBLEMS.values())
    isolated = has_isolation()

    def judge(task: Task, text: str) -> Verdict:
        return sandbox.run(task.exercise(text), isolated=isolated)

    outcomes = list(answered(tasks(), scripted(script), judge))
    assert [outcome.task for outcome in outcomes] == tasks()
    assert [outcome.verdict.reason for outcome in outcomes] == ["passed"] * 3
    assert all(outcome.is_exact and outcome.has_ended for outcome in outcomes)


def test_right_answer_need_not_be_the_authors() -> None:
    task = tasks()[0]
    outcome = next(
        answered(
            [task],
            scripted(task.prompt + "    total = b + a\n"),
            lambda task, text: sandbox.run(task.exercise(text), isolated=False),
        )
    )
    assert (outcome.verdict.passed, outcome.is_exact) == (True, False)


def test_report_is_the_same_each_time(
    benchmark: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_folder(tmp_path)
    reports = []
    for name in ("one.json", "two.json"):
        code = main(
            [
                "train", "eval-infilling", str(benchmark), str(benchmark),
                "--model", str(model), "--limit", "2", "--seed", "3", "--unsandboxed",
                "--corpus", str(corpus), "--run-tokens", "6", "--json", str(tmp_path / name),
            ]
        )  # fmt: skip
        assert code == 0
        reports.append((tmp_path / name).read_text())
    assert reports[0] == reports[1]
    report = json.loads(reports[0])
    assert report["plan"] == {"limit": 2, "seed": 3, "sandboxed": False}
    assert [found["tasks"] for found in report["benchmarks"]] == [2, 2]
    assert len(report["answers"]) == 4
    assert report["answers"][:2] == report["answers"][2:]
    assert report["verbatim"]["authors"]["n_text"] == 4
    out = capsys.readouterr().out
    assert out.startswith("tiny on HumanEval-Infilling\n")
    assert out.endswith("run without a sandbox\n")


def test_table_shows_what_was_measured() -> None:
    interval = {"mean": 0.5, "low": 0.25, "high": 0.75}
    copies = {"n_text": 9, "n_long": 8, "n_copied": 2, "n_token": 99, "n_copied_token": 40}
    report = {
        "model": "nano",
        "plan": {"sandboxed": True},
        "benchmarks": [
            {
                "kind": "multi-line",
                "tasks": 40,
                "problems": 12,
                "pass_at_1": interval,
                "exact": interval,
                "ended": 0.75,
            }
        ],
        "verbatim": {"run_tokens": 20, "generated": copies, "authors": copies},
    }
    lines = table(report).split("\n")
    assert lines[2].split()[-5:] == ["pass@1", "[95%]", "exact", "[95%]", "ended"]
    shown = ["50.0%", "[25.0,", "75.0]"]
    assert lines[3].split() == ["multi-line", "40", "12", *shown, *shown, "75.0%"]
    assert lines[5:8] == [
        "runs of 20 tokens that stand in the corpus:",
        "  generated  2 of 8 texts so long, 40 of 99 tokens",
        "  authors    2 of 8 texts so long, 40 of 99 tokens",
    ]


def test_what_cannot_be_contained_is_not_run(
    benchmark: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare
    sandbox.require_isolation.cache_clear()
    try:
        assert main(["train", "eval-infilling", str(benchmark)]) == 1
    finally:
        sandbox.require_isolation.cache_clear()
    assert capsys.readouterr().err == (
        "foretype train eval-infilling: a sandbox needs Linux and the program `unshare` of"
        " util-linux\nGenerated code would run with your rights; --unsandboxed accepts that.\n"
    )


def test_users_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jsonl"
    assert main(["train", "eval-infilling", str(missing), "--unsandboxed"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"foretype train eval-infilling: cannot read {missing}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_limit_must_be_a_number_of_tasks(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "eval-infilling", "tasks.jsonl", f"--limit={limit}"])
    assert f"{limit} is not a number above 0" in capsys.readouterr().err
