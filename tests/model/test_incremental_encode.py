"""Pieces encoded alone give the ids of the whole text, for every split pattern."""

import copy
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import healing as pieces
from model.tokenizer import PATTERNS
from tests.scripted import SAMPLE, small_tokenizer

WORDS = ["a", "B7", "é", "日", "\u0663", "\u00bd", "'s", "'", ":", "}", "_", " ", "    ", "\t"]
ENDS = ["\n", "\n\n", "\r\n", "\u2028", "\x0c", "\ud800", "\n    "]
SOUP = st.lists(st.sampled_from(WORDS + ENDS * 3), max_size=40).map("".join)


@given(text=SOUP, pattern=st.sampled_from(sorted(PATTERNS)))
@settings(max_examples=400)
def test_pieces_give_the_ids_of_the_whole_text(text: str, pattern: str) -> None:
    tokenizer = small_tokenizer(pattern)
    assert pieces.encode_again(tokenizer, text) == tokenizer.encode(text)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_typing_a_file_gives_the_ids_of_each_text(pattern: str) -> None:
    tokenizer = small_tokenizer(pattern)
    for end in range(0, len(SAMPLE), 3):
        assert pieces.encode_again(tokenizer, SAMPLE[:end]) == tokenizer.encode(SAMPLE[:end])


@given(SOUP)
@settings(max_examples=200)
def test_last_border_is_one_of_the_cuts(text: str) -> None:
    border = pieces.last_border(text)
    for pattern in PATTERNS:
        tokenizer = small_tokenizer(pattern)
        halves = tokenizer.encode(text[:border]) + tokenizer.encode(text[border:])
        assert halves == tokenizer.encode(text)


@pytest.mark.parametrize(
    ("text", "border"),
    [("", 0), ("x", 0), ("\n", 0), ("x\n", 1), ("f()\n", 0), ("a\nf()\n  b", 1), ("a\nb\nc", 3)],
)
def test_borders_stand_between_a_word_and_a_line_break(text: str, border: int) -> None:
    assert pieces.last_border(text) == border


def test_long_pieces_are_encoded_but_not_kept() -> None:
    tokenizer = small_tokenizer()
    text = "x, " * pieces.MAX_KEPT_CHARS
    pieces.encode_again(tokenizer, "")
    before = pieces._kept.cache_info().currsize
    assert pieces.encode_again(tokenizer, text) == tokenizer.encode(text)
    assert pieces._kept.cache_info().currsize == before


def test_vocabulary_that_is_out_of_use_is_let_go() -> None:
    tokenizer = copy.copy(small_tokenizer())
    pieces.encode_again(tokenizer, "a = 1\nb = 2\n")
    gone = weakref.ref(tokenizer)
    del tokenizer
    pieces.forget_pieces()
    gc.collect()
    assert gone() is None
