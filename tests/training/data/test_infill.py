"""Cuts: the text comes back from its parts, in every language, and the kinds have their shares."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.code_samples import PYTHON, SAMPLES
from training.data.spans import (
    LONGEST_CHARS,
    TEXT_KINDS,
    InfillParts,
    cut_hole,
    draw_kind,
    tree_of,
)

TEXTS = sorted((Path(__file__).parents[2] / "data" / "text").glob("*.*"))
code = st.lists(st.sampled_from(["a = 1", "    b", "\tc()", "", "  ", "def f():", "🙂", "\f"])).map(
    "\n".join
)


@settings(max_examples=100)
@given(text=st.one_of(st.text(max_size=80), code), seed=st.integers(0, 2**32))
def test_any_text_comes_back_from_its_parts(text: str, seed: int) -> None:
    for tree in (None, tree_of("a.py", text)):
        parts = cut_hole(text, np.random.default_rng(seed), tree)
        assert parts.prefix + parts.middle + parts.suffix == text
        assert len(parts.middle) <= LONGEST_CHARS


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=30)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_stretch_of_code_comes_back_in_every_language(
    name: str, data: st.DataObject, seed: int
) -> None:
    text = SAMPLES[name]
    broken_at = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.sampled_from(["", "", "(", "}", "\n\n", '"', "é🙂", "x = ["]))
    text = text[:broken_at] + junk + text[broken_at:]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    tree = tree_of(name, text)
    assert tree is not None
    for kind in TEXT_KINDS:
        parts = cut_hole(text[start:end], np.random.default_rng(seed), tree, start, kind)
        assert parts.prefix + parts.middle + parts.suffix == text[start:end]
        assert len(parts.middle) <= LONGEST_CHARS


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_odd_files_come_back(path: Path) -> None:
    text = path.read_bytes().decode("utf-8")
    tree = tree_of(path.name, text)
    for seed in range(50):
        parts = cut_hole(text, np.random.default_rng(seed), tree)
        assert parts.prefix + parts.middle + parts.suffix == text


def test_same_seed_same_cut_and_other_seeds_other_cuts() -> None:
    def cuts() -> list[InfillParts]:
        tree = tree_of("a.py", PYTHON)
        return [cut_hole(PYTHON, np.random.default_rng(seed), tree) for seed in range(40)]

    assert cuts() == cuts()
    assert len({(len(parts.prefix), len(parts.middle)) for parts in cuts()}) > 20


def test_empty_text_has_empty_parts() -> None:
    assert cut_hole("", np.random.default_rng(0)) == InfillParts("", "", "")


@pytest.mark.parametrize("has_tree", [True, False])
@pytest.mark.parametrize("kind", ["block", "statement"])
def test_hole_that_is_too_long_ends_with_a_line(kind: str, has_tree: bool) -> None:
    text = "def f():\n" + "".join(f"    value_{i} = {i}\n" for i in range(200))
    tree = tree_of("a.py", text) if has_tree else None
    for seed in range(40):
        parts = cut_hole(text, np.random.default_rng(seed), tree, kind=kind)
        assert parts.suffix.startswith("\n")
        assert 0 < len(parts.middle) <= LONGEST_CHARS


def test_line_that_is_too_long_is_cut_within() -> None:
    text = "x = '" + "a" * 5_000 + "'\n"
    parts = cut_hole(text, np.random.default_rng(0), tree_of("a.py", text), kind="statement")
    assert parts == InfillParts("", text[:LONGEST_CHARS], text[LONGEST_CHARS:])


def test_statement_is_one_of_the_tree_where_there_is_one() -> None:
    text = "total = sum(\n    [1, 2],\n)\n"
    rng = np.random.default_rng(0)
    assert cut_hole(text, rng, tree_of("a.py", text), kind="statement").middle == text.rstrip()
    by_lines = {
        cut_hole(text, np.random.default_rng(seed), kind="statement").middle for seed in range(20)
    }
    assert "[1, 2]," in by_lines


def test_kind_without_a_tree_falls_back_to_lines() -> None:
    text = "some plain words\n" * 5
    assert tree_of("a.txt", text) is None
    for kind in TEXT_KINDS:
        parts = cut_hole(text, np.random.default_rng(1), kind=kind)
        assert parts.prefix + parts.middle + parts.suffix == text


def test_kinds_have_their_shares() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(draw_kind(rng) for _ in range(4_000))
    for kind, (share, _) in TEXT_KINDS.items():
        assert counts[kind] / 4_000 == pytest.approx(share, abs=0.03)
    assert sum(share for share, _ in TEXT_KINDS.values()) == pytest.approx(1.0)
