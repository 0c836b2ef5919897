"""Bits of added lines against networks whose loss is known in advance."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.folder import load_folder
from model.gpt import GPT
from model.tokenizer import Tokenizer
from tests.doubles import tiny_folder
from tests.repositories import commit_files, new_repository
from tests.scripted import small_tokenizer
from training.evaluation.bits_per_byte import bits_per_byte as whole_bits
from training.evaluation.bits_per_byte import gpt_logits
from training.finetune.judging import bits
from training.finetune.judging.eval_spans import Passage

TEXT = "def first(name):\n    return name.strip()\n\n\ndef second(name):\n    return first(name)\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return small_tokenizer()


def passage(*spans: tuple[int, int], text: str = TEXT) -> Passage:
    return Passage(group="c", path="a.py", text=text, spans=spans)


def flat(tokenizer: Tokenizer, block_size: int = 64, bits_each: float = 3.0) -> bits.Scorer:
    """Every token costs the same."""

    def logprobs(ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float64]:
        assert len(ids) <= block_size
        assert all(0 < place < len(ids) for place in places)
        return np.full(len(places), -bits_each * math.log(2))

    return bits.Scorer(logprobs=logprobs, tokenizer=tokenizer, block_size=block_size)


@pytest.mark.parametrize("block_size", [24, 40, 512])
def test_every_counted_token_is_scored_once_whatever_the_window(
    tokenizer: Tokenizer, block_size: int
) -> None:
    [found] = bits.counted(flat(tokenizer, block_size), [passage((0, len(TEXT)))])
    assert found.n_bytes == len(TEXT)
    assert found.bits == pytest.approx(3.0 * len(tokenizer.encode(TEXT)))


def test_token_over_an_edge_counts_by_its_share(tokenizer: Tokenizer) -> None:
    sizes = [len(tokenizer.token_bytes(id_)) for id_ in tokenizer.encode(TEXT)]
    place = next(i for i, size in enumerate(sizes) if size > 1 and i > 3)
    start = sum(sizes[:place])
    [found] = bits.counted(flat(tokenizer), [passage((start, start + 1))])
    assert found.bits == pytest.approx(3.0 / sizes[place])
    parts = [(0, 11), (11, 30), (30, len(TEXT))]
    total = sum(each.bits for each in bits.counted(flat(tokenizer), [passage(p) for p in parts]))
    assert total == pytest.approx(3.0 * len(sizes))


def test_only_what_stands_above_is_context(tokenizer: Tokenizer) -> None:
    seen: list[str] = []

    def logprobs(ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float64]:
        seen.append(tokenizer.decode_bytes(ids).decode())
        return np.zeros(len(places))

    scorer = bits.Scorer(logprobs=logprobs, tokenizer=tokenizer, block_size=512)
    at = TEXT.index("    return name")
    bits.counted(scorer, [passage((at, at + 10))])
    assert "def first" in seen[0]
    assert "second" not in seen[0]


def test_network_and_its_folder_agree_with_the_plain_measure(tmp_path: Path) -> None:
    folder = load_folder(tiny_folder(tmp_path / "model"))
    network = GPT(folder.config)
    weights = {name: torch.tensor(array) for name, array in folder.tensors().items()}
    network.load_state_dict(weights)
    size = folder.info.block_size
    whole = passage((0, len(TEXT)))
    expected = whole_bits(
        gpt_logits(network), folder.tokenizer(), [("a.py", TEXT)], block_size=size
    )
    of_network = bits.of_network(network, folder.tokenizer(), size)
    assert bits.bits_per_byte(bits.counted(of_network, [whole])) == pytest.approx(expected)
    of_folder = bits.of_folder(folder.path)
    served = bits.bits_per_byte(bits.counted(of_folder, [whole, passage((20, 30))]))
    assert served == pytest.approx(expected, rel=0.05)  # in 8 bits


def test_later_bits_of_a_range(tmp_path: Path, tokenizer: Tokenizer) -> None:
    repository = new_repository(tmp_path / "git", {"a.py": "import os\n"})
    commit_files(repository, {"a.py": "import os\n\n\n" + TEXT})
    found = bits.later_bits(flat(tokenizer), repository, "HEAD~1..HEAD")
    assert 3.0 / 8 < found < 3.0
    model = tiny_folder(tmp_path / "model")
    assert bits.later_bits(model, repository, "HEAD~1..HEAD", max_bytes=10) > found


def test_nothing_to_count_is_an_error() -> None:
    with pytest.raises(ValueError, match="no text at all"):
        bits.bits_per_byte([])


def test_name_that_fills_the_window_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        bits.counted(flat(tokenizer, block_size=4), [passage((0, 5))])
