"""A wrong member is named; its value is not repeated."""

from collections.abc import Callable
from typing import Any

import pytest

from lsp.params import (
    BadParamsError,
    changes_at,
    integer_at,
    member,
    optional,
    position_at,
    text_at,
)
from lsp.positions import Change, Position

RANGE = {"start": {"line": 1, "character": 2}, "end": {"line": 3, "character": 4}}


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: member({"a": {}}, "a", "b"), "a.b is missing"),
        (lambda: member(None, "a"), "a is missing"),
        (lambda: member([1], "a"), "a is missing"),
        (lambda: text_at({"uri": 5}, "uri"), "uri must be a string"),
        (lambda: integer_at({"v": True}, "v"), "v must be an integer"),
        (lambda: integer_at({"v": 1.5}, "v"), "v must be an integer"),
        (lambda: integer_at({"v": -1}, "v", least=0), "v must be at least 0"),
        (lambda: position_at({"p": {"line": 0}}, "p"), "character is missing"),
        (lambda: position_at({"p": {"line": -1, "character": 0}}, "p"), "line must be at least 0"),
        (lambda: changes_at({"contentChanges": {}}), "contentChanges must be a list"),
        (lambda: changes_at({"contentChanges": [{}]}), "text is missing"),
        (
            lambda: changes_at({"contentChanges": [{"text": "", "range": 5}]}),
            "range.start is missing",
        ),
    ],
)
def test_wrong_member_is_named(read: Callable[[], Any], message: str) -> None:
    with pytest.raises(BadParamsError, match=f"^{message}$"):
        read()


def test_values_are_found() -> None:
    assert member({"a": {"b": None}}, "a", "b") is None
    assert optional({"a": 1}, "a", "b") is None
    assert position_at({"p": {"line": 2, "character": 2**40}}, "p") == Position(2, 2**40)
    assert changes_at({"contentChanges": [{"text": "x"}, {"text": "y", "range": RANGE}]}) == [
        Change("x"),
        Change("y", Position(1, 2), Position(3, 4)),
    ]


def test_null_range_means_the_whole_text() -> None:
    assert changes_at({"contentChanges": [{"text": "x", "range": None}]}) == [Change("x")]
