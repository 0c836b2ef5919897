"""Names of secrets, and which of their values are random."""

from __future__ import annotations

import pytest

from assistant.privacy.secret_names import is_random, named_values


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('MY_API_KEY = "abcdefgh"', "API_KEY"),
        ("self.password_hash='abcdefgh'", "password_hash"),
        ('"İ" or Token: "abcdefgh"', "Token"),
        ("credentials => `abcdefgh`", "credentials"),
    ],
)
def test_name_is_found_from_its_keyword_on(line: str, name: str) -> None:
    (match,) = named_values(line)
    assert (match["name"], match["value"]) == (name, "abcdefgh")


@pytest.mark.parametrize(
    "line",
    ['tokens("abcdefgh")', 'key = "abcdefgh"', 'token = "short"', 'token = "two words here"'],
)
def test_other_text_has_no_named_value(line: str) -> None:
    assert list(named_values(line)) == []


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("a9f4731be6c1fbb034b7471f7ee7c449", "token", True),
        ("tokenizer_version_2_of_3_words_1", "token", False),
        ("a1a1a1a1a1a1a1a1", "token", False),  # varied, but not random
        ("https://a1b2c3d4e5f6g7h8/", "token", False),
        ("MbyIgJTreBjqUXsGaojHPpqeXvcE", "token", True),
        ("someRatherLongNameOfATokenForTests", "token", False),
        ("Tr0ub4dor&3", "password", True),
        ("Tr0ub4dor&3", "token", False),
        ("Tr0u&3", "password", False),
        ("{Tr0ub4dor&3}", "password", False),
    ],
)
def test_random_is_told_from_written(value: str, name: str, expected: bool) -> None:
    assert is_random(value, name) is expected
