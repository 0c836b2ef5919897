"""Bits per byte against networks whose loss is known in advance."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.tokenizer import Tokenizer, tokenizer_json
from training.evaluation.bits_per_byte import bits_per_byte


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer_json([bytes([byte]) for byte in range(256)], [], "gpt-2"))
    return Tokenizer.from_file(path)


@pytest.mark.parametrize("length", [1, 7, 8, 100])
def test_uniform_guess_costs_log2_of_the_vocabulary(tokenizer: Tokenizer, length: int) -> None:
    def uniform(ids: list[int]) -> NDArray[np.float32]:
        return np.zeros((len(ids), tokenizer.vocab_size), np.float32)

    found = bits_per_byte(uniform, tokenizer, [("a.py", "x" * length)], block_size=16)
    assert found == pytest.approx(math.log2(tokenizer.vocab_size))


def test_every_byte_is_scored_once_whatever_the_window(tokenizer: Tokenizer) -> None:
    text = "".join(chr(97 + i % 26) for i in range(200))
    seen: list[int] = []

    def knows_position(ids: list[int]) -> NDArray[np.float32]:
        """Give each letter's successor all but a little of the probability."""
        logits = np.zeros((len(ids), tokenizer.vocab_size), np.float32)
        for i, id_ in enumerate(ids):
            logits[i, 97 + (id_ - 96) % 26 if 97 <= id_ < 123 else 97] = 20.0
        seen.append(len(ids))
        return logits

    found = bits_per_byte(knows_position, tokenizer, [("", text)], block_size=32)
    assert found < 1e-4
    assert max(seen) <= 31
    assert len(seen) > 200 // 32


def test_header_is_context_and_not_scored(tokenizer: Tokenizer) -> None:
    def only_x(ids: list[int]) -> NDArray[np.float32]:
        logits = np.zeros((len(ids), tokenizer.vocab_size), np.float32)
        logits[:, ord("x")] = 30.0
        return logits

    assert bits_per_byte(only_x, tokenizer, [("path/of/y.py", "xxxx")], block_size=64) < 1e-6


def test_no_text_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="no text"):
        bits_per_byte(lambda ids: np.zeros((len(ids), 1)), tokenizer, [], block_size=8)
