"""Definitions: found in every language by their first line, described by what says most."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.snippets.symbols import MAX_LINES, describe_definition, find_definitions
from tests.code_samples import SAMPLES


@pytest.mark.parametrize("name", SAMPLES)
def test_definitions_are_found_in_every_language(name: str) -> None:
    text = SAMPLES[name].encode()
    found = list(find_definitions(name, text))
    assert found
    for definition in found:
        line = text[definition.start :].partition(b"\n")[0]
        assert definition.name in line
        shown, end = describe_definition(text, definition)
        assert definition.start < end <= len(text)
        assert definition.name in shown


def test_kinds_tell_members_from_what_can_be_imported() -> None:
    text = (
        b"SIZE = 3\n\nclass Box:\n    def put(self):\n        pass\n\nasync def run():\n    pass\n"
    )
    assert [(each.name, each.kind) for each in find_definitions("a.py", text)] == [
        (b"SIZE", "variable"),
        (b"Box", "type"),
        (b"put", "member"),
        (b"run", "function"),
    ]


def test_call_or_condition_is_no_definition_in_a_braced_language() -> None:
    text = b"  if (ready(x)) {\n  } else if (y) {\n  while (z) {\n  return run(x);\n"
    assert list(find_definitions("a.c", text)) == []


def test_docstring_and_remarks_do_not_describe() -> None:
    text = b'def area(box):\n    """Return it.\n\n    More.\n    """\n    # so\n    return 1\n'
    (definition,) = find_definitions("a.py", text)
    assert describe_definition(text, definition)[0] == b"def area(box):\n    return 1"


def test_variable_is_its_own_line_with_the_brackets_it_opens() -> None:
    text = b"NAMES = [\n    1,\n    2,\n]\n    other = 1\n"
    (definition,) = find_definitions("a.py", text)
    assert describe_definition(text, definition)[0] == b"NAMES = [1, 2,]"


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200), name=st.sampled_from(["a.py", "a.c", "a.ts"]))
def test_any_text_is_survived(text: str, name: str) -> None:
    data = ("def f(\n" + text + "\nclass x {\n" + text).encode("utf-8", "replace")
    for definition in find_definitions(name, data):
        shown, end = describe_definition(data, definition)
        assert shown.count(b"\n") <= MAX_LINES
        assert definition.start < end <= len(data)
