import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.source.blocks import (
    MAX_SCAN_CHARS,
    Block,
    indent_columns,
    line_end,
    line_start,
    lines_above,
    lines_below,
    open_headers,
    opened_block,
    scan_before,
)
from assistant.source.brackets import scan
from assistant.source.languages import LANGUAGES
from tests.growth import cpu_s


def opened(source, name):
    offset = source.index("|")
    return opened_block(source.replace("|", "", 1), offset, LANGUAGES.get(name))


def block(indent=0, is_brace=False, is_closed=False, on_header=True):
    return Block(indent=indent, is_brace=is_brace, is_closed=is_closed, on_header=on_header)


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("def f():|", "python", block()),
        ("def f():   |", "python", block()),
        ("def f():  # why\n    |", "python", block(on_header=False)),
        ("def f():\n    |\n", "python", block(on_header=False)),
        ("def f():\n\n    |\n", "python", block(on_header=False)),
        ("def f():\n|", "python", block(on_header=False)),
        ("def f(a,\n      b):\n    |", "python", block(on_header=False)),
        ("def f(\n    a,\n) -> int:|\n", "python", block()),
        ("if a and \\\n        b:|\n", "python", block()),
        ("class A:\n    def g(self):|\n\n    def h(self): ...", "python", block(indent=4)),
        ("async def f():|", "python", block()),
        ("match x:\n    case 1:|\n", "python", block(indent=4)),
        ("try:|\nexcept E:\n    pass", "python", block()),
        ("class A {|}", "java", block(is_brace=True, is_closed=True)),
        ("class A {|", "java", block(is_brace=True)),
        (
            "  foo() {\n    |\n  }\n",
            "typescript",
            block(indent=2, is_brace=True, is_closed=True, on_header=False),
        ),
        (
            "class X {\n  foo() {\n|\n}",
            "javascript",
            block(indent=2, is_brace=True, on_header=False),
        ),
        ("foo(() => {|})", "javascript", block(is_brace=True, is_closed=True)),
        ("foo(() => {|)", "javascript", block(is_brace=True)),
        ("func f() {\n\t|\n}\n", "go", block(is_brace=True, is_closed=True, on_header=False)),
        ("int f(int a,\n      int b) {|", "c", block(is_brace=True)),
        ("  if (a) {\n      b();\n  } else if (c) {|", "c", block(indent=2, is_brace=True)),
        ("class A\n    : public B {|", "cpp", block(is_brace=True)),
        ('def f():\n    """Doc.\n\n    class of\n    """\n    if x:|', "python", block(indent=4)),
        ("int f(void)\n{\n    |\n}", "c", block(is_brace=True, is_closed=True, on_header=False)),
        ("fn f<'a>(x: &'a str) {|", "rust", block(is_brace=True)),
        ("something {|", "", block(is_brace=True)),
        ("key:|\n", "", block()),
        ("proc f(x):|", "", block()),
    ],
)
def test_empty_block_is_seen(source, name, expected):
    assert opened(source, name) == expected


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def f():|\n    return 1", "python"),
        ("def f():\n    |\n    return 1", "python"),
        ("def f():\n    x|\n", "python"),
        ("x = {1:|", "python"),
        ("x = {|", "python"),
        ("a[1:|", "python"),
        ("key=lambda x:|", "python"),
        ('def f():\n    """Use if:|\n', "python"),
        ("# if x:|", "python"),
        ("if x:  # now|", "python"),
        ("if x:|)", "python"),
        ("if x:| pass", "python"),
        ("def f():\n    a\n    |", "python"),
        ("def f():\n\n\n\n    |", "python"),
        ("x = '{|", "javascript"),
        ("// {|", "javascript"),
        ("if (x) {|\n  y();\n}", "javascript"),
        ("if (x) {|y }", "javascript"),
        ("label:|", "c"),
        ("Note that this:|", ""),
        ("|", "python"),
        ("\n\n|", "python"),
        ("", "python"),
    ],
)
def test_no_empty_block_is_seen(source, name):
    assert opened(source or "|", name) is None


def test_header_is_seen_far_below_its_definition():
    far = 'def f():\n    """Doc."""\n' + '    x = """a\n    b"""\n\n' * 500
    for cut in range(30):  # wherever the bounded look back begins
        source = far[: -cut or None].rpartition("\n\n")[0] + "\n\n    y = 1\n    if x:|\n"
        assert opened("#" * cut + "\n" + source, "python") == block(indent=4)


@pytest.mark.parametrize(
    ("line", "columns"), [("", 0), ("  a", 2), ("\ta", 4), ("  \ta", 4), ("  \f a", 1), ("a b", 0)]
)
def test_indentation_is_counted_in_columns(line, columns):
    assert indent_columns(line) == columns


@pytest.mark.parametrize(
    ("source", "name", "headers"),
    [
        ("class A:\n    def f(self):\n        x\n    |", "python", ["class A:"]),
        ("class A:\n    def f(self):\n        x\n|", "python", []),
        ("class A:\n    def f():\n        if:\n            |", "python", ["class A:", "def f():"]),
        ("def f(:\n  x = (\ndef g():\n    |", "python", ["def g():"]),
        ("export class A {\n  f(): void {\n    y(|", "tsx", ["export class A {", "f(): void {"]),
        ("impl A {\n    pub(a) fn f() {\n        |", "rust", ["impl A {", "pub(a) fn f() {"]),
        ("object A\n    method f\n        |", None, ["object A", "method f"]),
    ],
)  # fmt: skip
def test_headers_of_the_blocks_around_a_cursor(source, name, headers):
    text, offset = source.replace("|", ""), source.index("|")
    language = LANGUAGES[name] if name else None
    assert [line for _, line in open_headers(text, offset, language)] == headers


@given(text=st.text(alphabet="a \n\f\u2028\r", max_size=40), data=st.data())
@settings(max_examples=100)
def test_lines_are_those_between_line_feeds(text, data):
    offset = data.draw(st.integers(0, len(text)))
    above = [line for _, line in lines_above(text, offset)][::-1]
    here = text[line_start(text, offset) : line_end(text, offset)]
    below = [line for _, line in lines_below(text, offset)]
    assert [*above, here, *below] == text.split("\n")


@given(
    text=st.text(alphabet="()[]{}\"'`#/*\\\n ax", max_size=60),
    name=st.sampled_from([*LANGUAGES, ""]),
)
@settings(max_examples=150)
def test_scan_before_a_place_in_a_short_file_is_a_scan_of_everything(text, name):
    found, sees_all = scan_before(text, len(text), LANGUAGES.get(name), is_top=True)
    whole = scan(text, LANGUAGES.get(name))
    assert sees_all
    assert (_chars(found), found.quote) == (_chars(whole), whole.quote)


def _chars(found):
    return [mark.char for mark in (*found.openers, *found.extra)]


@pytest.mark.parametrize(
    ("text", "is_top", "expected"),
    [
        ("x = (\ndef f(a, [", False, ("([", False)),  # the definition's line begins anew
        ("x = (\ndef f(a, [", True, ("(([", True)),
        ("y = 1\n" * MAX_SCAN_CHARS + "x = (\n    [", True, ("([", False)),
        ("y = 1\n" * MAX_SCAN_CHARS + "x = (\n\n    [", False, ("[", False)),
        ("y = 1\n" * MAX_SCAN_CHARS + "class A:\n    (\n    [", True, ("([", True)),
        ("y = (\n" + " " * MAX_SCAN_CHARS + "[", True, ("[", False)),  # a line that is data
        ("x = 'a\\\n(b'", True, ("", True)),
    ],
)
def test_scan_before_begins_where_nothing_is_open(text, is_top, expected):
    found, sees_all = scan_before(text, len(text), LANGUAGES["python"], is_top=is_top)
    assert ("".join(_chars(found)), sees_all) == expected


def test_typing_in_a_long_file_scans_the_lines_above_once():
    text = "x = f(1, [2])\n" * 100_000

    def key(n_typed):
        scan_before(text + "y" * n_typed, len(text) + n_typed, LANGUAGES["python"], is_top=True)

    def keys():
        for n_typed in range(10):
            key(n_typed)

    first_s = cpu_s(lambda: key(0), 1)
    assert cpu_s(keys, 3) < first_s
