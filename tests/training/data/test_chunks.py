"""One document's chunks: what fits, what is a hole, and what its header shows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.code_samples import PYTHON
from tests.scripted import small_tokenizer
from training.data.chunks import Chunks, first_tokens, shown_path
from training.data.corpus import Document
from training.data.infill import SpanShares

TOKENIZER = small_tokenizer("qwen2")
CODE = "".join(
    f"def area_{i}(width):\n    total = width * {i}\n    return total\n\n" for i in range(20)
)
STATEMENTS = SpanShares(
    rest_of_line=0, statement=1, block=0, arguments=0, expression=0, characters=0
)


def chunks(text: str, path: str = "pkg/a.py", spans: SpanShares | None = None) -> Chunks:
    document = Document(source="o/n", path=path, text=text)
    return Chunks(document, TOKENIZER, spans or SpanShares())


@pytest.mark.parametrize("budget", [0, 10, 50, 10_000])
def test_lines_that_fit_are_the_longest_run_that_does(budget: int) -> None:
    made = chunks(CODE)
    for line in (0, 7, made.n_lines - 1):
        end = made.fitting(line, budget)
        assert made.n_tokens(line, end) <= budget
        if end < made.n_lines:
            assert made.n_tokens(line, end + 1) > budget


def test_hole_of_several_lines_leaves_something_below_it() -> None:
    made = chunks(CODE, spans=STATEMENTS)
    n_long = n_blind = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        asked: list[bool] = []

        def suffix_tokens(is_long: bool, asked: list[bool] = asked) -> int:
            asked.append(is_long)
            return 40

        ids, _ = made.infill((4, 12), "spm", suffix_tokens, rng, lambda *_: made.header)
        at = ids.index(TOKENIZER.special_id("<|fim_suffix|>"))
        n_long += asked[0]
        n_blind += asked[0] and ids[at + 1] == TOKENIZER.special_id("<|fim_middle|>")
    assert n_long > 50
    assert n_blind <= 0.02 * n_long


def test_header_is_asked_for_the_place_of_the_hole_in_the_document() -> None:
    made = chunks(PYTHON)
    holes: list[tuple[int, int]] = []

    def header_of(start: int, end: int) -> list[int]:
        holes.append((start, end))
        return made.header

    for seed in range(20):
        rng = np.random.default_rng(seed)
        ids, _ = made.infill((3, made.n_lines), "spm", lambda _: 1_000, rng, header_of)
        start, end = holes.pop()
        marks = [TOKENIZER.special_id(f"<|fim_{name}|>") for name in ("suffix", "middle")]
        at_suffix, at_middle = (ids.index(mark) for mark in marks)
        assert 0 <= start <= end
        assert TOKENIZER.decode_bytes(ids[at_suffix + 1 : at_middle]).decode() == PYTHON[end:]
        assert PYTHON[:end].endswith(TOKENIZER.decode_bytes(ids[at_middle + 1 : -1]).decode())


def test_endless_path_is_cut_to_its_end() -> None:
    assert shown_path(TOKENIZER, "pkg/a.py") == "pkg/a.py"
    assert "d/" * 900 + "a.py" != shown_path(TOKENIZER, "d/" * 900 + "a.py")
    assert shown_path(TOKENIZER, "d/" * 900 + "a.py").endswith("d/a.py")


def test_first_tokens_end_at_a_whole_character() -> None:
    assert first_tokens(TOKENIZER, "größe = '🙂'", 10_000) == "größe = '🙂'"
    for n_tokens in range(8):
        assert "größe = '🙂'".startswith(first_tokens(TOKENIZER, "größe = '🙂'", n_tokens))
