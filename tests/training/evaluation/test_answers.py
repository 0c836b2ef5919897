"""An answer is judged by what its author could do with it."""

import pytest

from training.evaluation.answers import Answer, is_right, judge


@pytest.mark.parametrize(
    ("text", "truth", "expected"),
    [
        ("foo()", "foo()", True),
        ("fo", "foo()", True),
        ("f", "foo()", False),  # one character saves no key
        (")", ")", True),  # but it may be all there is
        ("foo() ", "foo()", False),
        ("fob", "foo()", False),
        ("", "foo()", False),
        ("foo", "", False),  # the end of a line: nothing is right
    ],
)
def test_right_is_a_beginning_worth_taking(text: str, truth: str, expected: bool) -> None:
    assert is_right(text, truth) is expected


def test_judged_answer_has_all_measures() -> None:
    judged = judge(Answer(text="kit", probability=0.5, ms=1.0, cpu_ms=1.0), "kitten")
    assert (judged.is_exact, judged.is_right, judged.is_offered) == (False, True, True)
    nothing = judge(Answer(text="", probability=0.0, ms=1.0, cpu_ms=1.0), "kitten")
    assert (nothing.is_right, nothing.is_offered) == (False, False)
