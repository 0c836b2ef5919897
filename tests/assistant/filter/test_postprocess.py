from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.filter.postprocess import RULES, RuleVerdict, TextEdit, filter_text
from assistant.request import CompletionRequest
from assistant.source.blocks import line_end, line_start

DATA = Path(__file__).parents[2] / "data" / "text"
FILES = {
    path.name: path.read_bytes().decode("utf-8")
    for path in sorted(DATA.iterdir())
    if path.suffix != ".md"
}


def applied(source, text, path="a.py", *, multi_line=False):
    offset = source.index("|")
    document = source.replace("|", "", 1)
    request = CompletionRequest(path=path, text=document, offset=offset)
    edit = filter_text(request, text, multi_line=multi_line).edit
    if edit is None:
        return None
    return document[: edit.start] + edit.text + document[edit.end :]


@pytest.mark.parametrize(
    ("source", "text", "path", "expected"),
    [
        ("print(|)\n", "x, y)\n", "a.py", "print(x, y)\n"),
        ("const a = [|];\n", "1, 2];", "a.ts", "const a = [1, 2];\n"),
        ('f("|")\n', 'key")', "a.go", 'f("key")\n'),
        ("    self.x = |\n    self.y = y\n", "x\n    self.y = y", "a.py", None),
        (
            "    self.x = |\n    self.y = y\n",
            "xyz  \n",
            "a.py",
            "    self.x = xyz\n    self.y = y\n",
        ),
        ("vec![|]", "a\u200bb]<|end|>", "a.rs", "vec![ab]"),
        ("x = |\n", "\n\n", "a.py", None),
        ("x = |\n", "", "a.py", None),
        ('x = "|\n', '""a\nb)', "a.py", 'x = """a\n'),  # nothing stands behind the cursor
    ],
)
def test_generated_text_becomes_an_edit(source, text, path, expected):
    assert applied(source, text, path) == expected


def test_several_lines_become_one_edit():
    text = "\n  open(key);\n  return this;  \n}\n"
    assert applied("f(key) {|\n}\n", text, "a.ts", multi_line=True) == (
        "f(key) {\n  open(key);\n  return this;\n}\n"
    )


def test_hidden_marker_does_not_survive_the_removal_of_what_hid_it():
    assert applied("x = |", "abc<|e\u200bnd|>") == "x = abc"


def test_edit_says_what_it_replaces():
    request = CompletionRequest(path="a.py", text="f()", offset=2)
    edit = filter_text(request, "xy)", multi_line=False).edit
    assert edit == TextEdit(text="xy)", start=2, end=3)


def test_every_rule_gives_its_verdict():
    request = CompletionRequest(path="a.py", text="x = ", offset=4)
    outcome = filter_text(request, "abc)  ", multi_line=False)
    first = outcome.verdicts[: len(RULES)]
    assert [verdict.rule for verdict in first] == [rule.__name__ for rule in RULES]
    assert [verdict for verdict in outcome.verdicts if verdict.action != "kept"] == [
        RuleVerdict(rule="bracket_balance", action="cut", n_chars=3)
    ]
    assert outcome.edit == TextEdit(text="abc", start=4, end=4)


def test_silence_names_the_rule_that_asked_for_it():
    request = CompletionRequest(path="a.py", text="x = ", offset=4)
    outcome = filter_text(request, "1", multi_line=False)
    assert outcome.edit is None
    assert outcome.verdicts[-1] == RuleVerdict(rule="too_short", action="dropped", n_chars=1)


WORDS = ["return x", "\n", "    ", ")", "}", "<|end|>", "\u200b", "x, ", "<|", "end|>"]
QUOTES = ["'", '"', '""', '"""', "'''", "/*"]
GENERATED = st.one_of(
    st.text(alphabet="()[]{}'\"`;,: abx\n", max_size=25),
    st.text(max_size=12),
    st.lists(st.sampled_from([*WORDS, *QUOTES]), max_size=10).map("".join),
)
SOURCES = st.one_of(
    st.sampled_from(sorted(FILES)).map(lambda name: (name, FILES[name])),
    st.tuples(
        st.sampled_from(["a.py", "a.ts", "a.rs", "a.txt"]),
        st.lists(st.sampled_from([*"()[]{}'\";, ax\n", '"""']), max_size=40).map("".join),
    ),
)


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(char in rest for char in part)


@given(source=SOURCES, text=GENERATED, multi_line=st.booleans(), data=st.data())
@settings(max_examples=250)
def test_edit_is_stable_stays_on_its_line_and_deletes_nothing(source, text, multi_line, data):
    path, document = source
    offset = data.draw(st.integers(0, len(document)))
    tail = data.draw(st.sampled_from(["", "line", "more"]))
    if tail == "line":  # what follows is said again: the case that most rules are about
        text += document[offset : line_end(document, offset)]
    elif tail == "more":
        text += document[offset : offset + 60]
    request = CompletionRequest(path=path, text=document, offset=offset)
    edit = filter_text(request, text, multi_line=multi_line).edit
    if edit is None:
        return
    assert filter_text(request, edit.text, multi_line=multi_line).edit == edit
    assert line_start(document, offset) <= edit.start <= offset <= edit.end
    assert edit.end <= line_end(document, offset)
    deleted = document[edit.start : edit.end]
    assert set(deleted) <= set(")]}\"'`>;,: ")
    # Brackets that an editor closed on a line that goes on below may go untyped.
    rest = iter(edit.text)
    untyped = {char for char in deleted if char not in rest}
    goes_on = untyped <= set(")]}") and edit.text.rstrip()[-1] in ",({[&|+-*/=<.?:\\"
    assert goes_on or is_subsequence(deleted, edit.text)
    assert is_subsequence(edit.text, text)
    assert multi_line or "\n" not in edit.text
    after = document[: edit.start] + edit.text + document[edit.end :]
    assert after != document
    assert goes_on or is_subsequence(document, after)
