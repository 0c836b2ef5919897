"""The whole way from a repository to a model folder that completes code, in small."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.generate.engine import Engine
from assistant.request import Cancel, CompletionRequest
from assistant.settings import Settings
from model.folder import load_folder
from model.gpt import GPT
from tests.repositories import MIT, new_repository
from training.cli import main
from training.pretrain.loop import Validator

pytestmark = pytest.mark.slow

RECIPE = """
[corpus]
sources = ["sources/*"]
validation = ["lib/held"]
[network]
preset = "nano"
vocab_size = 288
block_size = 192
n_layer = 1
n_embd = 64
[train]
tokens = 24576
batch_tokens = 768
micro_rows = 8
lr_scale = 20.0
validate_steps = 8
[folder]
name = "small"
suffix_tokens = 16
"""


def module(name: str) -> str:
    """A file of some length that differs from the others of the corpus."""
    functions = [
        f"def {name}_{i}(value, scale):\n    total = value * scale + {i}\n    return total\n"
        for i in range(12)
    ]
    return "\n\n".join(functions)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipeline")
    for name in ("held", "first", "second"):
        files = {f"{name}/m{i}.py": module(f"{name}{i}") for i in range(4)}
        new_repository(root / "sources" / f"lib+{name}", {"LICENSE": MIT, **files})
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def shards(folder: Path) -> Path:
    corpus, tokenizer = str(folder / "corpus"), str(folder / "tokenizer.json")
    assert main(["data", "prepare", str(folder / "recipe.toml"), "--out", corpus]) == 0
    assert main(["data", "tokenizer", corpus, "--vocab-size", "288", "--out", tokenizer]) == 0
    pack = ["data", "pack", corpus, "--tokenizer", tokenizer, "--out", str(folder / "shards")]
    assert main([*pack, "--block-size", "192", "--suffix-tokens", "16", "--processes", "1"]) == 0
    return folder / "shards"


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back what a run does with signals; one thread, since other tests run beside this one."""
    monkeypatch.setattr("training.pretrain.command.n_threads", lambda: 1)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def train(folder: Path, *options: str) -> int:
    common = ["--run", str(folder / "run"), "--tokenizer", str(folder / "tokenizer.json")]
    rest = ["--shards", str(folder / "shards"), "--corpus", str(folder / "corpus")]
    return main(["train", "run", str(folder / "recipe.toml"), *common, *rest, *options])


def export(folder: Path, *options: str) -> int:
    common = ["--run", str(folder / "run"), "--tokenizer", str(folder / "tokenizer.json")]
    rest = ["--corpus", str(folder / "corpus"), "--out", str(folder / "model")]
    return main(["train", "export", str(folder / "recipe.toml"), *common, *rest, *options])


@pytest.mark.usefixtures("handlers", "shards")
def test_trained_folder_is_evaluated_described_and_completes_code(folder: Path) -> None:
    assert train(folder) == 0
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["bits_per_byte"] for line in lines if "bits_per_byte" in line]
    assert losses[-1] < losses[0] < 8.0
    assert export(folder) == 0

    report = folder / "report.json"
    held = str(folder / "sources" / "lib+held")
    evaluate = ["train", "score", held, "--model", str(folder / "model"), "--tasks", "20"]
    assert main([*evaluate, "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["repositories"] == ["lib/held"]
    assert {row["tasks"] for row in found["rest_of_line"].values()} == {20}
    assert 0 < found["bits_per_byte"]["fp32"]["mean"] < 8.0

    (folder / "notes.md").write_text("## Limits\n\nIt knows three repositories.\n")
    shutil.rmtree(folder / "model")
    assert export(folder, "--report", str(report), "--notes", str(folder / "notes.md")) == 0
    card = (folder / "model" / "README.md").read_text()
    assert "| lib/first |" in card
    assert "lib/held |" not in card.partition("## Corpus")[2]
    assert "It knows three repositories." in card
    assert "20 cursors a repository" in card

    assert export(folder, "--average") == 1  # none was kept
    assert export(folder, "--set", "network.block_size=384") == 1  # it never read so many tokens
    assert export(folder, "--set", "network.n_layer=3") == 1
    other = folder / "other.json"
    other.write_text((folder / "tokenizer.json").read_text() + "\n")
    assert export(folder, "--tokenizer", str(other)) == 1
    assert train(folder, "--tokenizer", str(other)) == 1
    tuned = ["--run", str(folder / "tuned"), "--set", "train.tokens=1536"]
    assert train(folder, *tuned, "--init", str(folder / "model")) == 0
    assert train(folder, *tuned, "--init", str(folder / "model")) == 0  # is over already
    assert train(folder, "--run", str(folder / "run"), "--init", str(folder / "model")) == 1
    assert export(folder, "--run", str(folder / "tuned"), "--out", str(folder / "tuned-model")) == 0

    model = load_folder(folder / "model")
    assert load_folder(folder / "tuned-model").info.parent == model.content_hash
    assert model.info.name == "small"
    engine = Engine(Settings(model=str(folder / "model")))
    engine.load()
    text = "def held0_0(value, scale):\n    total = value * sc"
    request = CompletionRequest(path="held/m0.py", text=text, offset=len(text), deadline_ms=60_000)
    assert [c.text for c in engine.complete(request, Cancel())][:1] != []


def make_all(folder: Path, *options: str) -> int:
    source = str(folder / "sources" / "lib+first")
    own = ["--set", "corpus.own=true", "--set", "corpus.validation=[]"]
    own += ["--set", "corpus.validation_file_frac=0.5", "--set", "corpus.processes=1"]
    out = ["--out", str(folder / "all")]
    return main(["train", str(folder / "recipe.toml"), source, *own, *out, *options])


@pytest.mark.usefixtures("handlers")
def test_one_command_goes_from_sources_to_a_model_and_on_where_it_was_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = Validator.__call__

    def stop(self: Validator, network: GPT) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return measure(self, network)

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "__call__", stop)
        assert make_all(folder) == 0
    assert "stopped and saved" in capsys.readouterr().err
    assert not (folder / "all" / "model").exists()

    assert make_all(folder) == 0
    said = capsys.readouterr()
    for line in ("the corpus is there", "the tokenizer is there", "rows are there", "going on at"):
        assert line in said.err
    assert "M tokens, " in said.out
    assert "lines of held-out files" in said.out
    assert load_folder(folder / "all" / "model").info.name == "small"

    assert make_all(folder, "--set", "corpus.repository_bytes=1000") == 1
    assert "was made from other sources or by other rules" in capsys.readouterr().err


def test_one_command_says_why_there_is_nothing_to_learn_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.py").write_text(module("a"))
    out = ["--out", str(tmp_path / "out"), "--set", "corpus.validation=[]"]
    assert main(["train", str(folder / "recipe.toml"), str(tmp_path / "mine"), *out]) == 1
    assert (
        "the corpus is empty: no source could be used (mine: licence unknown); your own code"
        in (capsys.readouterr().err)
    )


@pytest.mark.usefixtures("handlers", "shards")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "network.block_size=256", "--run", "new"], "the recipe wants 256"),
        (["--set", "network.vocab_size=256", "--run", "new"], "the recipe's network wants 256"),
        (["--shards", "one", "--shards", "two"], "belongs to no stage"),
        (["--set", "train.dtype='float8'"], "dtype must be auto, float32 or bfloat16"),
        (["--tokenizer", "nowhere.json"], "cannot read nowhere.json"),
        (["--set", "train.speed=1"], "unknown setting train.speed"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("shards")
def test_export_without_a_run_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(folder, "--run", str(tmp_path)) == 1
    assert "holds no checkpoint: train first" in capsys.readouterr().err


def test_eval_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "score", str(tmp_path), "--model", str(tmp_path)]) == 1
    assert "foretype train score:" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["data"], ["train", "fly"]])
def test_missing_or_unknown_step_lists_the_known_ones(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert "one of" in capsys.readouterr().err


def test_help_names_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(step in shown for step in ("run", "export", "score"))
