"""Bits per byte against networks whose loss is known in advance."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import fim
from model.folder import load_folder
from model.gpt import GPT
from model.tokenizer import Tokenizer
from tests.doubles import tiny_folder
from tests.scripted import small_tokenizer
from training.evaluation.bits_per_byte import (
    Passage,
    Scorer,
    Window,
    bits_per_byte,
    folder_scorer,
    measure_cost,
    network_scorer,
    whole_file,
)

TEXT = "def first(name):\n    return name.strip()\n\n\ndef second(name):\n    return first(name)\n"
WHOLE = whole_file("a.py", TEXT)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return small_tokenizer()


def passage(*spans: tuple[int, int]) -> Passage:
    counted = [place for start, end in spans for place in range(start, end)]
    return Passage(group="c", path="a.py", text=TEXT, counted=counted)


def flat(tokenizer: Tokenizer, block_size: int = 64) -> Scorer:
    """Every token costs three bits."""

    def logprobs(windows: Sequence[Window]) -> NDArray[np.float64]:
        for ids, positions in windows:
            assert len(ids) <= block_size
            assert all(0 < position < len(ids) for position in positions)
        return np.full(sum(len(positions) for _, positions in windows), -3 * math.log(2))

    return Scorer(logprobs=logprobs, tokenizer=tokenizer, block_size=block_size)


@pytest.mark.parametrize("block_size", [24, 40, 512])
def test_every_token_is_scored_once_whatever_the_window(
    tokenizer: Tokenizer, block_size: int
) -> None:
    cost = measure_cost(flat(tokenizer, block_size), WHOLE)
    assert cost.n_bytes == len(TEXT)
    assert cost.bits == pytest.approx(3.0 * len(tokenizer.encode(TEXT)))


def test_token_over_an_edge_counts_by_its_share(tokenizer: Tokenizer) -> None:
    sizes = [len(tokenizer.token_bytes(id_)) for id_ in tokenizer.encode(TEXT)]
    index = next(i for i, size in enumerate(sizes) if size > 1 and i > 3)
    start = sum(sizes[:index])
    cost = measure_cost(flat(tokenizer), passage((start, start + 1)))
    assert cost.bits == pytest.approx(3.0 / sizes[index])
    parts = [(0, 11), (11, 30), (30, len(TEXT))]
    total = sum(measure_cost(flat(tokenizer), passage(part)).bits for part in parts)
    assert total == pytest.approx(3.0 * len(sizes))


def test_only_what_stands_above_is_context(tokenizer: Tokenizer) -> None:
    seen: list[str] = []

    def logprobs(windows: Sequence[Window]) -> NDArray[np.float64]:
        seen.extend(tokenizer.decode_bytes(ids).decode() for ids, _ in windows)
        return np.zeros(sum(len(positions) for _, positions in windows))

    scorer = Scorer(logprobs=logprobs, tokenizer=tokenizer, block_size=512)
    at = TEXT.index("    return name")
    measure_cost(scorer, passage((at, at + 10)))
    assert "a.py" in seen[0]  # the header, not scored
    assert "def first" in seen[0]
    assert "second" not in seen[0]


def test_bits_are_those_of_the_networks_logits(tmp_path: Path) -> None:
    folder = load_folder(tiny_folder(tmp_path / "model"))
    network = GPT(folder.config)
    network.load_state_dict({k: torch.tensor(array) for k, array in folder.tensors().items()})
    tokenizer = folder.tokenizer()
    scorer = network_scorer(network, tokenizer, folder.info.block_size)
    header = fim.header(tokenizer, "a.py")
    ids = header + tokenizer.encode(TEXT)
    with torch.inference_mode():
        logits = network(torch.tensor([ids]))[0].float()
    loss = torch.nn.functional.cross_entropy(
        logits[len(header) - 1 : -1], torch.tensor(ids[len(header) :]), reduction="sum"
    )
    expected = float(loss) / math.log(2) / len(TEXT)
    assert bits_per_byte([measure_cost(scorer, WHOLE)]) == pytest.approx(expected, rel=1e-4)
    exact = bits_per_byte([measure_cost(folder_scorer(folder, bits=32), WHOLE)])
    assert exact == pytest.approx(expected, rel=1e-3)
    served = bits_per_byte([measure_cost(folder_scorer(folder), WHOLE)])
    assert served == pytest.approx(expected, rel=0.05)  # in 8 bits


def test_spans_cost_a_served_folder_what_they_cost_its_network(
    tmp_path: Path,
) -> None:
    folder = load_folder(tiny_folder(tmp_path / "model"))
    network = GPT(folder.config)
    network.load_state_dict({k: torch.tensor(array) for k, array in folder.tensors().items()})
    part = passage((20, 30), (60, 70))
    scorer = network_scorer(network, folder.tokenizer(), folder.info.block_size)
    expected = measure_cost(scorer, part).bits
    assert measure_cost(folder_scorer(folder, bits=32), part).bits == pytest.approx(
        expected, rel=1e-3
    )


def test_windows_cost_together_what_they_cost_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = load_folder(tiny_folder(tmp_path / "model"))
    network = GPT(folder.config)
    three_rows = 3 * folder.config.vocab_size
    monkeypatch.setattr("training.evaluation.bits_per_byte._HEAD_NUMBERS", three_rows)
    scorer = network_scorer(network, folder.tokenizer(), folder.info.block_size)
    windows: list[Window] = [([1, 2, 3, 4, 5], [1, 4]), ([7, 8], [1]), ([9, 1, 2], [2, 1])]
    alone = np.concatenate([scorer.logprobs([window]) for window in windows])
    assert scorer.logprobs(windows) == pytest.approx(alone, rel=1e-5)


def test_nothing_to_count_is_an_error() -> None:
    with pytest.raises(ValueError, match="no text at all"):
        bits_per_byte([])


def test_endless_path_leaves_room_for_the_text(tokenizer: Tokenizer) -> None:
    text = passage((0, 5))._replace(path="deep/" * 200 + "a.py")
    assert measure_cost(flat(tokenizer, block_size=128), text).n_bytes == 5


def test_name_that_fills_the_window_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        measure_cost(flat(tokenizer, block_size=4), passage((0, 5)))
