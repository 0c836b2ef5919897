"""What most often follows the longest match; nothing is read that must not be."""

import random

import pytest

from training.evaluation.replay.systems import LongestMatch

FILES = [
    ("a.py", "total = first + second\ntotal = first + second\ntotal = first - second\n"),
    ("b.py", "value = measure(first)\nreturn value\n"),
]


def test_most_frequent_rest_of_line_wins() -> None:
    assert LongestMatch(FILES).rest_of_line("x total = fi", "", path="c.py") == ("rst + second", 10)


def test_longest_match_outweighs_a_frequent_shorter_one() -> None:
    match = LongestMatch([*FILES, ("d.py", "my total = fine\n")])
    assert match.rest_of_line("my total = fi", "", path="c.py")[0] == "ne"


def test_document_itself_counts_but_not_its_copy_in_the_index() -> None:
    match = LongestMatch(FILES)
    assert match.rest_of_line("value = mea", "", path="c.py") == ("sure(first)", 11)
    assert match.rest_of_line("value = mea", "", path="b.py")[1] < 3
    assert match.rest_of_line("x = val", "\nx = value\n", path="b.py") == ("ue", 7)


def test_cursor_is_no_place_of_its_own() -> None:
    assert LongestMatch([]).rest_of_line("unheard_of", "", path="c.py") == ("", 0)
    assert LongestMatch([]).rest_of_line("", "", path="c.py") == ("", 0)


def test_end_of_a_line_is_no_answer() -> None:
    match = LongestMatch([("a.py", "pass\nfor x in mass:")])
    assert match.rest_of_line("pass", "", path="c.py") == (":", 3)


def test_other_alphabets_come_back_whole() -> None:
    match = LongestMatch([("a.py", "größe = länge\n")])
    assert match.rest_of_line("größe = l", "", path="c.py") == ("änge", 11)


@pytest.mark.parametrize("seed", range(20))
def test_same_as_looking_at_every_place(seed: int) -> None:
    dice = random.Random(seed)
    files = [(f"{i}.py", "".join(dice.choices("ab\n", k=80))) for i in range(3)]
    before = "".join(dice.choices("ab\n", k=12))
    answer, length = LongestMatch(files).rest_of_line(before, "", path="1.py")
    texts = [text + "\n" for path, text in files if path != "1.py"] + [before[:-1]]

    def rests(n: int) -> list[str]:
        ends = [(t, p + n) for t in texts for p in range(len(t)) if t.startswith(before[-n:], p)]
        return [rest for t, end in ends if (rest := t[end:].partition("\n")[0])]

    longest = max((n for n in range(1, len(before) + 1) if rests(n)), default=0)
    assert length == longest
    if longest:
        found = rests(longest)
        assert found.count(answer) == max(found.count(rest) for rest in found)
