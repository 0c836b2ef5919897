"""In an editor that closes brackets by itself, nothing closes twice after a suggestion is taken."""

import pytest

from assistant.filter.postprocess import filter_text
from assistant.request import CompletionRequest
from tests import code_samples
from tests.auto_closing import accept, type_line

SAMPLES = {
    "a.py": code_samples.PYTHON,
    "a.js": code_samples.JAVASCRIPT,
    "a.ts": code_samples.TYPESCRIPT,
    "a.tsx": code_samples.TSX,
    "a.go": code_samples.GO,
    "a.rs": code_samples.RUST,
    "a.java": code_samples.JAVA,
    "a.cpp": code_samples.CPP,
}


def test_editor_closes_and_types_over() -> None:
    assert list(type_line("f(a)")) == [("f", ""), ("f(", ")"), ("f(a", ")"), ("f(a)", "")]
    assert list(type_line('x = "a"'))[4] == ('x = "', '"')
    assert list(type_line('x = "a"'))[-1] == ('x = "a"', "")


@pytest.mark.parametrize("path", SAMPLES)
def test_no_closer_is_doubled_at_any_cursor(path: str) -> None:
    text, doubled, n_taken, start = SAMPLES[path], [], 0, 0
    for line in text.split("\n"):
        for n_typed in range(len(line) - len(line.lstrip()) + 1, len(line)):
            taken = accept(text, start, n_typed, line, path)
            n_taken += taken is not None
            if taken is not None and taken[0] != taken[1]:
                doubled.append((line[:n_typed] + "|" + line[n_typed:], taken[0]))
        start += len(line) + 1
    assert n_taken > 50
    assert doubled == []


def test_deep_in_a_file_with_docstrings_nothing_is_doubled() -> None:
    method = "    def name_{}(self, key):\n"
    method += '        """Say \'it\' (once."""\n'
    method += "        return self.key(key)\n\n"
    text = "class Store:\n" + "".join(method.format(n) for n in range(120))
    line = "        return self.manager_for(proxy)"
    start = len(text)
    text += line + "\n"
    assert start > 6_000
    for n_typed in range(20, len(line)):
        taken = accept(text, start, n_typed, line, "a.py")
        assert taken is None or taken[0] == taken[1]


@pytest.mark.parametrize("text", ['""Estimator', '""One line."""'])
def test_first_of_three_quotes_was_closed_by_the_editor(text: str) -> None:
    document = 'class A:\n    ""\n    x = 1\n'
    request = CompletionRequest(path="a.py", text=document, offset=document.index('""') + 1)
    edit = filter_text(request, text, multi_line=False).edit
    assert edit is not None
    line = document[: edit.start] + edit.text + document[edit.end :]
    assert line.split("\n")[1].strip() == '"' + text
