"""Columns in client units, against arithmetic done character by character."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp.documents import column_of, units_of
from lsp.fast_initialize import ENCODINGS, choose_encoding

LINES = st.text(
    st.sampled_from([*"aé漢\t\x0c\u2028", "😀", "𐐀", "\u0301", "\ud83d", "\ude00"]), max_size=12
).map(lambda text: text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"))


def width(char: str, encoding: str) -> int:
    """Units of one character."""
    code = ord(char)
    if encoding == "utf-32":
        return 1
    if encoding == "utf-16":
        return 1 + (code > 0xFFFF)
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=100)
@given(LINES)
def test_every_column_there_and_back(encoding: str, line: str) -> None:
    units = 0
    for column, char in enumerate(line):
        assert units_of(line, column, encoding) == units
        for inside in range(width(char, encoding)):  # a place inside a character: its start
            assert column_of(line, units + inside, encoding) == column
        units += width(char, encoding)
    assert units_of(line, len(line), encoding) == units
    assert column_of(line, units, encoding) == len(line)
    assert column_of(line, units + 5, encoding) == len(line)


def test_smiley_is_four_two_or_one_units() -> None:
    assert [units_of('x="😀"', 4, encoding) for encoding in ENCODINGS] == [7, 5, 4]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        ("utf-8", "utf-16"),
        ([], "utf-16"),
        (["utf-7", 5], "utf-16"),
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-7", "utf-32"], "utf-32"),
    ],
)
def test_first_known_encoding_is_chosen(offered: object, chosen: str) -> None:
    assert choose_encoding(offered) == chosen


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("\ud800\udc00", 0),
        ("\udbff\udfff", 0),
        ("\ud7ff\udc00", 1),
        ("\udc00\udc00", 1),
        ("\ud800\udbff", 1),
        ("\ud800\ue000", 1),
    ],
)
def test_only_halves_of_one_character_belong_together(line: str, column: int) -> None:
    assert column_of(line, 1, "utf-16") == column
