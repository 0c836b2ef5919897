import inspect
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.source import blocks
from assistant.source.languages import LANGUAGES, PYTHON
from assistant.source.syntax import (
    MAX_PARSE_CHARS,
    parse,
    parse_head,
)

DATA = Path(__file__).parents[2] / "data" / "text"

SOURCES = {  # and the kind of the function around the cursor
    "python": (
        (
            "import os\nfrom a import b\n\n@deco\nclass A(B):\n    def f(self, x):\n"
            "        y = g(1)|\n        return y\n\n    def h(self):\n        pass\n"
        ),
        "function_definition",
    ),
    "javascript": (
        "import a from 'b';\nclass A {\n  f(x) {\n    y = g(1)|;\n    return y;\n  }\n}\n",
        "method_definition",
    ),
    "typescript": (
        (
            "import { a } from 'b';\nexport class A {\n"
            "  f(x: number): void {\n    y = g(1)|;\n    return y;\n  }\n}\n"
        ),
        "method_definition",
    ),
    "tsx": (
        (
            "import a from 'b';\nfunction A() {\n"
            "  const f = () => {\n    y = g(1)|;\n  };\n  return <a b={f}>c</a>;\n}\n"
        ),
        "arrow_function",
    ),
    "go": (
        'package a\n\nimport "b"\n\nfunc (t T) F(x int) int {\n\ty = g(1)|\n\treturn y\n}\n',
        "method_declaration",
    ),
    "rust": (
        (
            "use a::b;\n\nimpl<'a> A for B<'a> {\n"
            "    fn f(&self) -> u8 {\n        y = g(1)|;\n        y\n    }\n}\n"
        ),
        "function_item",
    ),
    "java": (
        "import a.B;\n\nclass A {\n  int f(int x) {\n    y = g(1)|;\n    return y;\n  }\n}\n",
        "method_declaration",
    ),
    "c": (
        "#include <a.h>\n\nint f(int x)\n{\n    y = g(1)|;\n    return y;\n}\n",
        "function_definition",
    ),
    "cpp": (
        (
            "#include <a>\nnamespace n {\n"
            "class A {\n  int f(int x) {\n    y = g(1)|;\n    return y;\n  }\n};\n}\n"
        ),
        "function_definition",
    ),
}


def opens_block(text, offset, language):
    return blocks.opened_block(text, offset, language) is not None


def cut(source):
    return source.replace("|", "", 1), source.index("|")


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("typed", ["g(", "y = g([{", "y =", "", "if", '"text'])
def test_what_stands_above_a_line_bears_what_is_half_typed_there(name, typed):
    source, kind = SOURCES[name]
    above, _, below = source.partition("y = g(1)|")
    text = f"{above}{typed}\n{below.partition(chr(10))[2]}"
    head = parse_head(text, len(above + typed), LANGUAGES[name])
    assert head.text + head.indent == above
    assert kind in [node.type for node in head.tree.path_to(head.place)]


def test_unknown_language_and_too_long_text_are_not_parsed():
    assert parse(None, "x") is None
    assert parse(PYTHON, "x" * (MAX_PARSE_CHARS + 1)) is None
    assert parse_head("x", 1, None).tree is None


def test_parse_gives_up_at_its_limit():
    assert parse(PYTHON, "if x {\n" * 5_000, limit_s=0.0) is None


@pytest.mark.parametrize("text", ["(" * 50_000, "[" * 20_000 + "]" * 20_000, "{" * 50_000])
@pytest.mark.parametrize("name", ["python", "cpp"])
def test_hostile_nesting_is_borne(name, text):
    begin = time.process_time()
    tree = parse(LANGUAGES[name], text)
    if tree is not None:
        tree.path_to(len(text) // 2)
    parse_head(text, len(text), LANGUAGES[name])
    assert time.process_time() - begin < 5


def walk(tree):
    """Yield (depth, node) of every node in the order of the text."""
    left = [(0, tree.tree.root_node)]
    while left:
        depth, node = left.pop()
        yield depth, node
        left += [(depth + 1, child) for child in reversed(node.children)]


def span(tree, node):
    return tree.offset_of(node.start_byte), tree.offset_of(node.end_byte)


@pytest.mark.parametrize("name", ["astral.py", "form_feed.py"])
def test_offsets_are_code_points_in_odd_files(name):
    text = (DATA / name).read_bytes().decode("utf-8")
    tree = parse(PYTHON, text)
    assert tree is not None
    for offset in range(len(text) + 1):
        assert tree.offset_of(tree.byte_of(offset)) == offset
    for _, node in walk(tree):
        assert text[slice(*span(tree, node))].encode() == node.text


@given(text=st.text(max_size=60), offset=st.integers(0, 60), name=st.sampled_from([*LANGUAGES]))
@settings(max_examples=100)
def test_any_text_gets_an_answer_in_range(text, offset, name):
    offset = min(offset, len(text))
    language = LANGUAGES[name]
    tree = parse(language, text)
    assert tree is not None
    head = parse_head(text, offset, language)
    assert head.tree is not None
    assert head.tree.text[: head.place].rstrip() in text
    opens_block(text, offset, language)


def test_opens_block_agrees_with_the_grammar_on_a_real_module():
    """Where a suite follows a colon, taking it away leaves an empty block; elsewhere not."""
    text = inspect.getsource(textwrap)
    tree = parse(PYTHON, text)
    assert tree is not None
    bodies = [span(tree, node) for _, node in walk(tree) if node.type == "block"]
    headers = set()
    for body_start, body_end in bodies:
        end = len(text[:body_start].rstrip())
        if text[end - 1] != ":" or blocks.line_end(text, end) >= body_start:
            continue  # a comment or the body stands behind the colon
        headers.add(end)
        assert not opens_block(text, end, PYTHON)
        without = text[:end] + text[body_end:]
        assert opens_block(without, end, PYTHON)
    assert len(headers) > 20
    n_other = 0
    for end in range(1, len(text)):
        if text[end - 1] != ":" or end in headers:
            continue
        *_, above, leaf = (node.type for node in tree.path_to(end - 1))
        if leaf != ":" or above in ("pair", "slice", "lambda"):
            n_other += 1
            assert not opens_block(text[:end], end, PYTHON), text[end - 60 : end]
    assert n_other > 20


def shape(tree):
    return [(depth, node.type, node.byte_range) for depth, node in walk(tree)]


@given(data=st.data(), name=st.sampled_from([*SOURCES]))
@settings(max_examples=40)
def test_a_tree_that_was_kept_is_the_one_that_is_parsed_anew(data, name):
    """Any edit may come between; what is the same must be found, not believed."""
    text, _ = cut(SOURCES[name][0])
    tree = parse(LANGUAGES[name], text)
    for _ in range(data.draw(st.integers(1, 4))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        new = data.draw(
            st.sampled_from(["", "x", "\n", "é = 𝄞(1)\n", "    return x\n", "/* ", "(x", "}"])
        )
        text = text[:start] + new + text[end:]
        tree = parse(LANGUAGES[name], text, before=tree)
        assert tree is not None
        assert (tree.text, tree.offset_of(tree.byte_of(start))) == (text, start)
    whole = parse(LANGUAGES[name], text)
    if not whole.tree.root_node.has_error:  # of broken code there is more than one reading
        assert shape(tree) == shape(whole)
