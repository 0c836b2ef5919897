"""What a run looks at: bits per byte by language, and a line that the network writes."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from model.config import PRESETS
from model.gpt import GPT
from model.tokenizer import Tokenizer
from tests.doubles import tiny_tokenizer_json
from training.data.corpus import Split, SplitWriter, write_manifest
from training.errors import TrainingError
from training.pretrain.loop import Validator, draw_files
from training.recipe import FolderTable, NetworkTable, Recipe, TrainTable


def corpus(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir()
    with SplitWriter(folder, "train"), SplitWriter(folder, "validation") as held_out:
        for path, text in texts.items():
            held_out.add(source="o/n", path=path, text=text.encode(), sha256="")
    write_manifest(folder, {})
    return folder


@pytest.fixture
def network() -> GPT:
    return GPT(replace(PRESETS["nano"], vocab_size=300, block_size=256, n_layer=1))


def validator(folder: Path) -> Validator:
    tokenizer = Tokenizer.from_table(json.loads(tiny_tokenizer_json()))
    recipe = Recipe(
        network=NetworkTable(preset="nano", vocab_size=300, block_size=256),
        train=TrainTable(tokens=1),
        folder=FolderTable(name="small", suffix_tokens=16),
    )
    return Validator(folder, tokenizer, recipe)


def test_every_language_has_its_own_figure(tmp_path: Path, network: GPT) -> None:
    texts = {"a.py": "x = 1\n" * 9, "a.go": "x := 1\n" * 9, "b.go": "y := 2\n", "c.xyz": "hm\n"}
    figures = validator(corpus(tmp_path / "corpus", texts))(network)
    assert list(figures) == [
        "bits_per_byte",
        "bits_per_byte.go",
        "bits_per_byte.python",
        "bits_per_byte.text",
        "sample",
    ]
    parts = [figures[f"bits_per_byte.{name}"] for name in ("go", "python", "text")]
    assert min(parts) < figures["bits_per_byte"] < max(parts)


def test_every_language_has_as_much_text(tmp_path: Path) -> None:
    """Past failure (2026-11-29): every n-th file of a corpus in six languages held none of C."""
    texts = {f"{i}.py": "x = 1\n" * 500 for i in range(400)} | {"a.c": "int x;\n" * 9}
    drawn = draw_files(Split(corpus(tmp_path / "corpus", texts), "validation"))
    assert Counter(Path(document.path).suffix for document in drawn) == {".py": 10, ".c": 1}


def test_sample_goes_on_with_a_line_of_the_longest_file(tmp_path: Path, network: GPT) -> None:
    lines = [f"    total_{i} = compute_the_sum(values_{i})\n" for i in range(30)]
    texts = {"short.py": "x = 1\n", "long.py": "".join(lines)}
    before, written = validator(corpus(tmp_path / "corpus", texts)).sample(network)
    assert any(line.startswith(before) for line in lines)
    assert before.strip()
    assert "\n" not in written


def test_sample_of_a_file_without_a_long_line(tmp_path: Path, network: GPT) -> None:
    before, _ = validator(corpus(tmp_path / "corpus", {"a.py": "x\n"})).sample(network)
    assert before == ""


def test_corpus_that_holds_nothing_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no validation split"):
        validator(corpus(tmp_path / "corpus", {}))


def test_empty_text_of_an_older_corpus_is_not_looked_at(tmp_path: Path, network: GPT) -> None:
    figures = validator(corpus(tmp_path / "corpus", {"a.py": "x = 1\n" * 9, "a.js": ""}))(network)
    assert list(figures) == ["bits_per_byte", "bits_per_byte.python", "sample"]
