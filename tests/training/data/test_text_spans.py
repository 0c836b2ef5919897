"""Holes by the look of a text: the kinds are what they say."""

from collections.abc import Callable

import numpy as np
import pytest

from training.data.spans import (
    LONGEST_CHARS,
    Span,
    TextLines,
    block,
    characters,
    rest_of_line,
    whole_lines,
)

CODE = """import os


def area(width, height):
    if width < 0:
        raise ValueError("width")
    return width * height

class Box:
    name = "box"
"""


def spans(
    kind: Callable[[TextLines, np.random.Generator], Span | None], text: str, n: int = 300
) -> set[tuple[str, str, str]]:
    """Return what a kind of span gives for many seeds."""
    found = set()
    for seed in range(n):
        span = kind(TextLines(text), np.random.default_rng(seed))
        if span is not None:
            found.add((text[: span[0]], text[span[0] : span[1]], text[span[1] :]))
    return found


def test_rest_of_line_ends_where_the_line_does() -> None:
    found = spans(rest_of_line, CODE)
    assert all(suffix.startswith("\n") and "\n" not in middle for _, middle, suffix in found)
    assert "return width * height" in {middle for _, middle, _ in found}
    assert "" in {middle for _, middle, _ in found}  # nothing to add is an answer too


def test_whole_lines_start_where_a_line_or_its_code_does() -> None:
    for prefix, _, suffix in spans(whole_lines, CODE):
        assert prefix.rpartition("\n")[2].strip() == ""
        assert suffix.startswith("\n")


def test_block_is_all_that_is_more_indented() -> None:
    middles = {middle for _, middle, _ in spans(block, CODE)}
    body = 'if width < 0:\n        raise ValueError("width")\n    return width * height'
    assert {body, f"\n    {body}", 'raise ValueError("width")', 'name = "box"'} <= middles


@pytest.mark.parametrize("text", ["\n\n\n", "   ", " \n\t\n"])
def test_blank_text_has_characters_only(text: str) -> None:
    assert spans(rest_of_line, text, 5) == set()
    assert spans(block, text, 5) == set()
    assert spans(characters, text, 5) != set()


def test_characters_have_all_lengths() -> None:
    lengths = {len(middle) for _, middle, _ in spans(characters, "abc " * 1000)}
    assert max(lengths) <= LONGEST_CHARS
    assert max(lengths) > LONGEST_CHARS / 2
    assert 1 in lengths
