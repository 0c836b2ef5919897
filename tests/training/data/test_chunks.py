"""One document's chunks: what fits, what is a hole, and what its header shows."""

import functools

import numpy as np
import pytest

from tests.code_samples import PYTHON
from tests.scripted import small_tokenizer
from training.data.corpus import Document
from training.data.rows import Chunks, first_tokens, shown_path
from training.data.spans import cut_hole

TOKENIZER = small_tokenizer("qwen2")
CODE = "".join(
    f"def area_{i}(width):\n    total = width * {i}\n    return total\n\n" for i in range(20)
)


def chunks(text: str, path: str = "pkg/a.py") -> Chunks:
    document = Document(source="o/n", path=path, text=text)
    return Chunks(document, TOKENIZER)


@pytest.mark.parametrize("budget", [0, 10, 50, 10_000])
def test_lines_that_fit_are_the_longest_run_that_does(budget: int) -> None:
    made = chunks(CODE)
    for line in (0, 7, made.n_lines - 1):
        end = made.fitting(line, budget)
        assert made.n_tokens(line, end) <= budget
        if end < made.n_lines:
            assert made.n_tokens(line, end + 1) > budget


def test_hole_of_several_lines_leaves_something_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = functools.partial(cut_hole, kind="statement")
    monkeypatch.setattr("training.data.rows.cut_hole", statements)
    made = chunks(CODE)
    n_long = n_blind = 0
    for seed in range(300):
        parts = made.cut(4, 12, np.random.default_rng(seed))
        is_long = "\n" in parts.middle.rstrip()
        n_long += is_long
        n_blind += is_long and not parts.suffix.strip()
    assert n_long > 50
    assert n_blind <= 0.06 * n_long  # 3% of 4,000


def test_hole_is_cut_from_the_lines_and_what_follows_it_is_the_next_line() -> None:
    made = chunks(PYTHON)
    start = made.starts[3]
    for seed in range(20):
        parts = made.cut(3, made.n_lines, np.random.default_rng(seed))
        assert parts.prefix + parts.middle + parts.suffix == PYTHON[start:]
        n_chars = len(parts.prefix) + len(parts.middle)
        following = made.line_after(3, n_chars)
        assert made.starts[following] <= start + n_chars
        assert following == made.n_lines or start + n_chars < made.starts[following + 1]
    assert made.line_after(3, len(PYTHON) - start) == made.n_lines


def test_endless_path_is_cut_to_its_end() -> None:
    assert shown_path(TOKENIZER, "pkg/a.py") == "pkg/a.py"
    assert "d/" * 900 + "a.py" != shown_path(TOKENIZER, "d/" * 900 + "a.py")
    assert shown_path(TOKENIZER, "d/" * 900 + "a.py").endswith("d/a.py")


def test_first_tokens_end_at_a_whole_character() -> None:
    assert first_tokens(TOKENIZER, "größe = '🙂'", 10_000) == "größe = '🙂'"
    for n_tokens in range(8):
        assert "größe = '🙂'".startswith(first_tokens(TOKENIZER, "größe = '🙂'", n_tokens))
