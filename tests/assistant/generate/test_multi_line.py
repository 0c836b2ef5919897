"""Of a block the lines are shown that are sure together."""

import math
import time
from collections.abc import Iterator, Sequence

import pytest

from assistant.generate.backend import Draft
from assistant.generate.lines import _SureLines
from assistant.generate.prompt import GenerationJob, Prompt
from assistant.request import Cancel
from model.decode import Token

END_ID = 0


class Tokens:
    """Says so many texts, each with a log-probability, and counts them."""

    def __init__(self, said: Sequence[tuple[str, float]]) -> None:
        self._said = said
        self.n_pulled = 0

    def __iter__(self) -> Iterator[Token]:
        for text, logprob in self._said:
            self.n_pulled += 1
            yield Token(id=1, text=text.encode(), logprob=logprob)


def pulled(*said: tuple[str, float], least: float) -> tuple[str, float, int]:
    """Return what is sure of the text, its probability, and how many tokens were pulled."""
    tokens = Tokens(said)
    job = GenerationJob(
        prompt=Prompt(ids=[1], tail=b""),
        n=1,
        max_new_tokens=20,
        deadline=time.monotonic() + 60,
        cancel=Cancel(),
    )
    lines = _SureLines(Draft(iter(tokens), job, END_ID), least)
    return *lines.cut("".join(lines.pieces)), tokens.n_pulled


def test_the_lines_before_the_first_unsure_one_are_kept() -> None:
    said = ("\n    ", -0.1), ("x = 1", -0.2), ("\n", -0.3), ("    y", -0.2), ("\n", -0.1)
    text, probability, _ = pulled(*said, ("    z", -5.0), ("\n", -0.1), least=0.3)
    assert text == "\n    x = 1\n    y"
    assert probability == pytest.approx(math.exp(-0.9))
    text, probability, n_pulled = pulled(*said, least=0.45)
    assert (text, n_pulled) == ("\n    x = 1", 4)
    assert probability == pytest.approx(math.exp(-0.6))


def test_block_is_given_up_with_its_first_line() -> None:
    text, probability, n_pulled = pulled(
        ("\n    ", -0.1), ("x", -2.0), (" = 1", -0.1), ("\n", -0.1), least=0.3
    )
    assert (text, n_pulled) == ("\n    ", 2)
    assert probability == 0.0


def test_whoever_wants_all_gets_the_unlikeliest() -> None:
    text, probability, _ = pulled(("x", -90.0), least=0.0)
    assert text == "x"
    assert 0 < probability < 1e-12


def test_line_that_ends_with_the_text_counts_whole() -> None:
    _, probability, _ = pulled(("x", -0.5), (" = 1", -0.5), least=0.1)
    assert probability == pytest.approx(math.exp(-1.0))
