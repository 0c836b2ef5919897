"""What a cursor's text says: near names weigh more, and their use tells what they can mean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.snippets.symbols import CursorContext, Definition, find_telling_lines


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
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[3],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(found) == 1
