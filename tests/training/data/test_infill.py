"""Cuts: the text comes back, and the kinds are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.infill import KINDS, MAX_MIDDLE_CHARS, Parts, _Lines, cut

TEXTS = sorted((Path(__file__).parents[2] / "data" / "text").glob("*.*"))
CODE = """import os


def area(width, height):
    if width < 0:
        raise ValueError("width")
    return width * height

class Box:
    name = "box"
"""
code = st.lists(st.sampled_from(["a = 1", "    b", "\tc()", "", "  ", "def f():", "🙂", "\f"])).map(
    "\n".join
)


@settings(max_examples=150)
@given(text=st.one_of(st.text(max_size=80), code), seed=st.integers(0, 2**32))
def test_text_comes_back_from_its_parts(text: str, seed: int) -> None:
    parts = cut(text, np.random.default_rng(seed))
    assert parts.prefix + parts.middle + parts.suffix == text
    assert len(parts.middle) <= MAX_MIDDLE_CHARS


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_text_of_every_language_comes_back(path: Path) -> None:
    text = path.read_bytes().decode("utf-8")
    for seed in range(50):
        parts = cut(text, np.random.default_rng(seed))
        assert parts.prefix + parts.middle + parts.suffix == text


def test_same_seed_same_cut_and_other_seeds_other_cuts() -> None:
    cuts = [cut(CODE, np.random.default_rng(seed)) for seed in range(40)]
    assert cuts == [cut(CODE, np.random.default_rng(seed)) for seed in range(40)]
    assert len({(len(parts.prefix), len(parts.middle)) for parts in cuts}) > 20


def test_empty_text_has_empty_parts() -> None:
    assert cut("", np.random.default_rng(0)) == Parts("", "", "")


def test_middle_is_capped() -> None:
    text = "def f():\n" + "    x = 1\n" * 1000
    lengths = [len(cut(text, np.random.default_rng(seed)).middle) for seed in range(60)]
    assert max(lengths) <= MAX_MIDDLE_CHARS
    assert max(lengths) > MAX_MIDDLE_CHARS / 2


def spans(name: str, text: str, n: int = 300) -> set[tuple[str, str, str]]:
    """Return what a kind of span gives for many seeds."""
    kind = next(kind for _, kind in KINDS if kind.__name__ == name)
    found = set()
    for seed in range(n):
        span = kind(_Lines(text), np.random.default_rng(seed))
        if span is not None:
            found.add((text[: span[0]], text[span[0] : span[1]], text[span[1] :]))
    return found


def test_rest_of_line_ends_where_the_line_does() -> None:
    found = spans("_rest_of_line", CODE)
    assert all(suffix.startswith("\n") and "\n" not in middle for _, middle, suffix in found)
    assert "return width * height" in {middle for _, middle, _ in found}
    assert "" in {middle for _, middle, _ in found}  # nothing to add is an answer too


def test_whole_lines_start_where_a_line_or_its_code_does() -> None:
    for prefix, _, suffix in spans("_whole_lines", CODE):
        assert prefix.rpartition("\n")[2].strip() == ""
        assert suffix.startswith("\n")


def test_block_is_all_that_is_more_indented() -> None:
    middles = {middle for _, middle, _ in spans("_block", CODE)}
    body = 'if width < 0:\n        raise ValueError("width")\n    return width * height'
    assert {body, f"\n    {body}", 'raise ValueError("width")', 'name = "box"'} <= middles


def test_long_block_is_cut_between_lines() -> None:
    text = "def f():\n" + "".join(f"    value_{i} = {i}\n" for i in range(200))
    for _, middle, suffix in spans("_block", text, 50):
        assert suffix.startswith("\n")
        assert 0 < len(middle) <= MAX_MIDDLE_CHARS


@pytest.mark.parametrize("text", ["\n\n\n", "   ", " \n\t\n"])
def test_blank_text_has_characters_only(text: str) -> None:
    assert spans("_rest_of_line", text, 5) == set()
    assert spans("_block", text, 5) == set()
    assert spans("_characters", text, 5) != set()


def test_shares_of_the_kinds_add_up() -> None:
    assert sum(share for share, _ in KINDS) == pytest.approx(1)
