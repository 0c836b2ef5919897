"""Training a tokenizer: what comes out is ours, lossless and the library's own equal."""

import json
from pathlib import Path

import pytest
import tokenizers

from model.tokenizer import PATTERNS, SPECIAL_TOKENS, Tokenizer, TokenizerError
from training.data.corpus import Split, SplitWriter, write_manifest
from training.data.train_tokenizer import judge, main, sample, train

TEXT = "".join(
    f"def value_{i}(self):\n    if self.ready:\n        return 'größe {i}'\n\n" for i in range(60)
)
VOCAB_SIZE = 256 + 36 + len(SPECIAL_TOKENS)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    with SplitWriter(folder, "train") as writer, SplitWriter(folder, "validation"):
        for n in range(5):
            text = TEXT.replace("value", f"value{n}").encode()
            writer.add(source="o/n", path=f"{n}.py", text=text, sha256="")
    write_manifest(folder, {})
    return folder


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_trained_tokenizer_agrees_with_the_library(pattern: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(train([TEXT], VOCAB_SIZE, pattern), encoding="utf-8")
    ours = Tokenizer.from_file(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert (ours.vocab_size, ours.pattern_name) == (VOCAB_SIZE, pattern)
    text = TEXT + "\t\tx = 1  # 数据 🙂\r\n\n\n   y"
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids
    assert ours.decode_bytes(ours.encode(text)) == text.encode()
    assert [ours.token_bytes(id_) for id_ in range(256)] == [bytes([i]) for i in range(256)]


def test_training_is_repeatable() -> None:
    assert train([TEXT], VOCAB_SIZE, "qwen2") == train([TEXT], VOCAB_SIZE, "qwen2")


def test_training_shortens_the_text() -> None:
    tokenizer = Tokenizer.from_table(json.loads(train([TEXT], VOCAB_SIZE, "qwen2")))
    assert len(tokenizer.encode(TEXT)) < 0.5 * len(TEXT.encode())


def test_vocabulary_too_small_or_text_too_short_is_an_error() -> None:
    with pytest.raises(TokenizerError, match="at least 272 ids are needed"):
        train([TEXT], 271, "gpt-2")
    with pytest.raises(TokenizerError, match="take more text or a smaller vocabulary"):
        train(["a b c"], 1000, "gpt-2")


def test_sample_is_a_fair_and_repeatable_part(corpus: Path) -> None:
    split = Split(corpus)
    texts = list(sample(split, 2 * len(TEXT), seed=0))
    assert 2 <= len(texts) <= 3
    assert texts == list(sample(split, 2 * len(TEXT), seed=0))
    assert len(list(sample(split, 10**9, seed=0))) == 5


def test_quality_counts_bytes_tokens_and_lines() -> None:
    tokenizer = Tokenizer.from_table(json.loads(train([TEXT], 272, "gpt-2")))  # bytes alone
    assert judge(tokenizer, ["if a:\n    b\n"]) == "1.000 bytes/token  6.00 tokens/line"
    assert judge(tokenizer, []) == "0.000 bytes/token  0.00 tokens/line"


def test_command_writes_and_measures(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tokenizers" / "tokenizer.json"
    arguments = [str(corpus), "--out", str(out), "--pattern", "qwen2", "--vocab-size"]
    assert main([*arguments, str(VOCAB_SIZE)]) == 0
    tokenizer = Tokenizer.from_file(out)
    texts = list(sample(Split(corpus), 3_000_000, seed=1))
    assert capsys.readouterr().out == f"qwen2      {judge(tokenizer, texts)}\n"


@pytest.mark.parametrize("vocab_size", ["100", "60000"])
def test_command_says_what_is_wrong_in_one_line(
    vocab_size: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(corpus), "--out", str(tmp_path / "t.json"), "--vocab-size", vocab_size]) == 1
    error = capsys.readouterr().err
    assert error.startswith("foretype data tokenizer: ")
    assert error.count("\n") == 1
    assert main([str(tmp_path), "--out", str(tmp_path / "t.json")]) == 1
    assert "is not a prepared corpus" in capsys.readouterr().err
