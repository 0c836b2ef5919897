"""Our block in a file of the user's: put in once, replaced, found again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.setup.plan import with_block, without_block

TEXTS = st.text(alphabet="ab;\n ", max_size=20) | st.sampled_from(
    ["a\r\nb\r\n", "a\r\n", "a\nb\r\n"]
)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.sampled_from(["(one)", "(two)\n(three)\n"]))
def test_block_is_put_in_once_and_taken_out_again(text: str, body: str) -> None:
    once = with_block(text, ";;", body)
    assert once.startswith(text)
    assert body.rstrip() in once.replace("\r\n", "\n")
    assert with_block(once, ";;", body) == once
    assert without_block(once, ";;").rstrip("\r\n") == text.rstrip("\r\n")


def test_older_block_is_replaced_where_it_is() -> None:
    old = with_block("a\n", "#", "x = 1") + "z\n"
    new = with_block(old, "#", "x = 2")
    assert new == old.replace("x = 1", "x = 2")


def test_carriage_returns_stay() -> None:
    text = with_block("a\r\n", "#", "x\ny")
    assert text.count("\r\n") == text.count("\n") == 6


@pytest.mark.parametrize("text", ["", "# >>> foretype >>>\nhalf\n"])
def test_half_a_block_is_the_users_text(text: str) -> None:
    assert without_block(text, "#") == text
