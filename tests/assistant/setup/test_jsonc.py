"""Settings with comments: a key is added and nothing else changes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.setup.change import SetupError
from assistant.setup.vscode import load_settings, with_key

COMMENTED = """// mine {
{
  /* "a": 1, */
  "b": "// no comment, \\" nor this /* ",  // but this is: }
  "c": [1, 2,],
  "d": "",
}
"""


def test_comments_and_trailing_commas_are_passed_over() -> None:
    assert load_settings(COMMENTED) == {"b": '// no comment, " nor this /* ', "c": [1, 2], "d": ""}


def test_key_is_added_and_the_rest_stays() -> None:
    new = with_key(COMMENTED, "k", "v")
    assert new == COMMENTED.replace("{\n  /*", '{\n    "k": "v",\n  /*')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '{\n    "k": 1\n}\n'),
        ("{}", '{\n    "k": 1\n}'),
        ("{\r\n}\r\n", '{\r\n    "k": 1\r\n}\r\n'),
        ('{"a": 2}', '{\n    "k": 1,"a": 2}'),
    ],
)
def test_shapes_of_files(text: str, expected: str) -> None:
    assert with_key(text, "k", 1) == expected


@pytest.mark.parametrize("text", ["[]", "{", '{"a": }', "{} {}", '{"a": "\n"}', "[" * 100_000])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SetupError):
        with_key(text, "k", 1)


VALUES = st.recursive(
    st.integers() | st.text(alphabet='a"\\/*, {}[]:', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.sampled_from([None, 2]))
def test_plain_json_is_read_and_extended(table: dict[str, object], indent: int | None) -> None:
    text = json.dumps(table, indent=indent)
    assert load_settings(text) == table
    assert load_settings(with_key(text, "k", "/x y")) == {"k": "/x y", **table}
