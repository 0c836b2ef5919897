from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant.source.languages import LANGUAGES
from assistant.source.stopping import (
    MAX_LINE_CHARS,
    MAX_LINES,
    cut_repetition,
    inline_cycle,
    line_cycle,
    stop,
)


class Pieces:
    """Generated text in small pieces; counts what was pulled and remembers being closed."""

    def __init__(self, text: str, size: int = 3, reason: str | None = None) -> None:
        self.pulled = ""
        self.closed = False
        self.generator = self._run(text, size, reason)

    def _run(self, text: str, size: int, reason: str | None) -> Iterator[str]:
        try:
            for start in range(0, len(text), size):
                self.pulled += text[start : start + size]
                yield text[start : start + size]
            return reason
        finally:
            self.closed = True


def run(source, text, name="python", *, multi_line=True, size=3, reason=None):
    prefix, _, suffix = source.partition("|")
    pieces = Pieces(text, size, reason)
    found = stop(LANGUAGES.get(name), prefix, suffix, pieces.generator, multi_line)
    assert pieces.closed
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2\ny = 3\n", ("1 + 2", "stop")),
        ("1 + 2", ("1 + 2", "stop")),
        ("\ny = 3\n", ("", "stop")),
        ("", ("", "stop")),
        ("x\f\u2028y\nz", ("x\f\u2028y", "stop")),
        ("1, 2, 3, " * 9, ("1, 2, 3, ", "repetition")),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_single_line_ends_before_the_newline(text, expected, size):
    assert run("x = |\n", text, multi_line=False, size=size) == expected


@pytest.mark.parametrize("reason", ["length", "deadline", "cancelled"])
@pytest.mark.parametrize("multi_line", [False, True])
def test_generator_says_why_it_ended(reason, multi_line):
    assert run("x = |", "a + b", multi_line=multi_line, reason=reason) == ("a + b", reason)


def test_generation_stops_at_the_newline():
    pieces = Pieces("one\ntwo\nthree\n", size=1)
    stop(None, "", "", pieces.generator, multi_line=False)
    assert pieces.pulled == "one\n"


def test_plain_iterator_needs_no_close():
    assert stop(None, "", "", iter(["ab", "c\n", "d"]), multi_line=False) == ("abc", "stop")


def test_failure_of_the_generator_passes_through():
    def failing():
        yield "a"
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        stop(None, "", "", failing(), multi_line=False)


def test_endless_line_is_cut():
    text = "".join(chr(0x4E00 + index) for index in range(2 * MAX_LINE_CHARS))
    assert run("x|", text, multi_line=False) == (text[:MAX_LINE_CHARS], "length")
    assert run("def f():|", text) == (text[:MAX_LINE_CHARS], "length")


FUNCTION = "\n    a = 1\n    return a"
BODY = "a = 1\n    return a"


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("def f():|\n", FUNCTION + "\n\n\ndef g():\n    pass\n", FUNCTION),
        ("def f():|\n", FUNCTION + "\n\ndef g():\n", FUNCTION),
        ("def f():|\n", FUNCTION + "\nx = 1\n", FUNCTION),
        ("def f():|\n", FUNCTION + "\n\n    b = 1\nx", FUNCTION + "\n\n    b = 1"),
        ("def f():|\n", FUNCTION + "\n\n\n    b = 1\n", FUNCTION),
        ("def f():|\n", FUNCTION, FUNCTION),
        ("def f():\n    |\n", BODY + "\nx = 1\n", BODY),
        ("def f():\n|\n", "    " + BODY + "\nx = 1\n", "    " + BODY),
        ("def f():|\n", " return 1\nx = 1", " return 1"),
        ("if x:|\n", "\n    a\nelse:\n    b\n", "\n    a"),
        ("class A:\n    def f(self):|\n", "\n        a\n    def g(self):\n", "\n        a"),
        ("class A:\n    def f(self):\n        |\n", "a\n\n    def g(self):\n", "a"),
        ("def f():|\n", "\n    g(\n        1,\n    )\nx\n", "\n    g(\n        1,\n    )"),
        ("if x:\n    |\n", "\n\n\n\n\n\n", ""),
        ("    if x:\n    |\n", "y = 1\nz = 1\n", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_python_block_ends_at_the_dedent(source, text, expected, size):
    assert run(source, text, size=size) == (expected, "stop")


JS_BODY = "\n  a = 1;\n  if (b) {\n    c();\n  }"


@pytest.mark.parametrize(
    ("source", "name", "text", "expected"),
    [
        ("f() {|\n", "javascript", JS_BODY + "\n}\n\nf2() {\n", JS_BODY + "\n}"),
        ("f() {|\n}\n", "javascript", JS_BODY + "\n}\n\nf2() {\n", JS_BODY),
        ("f() {\n  |\n}\n", "typescript", "a = 1;\n}\n\nf2() {\n", "a = 1;"),
        ("f() {\n  |\n", "typescript", "a = 1;\n}\n\nf2() {\n", "a = 1;\n}"),
        ("f(() => {|})\n", "javascript", "\n  a;\n});\n\nf2();\n", "\n  a;\n});"),
        ("if (x) {|\n", "c", "\n  a;\n} else {\n  b;\n}\n", "\n  a;\n}"),
        ("int f() {|\n", "cpp", " return 1; }\nint g() {\n", " return 1; }"),
        ("int f() {|}\n", "cpp", " return 1; } int g", " return 1; }"),
        ("f() {\n  |\n}\n", "java", "a; } b;\n", "a; "),
        ("func f() {\n\t|\n}\n", "go", "a := 1\n\tb()\n}\n\nfunc g() {", "a := 1\n\tb()"),
        ("    fn f() {|\n}\n", "rust", "\n        a\n    }\n\n    fn", "\n        a\n    }"),
        ("f() {\n|\n}\n", "javascript", "  '}' // }\n  b\n}\n", "  '}' // }\n  b"),
        ("f() {|\n}\n", "c", "\n#if X\n  a;\n#endif\n}\n", "\n#if X\n  a;\n#endif"),
        ("proc {|\n", "", "\n  a\n}\nb", "\n  a\n}"),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_brace_block_ends_at_its_closer(source, name, text, expected, size):
    assert run(source, text, name, size=size) == (expected, "stop")


def test_generation_stops_at_the_first_character_outside():
    pieces = Pieces("\n    return 1\n\nclass Next:\n", size=1)
    stop(LANGUAGES["python"], "def f():", "\n", pieces.generator, multi_line=True)
    assert pieces.pulled == "\n    return 1\n\nc"


def test_too_many_lines_are_cut_to_whole_ones():
    text = "".join(f"\n    step_{index}()" for index in range(30))
    kept = "".join(f"\n    step_{index}()" for index in range(MAX_LINES))
    assert run("def f():|", text) == (kept, "length")
    assert run("def f():|", text, size=500) == (kept, "length")


def test_unfinished_last_line_is_left_out():
    text = "\n    a = 1\n    b = some"
    assert run("def f():|", text, reason="deadline") == ("\n    a = 1", "deadline")
    assert run("def f():|", text) == (text, "stop")


def test_repetition_stops_at_once_and_is_trimmed():
    pieces = Pieces("\n    step()" * 50, size=1)
    found = stop(LANGUAGES["python"], "def f():", "", pieces.generator, multi_line=True)
    assert found == ("\n    step()", "repetition")
    assert len(pieces.pulled) < 40


def test_multi_line_without_an_opener_stays_as_deep_as_the_cursor():
    assert run("    |", "a\n    b\n\nc\n") == ("a\n    b", "stop")
    assert run("    x = |", "a\n    b\nc\n") == ("a", "stop")


LINES = st.lists(
    st.sampled_from(["", "    a = 1", "        b(", "        )", "x", "}", "  }", "    {", "\t"]),
    max_size=20,
).map("\n".join)


@given(
    text=LINES,
    source=st.sampled_from(["def f():|\n", "def f():\n    |\nx", "f() {|", "f() {\n    |\n}"]),
    name=st.sampled_from(["python", "javascript", ""]),
    size=st.integers(1, 40),
    multi_line=st.booleans(),
)
@settings(max_examples=200)
@example(  # a cycle that ends with the line that is one too many
    text="".join(" " * 8 + ")\n" if char == ")" else "    a = 1\n" for char in ")aa)a))))a))a"),
    source="def f():|\n",
    name="python",
    size=10,
    multi_line=True,
)
def test_kept_text_begins_the_generated_and_ignores_how_it_was_cut(
    text, source, name, size, multi_line
):
    found = run(source, text, name, multi_line=multi_line, size=size)
    whole = run(source, text, name, multi_line=multi_line, size=1)
    assert found == whole
    assert text.startswith(found.text)
    assert multi_line or "\n" not in found.text


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
