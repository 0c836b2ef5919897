import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.source.stopping import cut_repetition, inline_cycle, line_cycle


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = [" + "abc, " * 6, "x = [abc, "),
        ("self.value.self.value.self.value.", "self.value."),
        ("(" * 200, "("),
        ("x = 1" + "0" * 40, "x = 10"),
        ("x = '" + "\\" * 40, "x = '\\"),
        (" " * 100 + "x", " " * 100 + "x"),
        ("a\na\na", "a"),
        ("b\na\na\na\nc", "b\na"),
        ("x = 1\ny = 2\nx = 1\ny = 2\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("a1\nb1\nc1\na1\nb1\nc1\n", "a1\nb1\nc1"),
    ],
)
def test_repetition_is_cut_to_its_first_copy(text, expected):
    assert cut_repetition(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# " + "-" * 78,
        "mask = 0x" + "F" * 16,
        "x = [0, 0, 0, 0, 0, 0, 0, 0]",
        "a\na\nb",
        "    }\n    }\n    }",
        "\n\n\n",
        "x = 1\ny = 2\nx = 1\ny = 2",
        "assert next(it) == 1\nassert next(it) == 2\nassert next(it) == 3",
    ],
)
def test_honest_code_is_kept(text):
    assert cut_repetition(text) == text


def test_cycles_name_where_the_second_copy_begins():
    assert inline_cycle("ab" + "cdef" * 5) == 6
    assert line_cycle(["a", "b", "b", "b"]) == 2
    assert inline_cycle("abcdef") is None
    assert line_cycle(["a", "b"]) is None


@given(text=st.text(alphabet="ab \n", max_size=120))
@settings(max_examples=150)
def test_cutting_again_changes_nothing_more(text):
    once = cut_repetition(text)
    assert text.startswith(once)
    while (again := cut_repetition(once)) != once:
        assert len(again) < len(once)
        once = again
