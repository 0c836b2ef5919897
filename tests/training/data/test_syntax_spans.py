"""Holes by syntax: what each kind is, in each language."""

import numpy as np
import pytest

from tests.code_samples import SAMPLES, TSX
from training.data.spans import KINDS, syntax_hole, tree_of


def holes(name: str, kind: str, text: str = "", n: int = 250) -> set[str]:
    """Return the holes of a kind that many seeds give."""
    text = text or SAMPLES[name]
    tree = tree_of(name, text)
    assert tree is not None
    part = 0, len(text)
    found = (syntax_hole(tree, part, kind, np.random.default_rng(seed)) for seed in range(n))
    return {text[span[0] : span[1]] for span in found if span is not None}


# What must be among the holes of each kind: statement, block, arguments, expression.
EXPECTED = {
    "a.py": (
        'raise ValueError(f"width {width}")',
        "self.things[thing.name] = area(thing.width, thing.height)\n        return self",
        "thing.width, thing.height",
        "width * height",
    ),
    "a.js": (
        "this.items = new Map();\n    this.path = path;",
        "this.items = new Map();\n    this.path = path;",
        "path, size = 10",
        'this.path + "/" + name',
    ),
    "a.ts": ("return sum;", "sum += shape.area(scale);", "shapes: T[], scale = 1", "shape.area"),
    "a.tsx": (
        "const label = format(name, count);",
        TSX[TSX.index("const") : TSX.rindex("\n}")],
        "name, count",
        "count > 0",
    ),
    "a.go": ("return other", "return other", "other Point", "p.X + other.X"),
    "a.rs": (
        "*entry += times;",
        'println!("viele: {}", word);',
        "&mut self, word: &str, times: usize",
        "*entry > 10",
    ),
    "a.java": (
        "return Math.max(sum - discount, 0);",
        "sum += item.price() * item.count();",
        "int discount, boolean rounded",
        "item.price() * item.count()",
    ),
    "a.c": (
        "p->x += dx;",
        'fprintf(stderr, "kein Punkt\\n");\n\t\treturn -1;',
        "struct point *p, int dx, int dy",
        "p->x",
    ),
    "a.cpp": (
        "T value = items_.back();",
        "items_.push_back(value);",
        "const T& value",
        "items_.back",
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_kind_is_found_in_every_language(name: str) -> None:
    for kind, expected in zip(KINDS, EXPECTED[name], strict=True):
        assert expected in holes(name, kind), kind


def test_statement_may_go_on_with_its_next_ones_and_never_leaves_its_body() -> None:
    text = "def f():\n    a = 1\n    b = 2\n    c = 3\n\n\nd = 4\n"
    found = holes("a.py", "statement", text)
    assert {"a = 1", "a = 1\n    b = 2", "a = 1\n    b = 2\n    c = 3", "c = 3"} <= found
    assert not any(hole.startswith("c = 3\n") for hole in found)


def test_block_starts_behind_its_opener_or_on_the_next_line() -> None:
    text = "int f() {\n  a();\n  b();\n}\n"
    assert holes("a.c", "block", text) == {"a();\n  b();", "\n  a();\n  b();"}


def test_arguments_start_anywhere_and_the_bracket_may_be_missing() -> None:
    assert holes("a.py", "arguments", "f(a, b=1)\n") == {"a, b=1", "a, b=1)", "b=1", "b=1)"}


def test_expression_is_within_a_statement() -> None:
    assert holes("a.py", "expression", "x = a + b\n") == {"x = a + b", "x", "a + b", "a", "b"}
    assert holes("a.c", "expression", "int x = a + b;\n") >= {"x = a + b", "a + b", "int"}


def test_hole_stays_within_its_stretch() -> None:
    text = SAMPLES["a.py"]
    tree = tree_of("a.py", text)
    assert tree is not None
    start, end = text.index("    if width"), text.index("    return (width")
    part = start, end
    inner = text[start:end]
    for kind in KINDS:
        for seed in range(60):
            span = syntax_hole(tree, part, kind, np.random.default_rng(seed))
            assert span is None or 0 <= span[0] < span[1] <= len(inner)
    spans = [
        syntax_hole(tree, part, "statement", np.random.default_rng(seed)) for seed in range(60)
    ]
    found = {inner[span[0] : span[1]] for span in spans if span is not None}
    assert found == {inner.strip(), 'raise ValueError(f"width {width}")'}


@pytest.mark.parametrize("text", ["\n\n\n", "   "])
def test_blank_text_has_no_holes(text: str) -> None:
    tree = tree_of("a.py", text)
    assert tree is not None
    for kind in KINDS:
        assert syntax_hole(tree, (0, len(text)), kind, np.random.default_rng(0)) is None


def test_unknown_language_has_no_tree() -> None:
    assert tree_of("notes.txt", "words") is None
