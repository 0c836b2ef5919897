import pytest

from assistant.filter import postprocess, rules
from assistant.filter.rules import CursorSite
from assistant.request import CompletionRequest


def place(source, path="a.py", *, multi_line=False, is_rest=False):
    text, _, rest = source.rpartition("|")  # the last bar is the cursor
    request = CompletionRequest(path=path, text=text + rest, offset=len(text))
    return CursorSite.of(request, multi_line=multi_line, is_rest=is_rest)


def left(rule, source, text, path="a.py", *, multi_line=False):
    return rule(place(source, path, multi_line=multi_line), text).text


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("x = |", "a\u202eb", "ab"),
        ("x = |", "a\u200b\ufeff\u2066b", "ab"),
        ("x = |", "a\x00\x1b\x7f\x85b\u2028", "ab"),
        ("x = |", "a\r\n\tb\f", "a\n\tb"),
        ("x = |", "a\ud800\ufffdb", "ab"),
        ("x = |", "\u5b57e\u0301\U0001f600\xa0", "\u5b57e\u0301\U0001f600\xa0"),
        ("s = '\U0001f468\u200d' + |", "'\u200d'", "'\u200d'"),
        ("s = '\u200d'\ny = |", "'\u200d'", "''"),
    ],
)
def test_control_characters_are_dropped_unless_the_line_has_them(source, text, expected):
    assert left(rules.control_characters, source, text) == expected


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("x = |", "foo<|end|>bar", "foo"),
        ("x = |", "<|fim_middle|>", ""),
        ("x = '<|fim_|", "middle|>' + y", ""),
        ("x = '<|end|>' + |", "y", "y"),
        ("x = |", "a <| b |> c", "a <| b |> c"),
        ("x = |", "a <|b", "a <|b"),
    ],
)
def test_marker_text_is_never_shown(source, text, expected):
    assert left(rules.marker_text, source, text) == expected


@pytest.mark.parametrize(
    ("source", "multi_line", "expected"),
    [
        ("x|", False, "a"),
        ("x|", True, "a\nb"),
        ("x {|}", True, "a\nb"),
        ("x| + 1", True, "a"),
    ],
)
def test_lines_are_limited(source, multi_line, expected):
    assert left(rules.line_limit, source, "a\nb", multi_line=multi_line) == expected


def test_repetition_within_the_text_is_cut():
    assert left(rules.repetition, "x = |", "ab, cd, " * 5) == "ab, cd, "


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("step()\nstep()\n|", "step()", ""),
        ("step()\n\nstep()\nst|", "ep()", ""),
        ("step(1)\nstep()\n|", "step()", "step()"),
        ("step()\n|", "step()", "step()"),
        ("step()\nstep()\n  |", "step()", "step()"),
        ("}\n}\n|", "}", "}"),
        ("a = one\nb = two\n|", "a = one\nb = two", ""),
        ("a = one\nb = two\n|", "b = two\na = one", "b = two\na = one"),
        ("f(xyz)\nf(xyz)\nf(|)", "xyz", ""),
        ("|", "step()", "step()"),
        ("B = 3\nB = 3\n|", "B = 3", ""),
        ("ab()\ncd()\n" * 2 + "ab()\n|", "cd()", ""),
        ("ab()\ncd()\n" * 2 + "|", "ab()", "ab()"),
        ("one()\ntwo()\nsix()\none()\ntwo()\n|", "six()", ""),
        ("".join(f"x.append({n})\n" for n in range(5)) + "|", "x.append(5)", ""),
        ("".join(f"x.append({n})\n" for n in range(4)) + "|", "x.append(4)", "x.append(4)"),
        ("".join(f"a({n})\nb({n})\n" for n in range(5)) + "a(5)\n|", "b(5)", ""),
        ("}\n)\n" * 6 + "|", "}", "}"),
        ("import sys\nimport re\n|", "import sys", ""),
        ("import sys\nimport re\nimport s|", "ys", ""),
        ("import sys\nimport re\n|", "import os", "import os"),
        ("import {\n  a,\n} from 'a';\n|", "import {", "import {"),
        ("from a import (\n  b,\n)\nfr|", "om a import (", "om a import ("),
        ("def f():\n    import sys\ndef g():\n    |", "import sys", "import sys"),
        ("#include <a.h>\n#inc|", "lude <a.h>", ""),
    ],
)
def test_lines_above_are_not_said_a_third_time(source, text, expected):
    assert left(rules.repeated_previous, source, text, multi_line=True) == expected


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("us|ing reference = T;", "ing ptrdiff_t;", "a.cpp", ""),
        ("impo|rt contextlib", "rt os", "a.py", ""),
        ("x = |value", "some", "a.py", ""),
        ("x = |value", "some + ", "a.py", "some + "),
        ("x = |_value", "some", "a.py", ""),
        ("x.fo|", "o", "a.py", "o"),
        ("f(fo|)", "o", "a.py", "o"),
        ("a|[0]", "b", "a.py", "b"),
    ],
)
def test_nothing_is_glued_to_a_word(source, text, path, expected):
    assert left(rules.glued_word, source, text, path) == expected


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("|", "from os import path", "a.ts", ""),
        ("  |", "def f(x):", "a.java", ""),
        ("imp|", "ort sys", "a.go", ""),
        ("|", '"""Say it."""', "a.cpp", ""),
        ("|", 'import sys from "sys";', "a.ts", 'import sys from "sys";'),
        ("|", "import java.util.List;", "a.java", "import java.util.List;"),
        ("|", "import sys", "a.py", "import sys"),
        ("`|`", "from a import b", "a.ts", "from a import b"),
    ],
)
def test_python_is_not_shown_in_other_languages(source, text, path, expected):
    assert left(rules.foreign_line, source, text, path) == expected


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("    x = 1\n    |", "  y = 2", "a.py", "y = 2"),
        ("    x = 1\n  |", "  y = 2", "a.py", "  y = 2"),
        ("if x:\n|", "    y = 2", "a.py", "    y = 2"),
        ("if x:  # so\n|", "    y = 2", "a.py", "    y = 2"),
        ("if x:  # so\n|\n    z = 1", "    y = 2", "a.py", "    y = 2"),
        ("f(a,\n|", "    y)", "a.py", "    y)"),
        ("s = '''\na\n|", "    y", "a.py", "    y"),
        ("if (x)\n|", "  y = 2;", "a.c", "  y = 2;"),
        ("x = |", "  1", "a.py", "  1"),
    ],
)
def test_a_line_stands_no_deeper_than_code_above_allows(source, text, path, expected):
    assert left(rules.indentation, source, text, path) == expected


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("    |\n    return x\n", "return x", "a.py", ""),
        ("    ret|\n    return x\n", "urn x", "a.py", ""),
        ("    |\n\n    return x\n", "return x", "a.py", ""),
        ("        |\n    return x\n", "return x", "a.py", "return x"),
        ("    |\n    return xyz\n", "return x", "a.py", "return x"),
        ("    |\n    0,\n", "0,", "a.py", "0,"),
        ("    |\n    return x\n", "y = 1\n    return x", "a.py", "y = 1"),
        ("    |\n    b()\n    abc()", "a()\n\n    b()\n    abc()", "a.py", "a()"),
        ("  |\n}\n", "return 1;\n}", "a.c", "return 1;"),
        ("  |\n}\n", "return 1;\n  }", "a.c", "return 1;\n  }"),
        ("f() {|\n}\n", "\n  a();\n}", "a.js", "\n  a();"),
        ("|\nimport os\n", "\nimport os", "a.py", ""),
        ("f(|)\nf(x)\n", "x", "a.py", "x"),
        ("mod w|;\nmod word;\n", "ord", "a.rs", ""),
        ("mod w|;\nmod word;\n", "ords", "a.rs", "ords"),
        ("run(|) { }\nrun(now) { }\n", "now", "a.go", "now"),
        ("x = |", "1", "a.py", "1"),
    ],
)
def test_lines_below_are_not_said_again(source, text, path, expected):
    assert left(rules.duplicate_following, source, text, path, multi_line=True) == expected


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("print(|)", "x, y)", "a.py", ("x, y)", 1)),
        ("print(|)", "x, y", "a.py", ("x, y", 0)),
        ("print(|)", "x[1], f(y)", "a.py", ("x[1], f(y)", 0)),
        ("foo(bar(|))", "xy)", "a.py", ("xy)", 1)),
        ("foo(bar(|))", "xy))", "a.py", ("xy))", 2)),
        ("foo(|);", "xy);", "a.js", ("xy);", 2)),
        ("foo(|)", "xy);", "a.js", ("xy);", 1)),
        ("foo(|);", "xy)", "a.js", ("xy)", 1)),
        ("foo(|): ", "xy):", "a.py", ("xy):", 2)),
        ("x = {'a|'}", "bc'}", "a.py", ("bc'}", 2)),
        ("x = f('a|')", "bc'", "a.py", ("bc'", 1)),
        ('f("|)', 'abc")', "a.py", ('abc")', 1)),
        ("f('|')", "it(s)", "a.py", ("it(s)", 0)),
        ("if (|) {", "x && y) {", "a.js", ("x && y", 0)),
        ("if (|) {", "x && y)", "a.js", ("x && y)", 1)),
        ("foo(|, b)", "aa, b)", "a.py", ("aa", 0)),
        ("x = | + total", "count + total", "a.py", ("count", 0)),
        ("x = |total", "count + total", "a.py", ("count + ", 0)),
        ("fo|o = 1", "o = 1", "a.py", ("", 0)),
        ("x = |  ", "y", "a.py", ("y", 0)),
        ("f(() => {|})", "\n  a();\n})", "a.js", ("\n  a();\n})", 2)),
        ("x = [|]\n", "a]", "a.rs", ("a]", 1)),
        ("# see (|)", "x)", "a.py", ("x)", 1)),
        ("func f(b *|)\n\treturn\n}\n", "testing.B) {", "a.go", ("testing.B) {", 1)),
        ("if (request.|)\n  x();\n}\n", "isOk()) {", "a.java", ("isOk()) {", 1)),
        ("it('saves', async (|))\n  x();\n});\n", ") => {", "a.js", (") => {", 2)),
        ("javadoc = 1\n/* @see A#b(|)", "Strictness)", "a.java", ("Strictness)", 1)),
        ('f"{order.cust|}"', 'omer_name}"', "a.py", ('omer_name}"', 2)),
        ('r.Host("{domain|}")', '}"', "a.go", ('}"', 2)),
        ("`${user.|}`", "name}`", "a.ts", ("name}`", 2)),
        ('"""An order error occurred."|""', '""', "a.py", ('""', 2)),
        ("foo(bar(|)", "xy)", "a.py", ("xy)", 0)),
        ("f(|)", "a) + (b", "a.py", ("a) + (b", 0)),
        ("if (f((T*)x|) {", ") != 0", "a.c", (") != 0", 0)),
        ("f(\n    a|)", "b)", "a.py", ("b)", 1)),
        ("f('|')", "a', 'b", "a.py", ("a', 'b", 0)),
        ("#define KERN|P", "EL_HP", "a.h", ("EL_HP", 0)),
        ('f(g(x),\n  "42|"\n', 'ps");', "a.cpp", ('ps");', 1)),
        ("// (see\n// the 'old|'\n", "er' one)", "a.go", ("er' one)", 1)),
        ('s = "{\\"a|}"\n', '\\":1}";', "a.java", ('\\":1}";', 2)),
        ('print("%d\\|")\n', 'n", x);', "a.c", ('n", x);', 2)),
        ('s = """|"""\n', 'Say it."""', "a.py", ('Say it."""', 3)),
        ("/// `|`\nfn f() {}\n", "``", "a.rs", ("``", 1)),
        ('s = """\na\n"|"\n', '"".format(x)', "a.py", ('"".format(x)', 1)),
        ('ema|: "",\n', 'il: "",', "a.vue", ("il", 0)),
        ("if: ${{ needs.x.maint| }}\n", "ainer }}", "a.yml", ("ainer", 0)),
        ("let x: Vec<|>\n", "Vec<u8>> = f(|a| -> b);", "a.rs", ("Vec<u8>> = f(|a| -> b);", 1)),
        ("<Button|></Button>\n", ' kind="a">', "a.tsx", (' kind="a">', 1)),
        ("if (a->b|> c)\n", "->d", "a.c", ("->d", 0)),
        ("color: |;\n", "var(--main);", "a.css", ("var(--main);", 1)),
        ("return |;\n", "x + 1;", "a.ts", ("x + 1;", 1)),
        ("return |;\n", "x + 1", "a.ts", ("x + 1", 0)),
        ('s :=|""\n', ' ""', "a.go", (' ""', 2)),
        ("name: |',\n", "'a',", "a.ts", ("'a',", 2)),
        ("f(|, c)\n", "a, b,", "a.ts", ("a, b,", 1)),
        ("std|::x\n", "a:", "a.cpp", ("a:", 0)),
    ],
)
def test_what_follows_on_the_line_is_not_doubled(source, text, path, expected):
    assert postprocess.suffix_overlap(place(source, path), text) == expected


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("x = |", "y)", "a.py", "y"),
        ("x = |", "y) + 1", "a.py", "y"),
        ("x = |", "f(y) + g[1]", "a.py", "f(y) + g[1]"),
        ("f(|", "y)", "a.py", "y)"),
        ("f(|", "y))", "a.py", "y)"),
        ("f(|", "y]", "a.py", "y"),
        ("f(\n    x,\n    |", "y)", "a.py", "y)"),
        ("f(\n    x,\n    |\n)\n", "y)", "a.py", "y"),
        ("f(|, b)", "aa)", "a.py", "aa"),
        ("f(|)", "aa)", "a.py", "aa)"),
        ("f(|)", "aa) + (b)", "a.py", "aa) + (b)"),
        ("d = {\n  'a': [1, 2|\n}\n", "3],", "a.py", "3],"),
        ("d = {\n  'a': [1, 2|\n}\n", "3]}", "a.py", "3]"),
        ("x = '|'", ":)", "a.py", ":)"),
        ("# x |", ":)", "a.py", ":)"),
        ("class A {\n  void f() {\n    g(|\n  }\n}", "a);}}", "A.java", "a);"),
        ("class A {\n  void f() {\n    g();\n  |\n}", "}", "A.java", "}"),
        ("fn f<'a>(x: &'a str) {\n    x|\n}", ".len())", "a.rs", ".len()"),
        ("f(|)\n)", "aa)", "a.py", "aa)"),
        ("if (a) {\n  b();\n|\n  c();\n}", "} else {", "a.c", "} else {"),
        ("if (a(/* b|\n  c();\n}", "*/ 1)) {", "a.c", "*/ 1)) {"),
    ],
)
def test_closers_without_an_opener_are_cut(source, text, path, expected):
    assert left(postprocess.bracket_balance, source, text, path) == expected


def test_closers_out_of_sight_do_not_tell_which_bracket_is_doubled():
    far = "a = {\n  b: {\n    c: { d|}\n  },\n" + "  e: 1,\n" * 1_000 + "};\n"
    assert postprocess.suffix_overlap(place(far, "a.ts"), ": 1 },").n_replaced == 1


def test_closers_in_sight_tell_which_go_though_more_follow():
    far = "a(() => {\n  b(c(|))\n    d);\n});\n" + "e();\n" * 2_000
    assert postprocess.suffix_overlap(place(far, "a.ts"), "x(1)),").n_replaced == 2


@pytest.mark.parametrize(("is_part", "n_replaced"), [(False, 1), (True, 0)])
def test_closers_stay_where_the_line_goes_on_behind_the_text(is_part, n_replaced):
    cursor = place("x.map { |n| A|}\n", "a.rb")._replace(is_part=is_part)
    assert postprocess.suffix_overlap(cursor, ".autoload(").n_replaced == n_replaced


def test_brackets_opened_out_of_sight_may_be_closed():
    far = "x = f(\n" + "    1,\n" * 2_000 + "    |"
    assert left(postprocess.bracket_balance, far, "2)") == "2)"


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("x = |", "y  ", "y"),
        ("x = |", "y\n\n  ", "y"),
        ("x:|", "\n  a \n   \n  b\t", "\n  a\n\n  b"),
        ("x = |+ 1", "y ", "y "),
        ("x = |+ 1", "y   ", "y "),
        ("x = | + 1", "y ", "y"),
        ("x {|}", "\n  a\n  ", "\n  a\n  "),
        ("x = |", "   ", ""),
    ],
)
def test_trailing_space_is_stripped(source, text, expected):
    assert left(rules.trailing_space, source, text, multi_line=True) == expected


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("x = |", "1", ""),
        ("x = |", "10", "10"),
        ("x = |", " \n", ""),
        ("f(x|", ")", ")"),
        ("f(g(x|", ")", ""),
        ("f(x|)", ")", ""),
        ("f(|)", "x)", ""),
        ("f(|)", "xy)", "xy)"),
        ("f(async () =|)", "> {", "> {"),
        ("if x|", ":", ""),
    ],
)
def test_too_little_is_not_shown(source, text, expected):
    assert left(postprocess.too_short, source, text) == expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = f|", ")"),
        ("T.displayName = |", '"'),
        ("e.Use(Config(Confi|))", "g{"),
        ("test(async () =>|)", " {"),
    ],
)
def test_the_rest_of_what_was_shown_stays_to_its_last_character(source, text):
    site = place(source, "a.ts", is_rest=True)
    assert postprocess.stray_quote(site, text).text == text
    assert postprocess.too_short(site, text).text == text
