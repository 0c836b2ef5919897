from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.source.brackets import scan, scan_on, spans_lines
from assistant.source.languages import LANGUAGES
from tests.growth import LINEAR, growth

DATA = Path(__file__).parents[2] / "data" / "text"
SOUP = st.text(alphabet="()[]{}\"'`#/*\\\n ax", max_size=60)


def state(text, name, quote=""):
    found = scan(text, LANGUAGES.get(name), quote)
    openers = "".join(mark.char for mark in found.openers)
    extra = "".join(mark.char for mark in found.extra)
    return openers, extra, found.quote


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("f(a, [b", "python", ("([", "", "")),
        ("b])", "python", ("", "])", "")),
        ("print('(", "python", ("(", "", "'")),
        ("x = ')' # (", "python", ("", "", "\n")),
        ("# don't (\ny(", "python", ("(", "", "")),
        ('"""doc (\nmore', "python", ("", "", '"""')),
        ("'it\\'s (", "python", ("", "", "'")),
        ("don't (", "", ("", "", "'")),
        ("don't (\n(", "", ("((", "", "")),
        ("/* ( \n */ {", "c", ("{", "", "")),
        ("/* ( \n", "c", ("", "", "*/")),
        ("// {\n{", "go", ("{", "", "")),
        ("`a {\n${", "javascript", ("", "", "`")),
        ("fn f<'a>(x: &'a str) {", "rust", ("{", "", "")),
        ("let c = '{'; (", "rust", ("(", "", "")),
        ("'\\'' (", "java", ("(", "", "")),
        ("1'000'000 (", "cpp", ("(", "", "")),
        ('"""\n( ', "java", ("", "", '"""')),
        ("([)", "python", ("", "", "")),
        ("", "python", ("", "", "")),
    ],
)
def test_scan_finds_what_is_open(text, name, expected):
    assert state(text, name) == expected


def test_scan_continues_inside_a_string():
    found = scan("abc(')", LANGUAGES["python"], "'")
    assert found.unquoted_at == 5
    assert [(mark.at, mark.char) for mark in found.extra] == [(5, ")")]


def test_scan_inside_a_string_that_stays_open():
    assert state("abc (", "python", "'") == ("", "", "'")


def test_one_line_string_ends_with_its_line():
    found = scan("abc\n(", LANGUAGES["python"], "'")
    assert found.unquoted_at is None
    assert [mark.char for mark in found.openers] == ["("]


def test_comment_at_the_cursor_ends_with_its_line():
    assert state("( not code\n[", "python", "\n") == ("[", "", "")


@pytest.mark.parametrize("path", sorted(DATA.glob("*.*[!d]")), ids=lambda path: path.name)
def test_odd_files_are_balanced(path):
    suffix = path.suffix[1:]
    name = {"py": "python", "rs": "rust", "ts": "typescript"}.get(suffix, suffix)
    with path.open(encoding="utf-8", newline="") as file:
        assert state(file.read(), name) == ("", "", "")


@given(text=SOUP, name=st.sampled_from([*LANGUAGES, ""]))
@settings(max_examples=150)
def test_scan_of_two_halves_agrees_on_the_string_at_the_end(text, name):
    whole = scan(text, LANGUAGES.get(name))
    assert all(text[mark.at] == mark.char for mark in (*whole.openers, *whole.extra))
    if whole.quote:
        again = scan(text[whole.quote_at :], LANGUAGES.get(name))
        assert again.quote == whole.quote


@given(text=SOUP, name=st.sampled_from([*LANGUAGES, ""]))
@settings(max_examples=150)
def test_scan_of_lines_goes_on_with_the_next_line(text, name):
    language = LANGUAGES.get(name)
    start = text.rfind("\n") + 1
    above = scan(text[:start], language)
    if not above.quote or spans_lines(above.quote, language):
        found = scan_on(above, text[start:], language)
        assert (
            "".join(mark.char for mark in found.openers),
            "".join(mark.char for mark in found.extra),
            found.quote,
        ) == state(text, name)


@pytest.mark.parametrize("pieces", [("(", "]"), ("'",), ('"\n',)])
@pytest.mark.parametrize("name", ["rust", "python"])
def test_hostile_text_takes_linear_time(name, pieces):
    def look_through(n):
        scan("".join(piece * n for piece in pieces), LANGUAGES[name])

    assert growth(look_through, 2_500) < LINEAR
