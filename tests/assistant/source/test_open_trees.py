"""Trees of open documents, and which beginning of a line they let stand."""

import inspect
import textwrap
import tokenize
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.request import CompletionRequest
from assistant.source import open_trees, syntax
from assistant.source.open_trees import OpenTrees

PATHS = {
    "python": "a.py", "javascript": "a.js", "typescript": "a.ts", "tsx": "a.tsx", "go": "a.go",
    "rust": "a.rs", "java": "A.java", "c": "a.c", "cpp": "a.cc",
}  # fmt: skip


def request(source, path="a.py", **changes):
    text, offset = source.replace("|", "", 1), source.index("|")
    return CompletionRequest(path=path, text=text, offset=offset, **changes)


def valid(source, text, path="a.py"):
    return OpenTrees().valid(request(source, path), text)


@pytest.mark.parametrize(
    ("source", "text", "path"),
    [
        ("def f(a):\n    return |", "a + (", "a.py"),  # the rest may come on the next line
        ("def f(a):\n    if |", "a", "a.py"),
        ("def f(a):\n    |", "if a:", "a.py"),
        ("if a:\n    b\n|", "else:", "a.py"),
        ("try:\n    b\n# why\n|", "except (A, B) as e:", "a.py"),
        ("@a\n@b(1)\n|", "def f():", "a.py"),
        ("x = [\n    1,\n    |", "2]", "a.py"),
        ("class A:\n    x = 1\n\n    async |", "def f(self): ...", "a.py"),
        ('"""Doc.\n\nSays |', "if else (", "a.py"),
        ("x = '|", "if else (", "a.py"),
        ("# |", "if else (", "a.py"),
        ("x = foo(  # |", "if else (", "a.py"),
        ("match x:\n    case |", "{'a': 1}:", "a.py"),
        ("function f() {\n  return |", "a.map((x) => {", "a.js"),
        ("class A {\n  |", "async f(x) {", "a.js"),
        ("const a = <A>\n  |", "<B c={1} />", "a.tsx"),
        ("interface A {\n  |", "a?: string;", "a.ts"),
        ("func f() error {\n\tif err := g(); |", "err != nil {", "a.go"),
        ("type A struct {\n\t|", "b []string `json:\"b\"`", "a.go"),
        ("impl A for B {\n    |", "fn f(&self) -> Result<(), E> {", "a.rs"),
        ("match a {\n    A::B(x) |", "=", "a.rs"),  # `=>` that was cut off
        ("class A {\n  @Override\n  |", "public void f() throws E {", "A.java"),
        ("enum A {\n  B,\n  |", "C;", "A.java"),
        ("#include |", "<stdio", "a.c"),
        ("struct a {\n  |", "int b[3];", "a.c"),
        ("#define F(x) \\\n  |", "((x", "a.c"),
        ("template <typename T>\n|", "class A : public B<T> {", "a.h"),
    ],
)  # fmt: skip
def test_what_something_can_follow_stands(source, text, path):
    assert valid(source, text, path) == text


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("def f(a):\n    return |", "a qz", "a.py", "a"),
        ("def f(a):\n    return |", "a[0] = 1 2", "a.py", "a[0]"),
        ("def f(a):\n    |", "else:", "a.py", ""),
        ("def f(a):\n    re|", "turn a )", "a.py", "turn a"),
        ("f(a, |", "b c)", "a.py", "b"),
        ("for x in y|", ": pass ) x", "a.py", ": pass"),
        ("function f() {\n  return |", "a b;", "a.js", "a"),
        ("const a = |", "{ b: 1 ];", "a.ts", "{ b: 1"),
        ("func f() {\n\ta := |", "b qz", "a.go", "b"),
        ("fn f() {\n    let |", "a = b cz;", "a.rs", "a = b"),
        ("class A {\n  int |", "b = c d;", "A.java", "b = c"),
        ("int f(void) {\n  return |", "a b;", "a.c", "a"),
        ("def f(a):\n    |", "x = a\n    y = a\n    return a qz", "a.py", "x = a\n    y = a"),
        ("def f(é):\n    return |", "é + 𝄞ö é", "a.py", "é + "),
    ],
)
def test_what_nothing_can_follow_is_cut_back(source, text, path, expected):
    assert valid(source, text, path).rstrip() == expected.rstrip()


@pytest.mark.parametrize(
    ("source", "path", "scope"),
    [
        ("x = 1|", "a.py", "code"),
        ("x = 1  # a|", "a.py", "comment"),
        ("x = 'a|", "a.py", "string"),
        ("x = 'a'|", "a.py", "code"),
        ('x = """\na|', "a.py", "string"),
        ('"""Doc.\n\nMore|', "a.py", "docstring"),
        ('#!/bin/python\n"""Doc|', "a.py", "docstring"),
        ('def f(\n    a,\n):\n    r"""Doc|"""\n', "a.py", "docstring"),
        ('def f():\n    """Doc\n\n    \'a\' |', "a.py", "docstring"),
        ('def f():\n    x = """\n    a""" + g(|', "a.py", "code"),
        ('"""Doc."""\nx = 1 # a\n|', "a.py", "code"),
        ("let a = `\n  b ${\n    c(|", "a.js", "code"),
        ("let a = `\n  b|", "a.js", "string"),
        ("/* a\n * b|", "a.c", "comment"),
        ("// a\n|", "a.c", "code"),
        ('fn f() {\n  let a = r"\\";\n  b|', "a.rs", "code"),  # a backslash escapes nothing
        ("# a|", "a.rb", "code"),  # of other languages only quotes are known
        ("x = 'a|", "a.rb", "string"),
    ],
)
def test_scope_of_a_cursor(source, path, scope):
    assert OpenTrees().scope(request(source, path)) == scope


def test_a_long_docstring_is_one_to_its_end():
    """Text rules that look back a fixed distance take its middle for code."""
    text = 'def f():\n    """Doc.\n' + '    It\'s "so".\n' * 900 + "    def |"
    assert OpenTrees().scope(request(text)) == "docstring"
    closed = text.replace("def |", '"""\n    x = |')
    assert OpenTrees().scope(request(closed)) == "code"


def test_nothing_is_said_of_broken_code():
    assert valid("def f(:\n    x = = (\n    y |", "z z z") == "z z z"
    assert valid("x ) y |", "z z") == "z z"


def test_nothing_is_said_without_a_grammar_or_of_large_files(monkeypatch):
    assert valid("x = |", "a b", "a.rb") == "a b"
    monkeypatch.setattr(open_trees, "MAX_HEAD_CHARS", 3)
    assert valid("y = 1\nx = |", "a b") == "a b"


def test_a_document_too_slow_to_parse_is_not_tried_again(monkeypatch):
    tried = []
    parse = syntax.parse

    def slow(*args, **rest):
        tried.append(1)
        return parse(*args, **(rest | {"limit_s": -1.0}))

    monkeypatch.setattr(syntax, "parse", slow)
    trees, text = OpenTrees(), "x = (1)\n" * 2_000
    for end in (16_000, 15_992, 15_984):
        asked = CompletionRequest(path="a.py", text=text, offset=end)
        assert trees.valid(asked, "a b") == "a b"
    assert len(tried) == 1


def test_typing_in_a_line_parses_nothing_above_it_again(monkeypatch):
    trees, above = OpenTrees(), "def f():\n    x = 1\n    "
    first = trees.head(request(above + "|"))
    assert first is trees.head(request(above + "ret|"))
    assert first is trees.head(request(above + "ret|\n\ny = 1\n"))
    assert first is not trees.head(request(above + "return x\n|"))


def test_several_threads_may_ask_at_once():
    """A parser calls back into Python as it works, where another thread may go on."""
    trees, asked = OpenTrees(), request("def f(a):\n    return |")
    with ThreadPoolExecutor(4) as pool:
        texts = ["a + (", "a qz", "a[0] = 1 2"] * 100
        found = list(pool.map(lambda text: trees.valid(asked, text), texts))
    assert found == [trees.valid(asked, text) for text in texts[:3]] * 100


def test_few_documents_are_kept():
    trees = OpenTrees()
    first = trees.head(request("x\n|", document="0"))
    for number in range(1, open_trees.KEPT_DOCUMENTS):
        trees.head(request("x\n|", document=str(number)))
    assert trees.head(request("x\n|", document="0")) is first
    trees.head(request("x\n|", document="one more"))
    trees.head(request("x\n|", document="and more"))
    trees.head(request("x\n|", document="1"))
    assert len(trees._heads) == open_trees.KEPT_DOCUMENTS


@pytest.mark.parametrize("module", [textwrap, tokenize])
def test_every_beginning_of_a_real_line_stands(module):
    text = inspect.getsource(module)
    trees = OpenTrees()
    lines = text.split("\n")
    start = 0
    for number, line in enumerate(lines):
        for column in range(
            len(line) - len(line.lstrip()), len(line), 7 if number % 4 == 0 else 99
        ):
            asked = CompletionRequest(path="a.py", text=text, offset=start + column)
            for end in (column + 3, column + 11, len(line)):
                assert trees.valid(asked, line[column:end]) == line[column:end], line
        start += len(line) + 1


@given(data=st.data())
@settings(max_examples=50)
def test_a_cut_is_a_beginning_and_final(data):
    """Any text in any place: what is left begins it, and is left as it is when asked again."""
    name = data.draw(st.sampled_from([*PATHS]))
    above = data.draw(
        st.sampled_from(["", "x = 1;\n", "class A {\n", "def f():\n    ", "f(\n", '"""\n'])
    )
    before = data.draw(st.sampled_from(["", "x", "return ", "if (", "x = '"]))
    pieces = [
        "x",
        " ",
        "(",
        ")",
        "{",
        "}",
        "=",
        "+",
        ":",
        "if ",
        "else ",
        "'",
        '"',
        "1",
        "\n",
        "é",
        "\0",
    ]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=12)))
    trees, asked = OpenTrees(), request(f"{above}{before}|", PATHS[name])
    left = trees.valid(asked, text)
    assert text.startswith(left)
    assert trees.valid(asked, left) == left
