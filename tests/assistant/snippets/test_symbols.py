"""Names: where they are defined, described by what says most, and which ones a cursor asks for."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.snippets.symbols import (
    MAX_LINES,
    CursorContext,
    Definition,
    describe_definition,
    find_definitions,
    find_telling_lines,
)
from tests.code_samples import SAMPLES
from tests.programs import run_program


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


@settings(max_examples=60)
@given(text=st.text(max_size=200), name=st.sampled_from(["a.py", "a.c", "a.ts"]))
def test_any_text_is_survived(text: str, name: str) -> None:
    data = ("def f(\n" + text + "\nclass x {\n" + text).encode("utf-8", "replace")
    for definition in find_definitions(name, data):
        shown, end = describe_definition(data, definition)
        assert shown.count(b"\n") <= MAX_LINES
        assert definition.start < end <= len(data)


def around(before: str, after: str = "") -> CursorContext:
    return CursorContext("pkg/a.py", before, after)


def test_nearer_names_weigh_more_and_keywords_nothing() -> None:
    near = around("far = 1\nmiddle = 2\nreturn close(", "\nbelow = 3\n").near
    assert near[b"close"] == 1.0
    assert near[b"close"] > near[b"middle"] > near[b"far"] > 0
    assert 0 < near[b"below"] < 1
    assert b"return" not in near


def test_imported_names_are_asked_for_even_far_from_the_cursor() -> None:
    names = around("from pkg.b import Shelf\n" + "x = 1\n" * 400).names
    assert 0 < names[b"Shelf"] < 1


@pytest.mark.parametrize(
    ("before", "kind", "expected"),
    [
        ("it.stack_all(", "member", True),
        ("stack_all = 1\n", "member", False),
        ("x = stack_all(", "function", True),
        ("x = it.stack_all(", "function", False),
        ("# stack_all\n", "function", False),
        ("from b import stack_all\n", "variable", True),
        ("x = stack_all\n", "variable", False),
    ],
)
def test_use_of_a_name_tells_what_it_can_mean(before: str, kind: str, expected: bool) -> None:
    assert around(before).can_mean(Definition(b"stack_all", 0, kind)) is expected


def test_method_of_an_everyday_type_means_nothing() -> None:
    assert not around("items.append(").can_mean(Definition(b"append", 0, "member"))


def test_own_names_and_lines_are_of_both_sides() -> None:
    own = around("def first(x):\n    return compute(x)\n", "\ndef second(x):\n    return x\n")
    assert {b"first", b"second"} <= own.own_names
    assert own.lines == {b"def first(x):", b"return compute(x)", b"def second(x):"}
    assert find_telling_lines(b"x = 1\n  return compute(x)  \n") == {b"return compute(x)"}


def test_import_names_a_file() -> None:
    text = around("from shop.store import Shelf\n")
    assert text.imports_stem("shop/store.py")
    assert not text.imports_stem("shop/main.py")


def test_likeness_is_the_same_in_every_process() -> None:
    program = (
        "from assistant.snippets.symbols import CursorContext\n"
        "lines = [' '.join(f'name{i}_{j}' for j in range(9)) for i in range(40)]\n"
        "text = CursorContext('a.py', '\\n'.join(lines), '')\n"
        "print(text.likeness(' '.join(lines).encode()).hex())\n"
    )
    found = {
        run_program(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[3],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(found) == 1
