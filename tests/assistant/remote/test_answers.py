"""What a server's text is worth: at its cursor, and to later keystrokes."""

import pytest

from assistant.generate.cache import Spot
from assistant.remote.inflight import (
    Beliefs,
    RemoteText,
    cut_first_line,
    is_echo,
    sum_beliefs,
)
from assistant.request import CompletionRequest


def request(text: str, offset: int | None = None, path: str = "a.py") -> CompletionRequest:
    return CompletionRequest(path=path, text=text, offset=len(text) if offset is None else offset)


@pytest.mark.parametrize(
    ("asked", "now", "typed"),
    [
        (request("ab"), request("ab"), ""),
        (request("ab"), request("abcd"), "cd"),
        (request("ab)", 2), request("abc)", 3), "c"),
        (request("ab"), request("a"), None),
        (request("ab"), request("axcd"), None),
        (request("ab)", 2), request("abc]", 3), None),
        (request("ab"), request("ab", path="b.py"), None),
        (request("f"), request("f()", 2), "("),  # closed by the editor
    ],
)
def test_what_was_typed_is_found(
    asked: CompletionRequest, now: CompletionRequest, typed: str | None
) -> None:
    assert Spot.of(asked).typed_since(now) == typed


AT = "total = 0\nresult = |\nreturn result\n"


def told(text: str, *marks: tuple[int, float]) -> RemoteText:
    return RemoteText(
        text=text, finish_reason="stop", single_line=True, marks=marks,
    )  # fmt: skip


def at(text: str = AT) -> CompletionRequest:
    return CompletionRequest(path="a.py", text=text.replace("|", ""), offset=text.index("|"))


def worth(text: str, *marks: tuple[int, float], beliefs: Beliefs = ()) -> float:
    return told(text, *marks).weigh(text, at(), beliefs)


def test_a_sure_server_is_worth_more_than_an_unsure_one() -> None:
    sure, unsure = worth("a + b", (5, -0.05)), worth("a + b", (5, -4.0))
    assert 0 < unsure < 0.1 < 0.5 < sure < 1


def test_without_a_word_of_the_server_short_texts_are_worth_more() -> None:
    assert worth("a + b") > worth("a + b * (total - rest) / count(values)")


def test_a_server_that_says_nothing_is_trusted_as_the_user_does() -> None:
    text = "name, values"
    for trust in (0.2, 0.5, 0.8):
        found = told(text)._replace(trust=trust)
        assert found.weigh(text, at(), ()) == pytest.approx(trust)
    said = told(text, (12, -0.2))
    assert said._replace(trust=0.2).weigh(text, at(), ()) == said.weigh(text, at(), ())


def test_local_proposals_raise_what_they_begin_alike_and_lower_the_rest() -> None:
    alone = worth("name)", (5, -1.0))
    assert worth("name)", (5, -1.0), beliefs=[("name)", 0.6)]) > alone
    assert worth("name)", (5, -1.0), beliefs=[("value)", 0.6)]) < alone
    assert worth("name)", beliefs=[("name", 0.6)]) > worth("name)", beliefs=[("value", 0.6)])


def test_only_what_is_shown_counts() -> None:
    found = told("a + b, and more", (5, -0.1), (15, -6.0))
    assert found.weigh("a + b", at(), ()) > found.weigh(found.text, at(), ())


def test_of_a_block_the_first_line_counts() -> None:
    found = told("\n    a = 1\n    b = 2", (10, -0.1), (20, -9.0))
    assert found.weigh(found.text, at(), ()) > 0.5
    assert cut_first_line(found.text) == "\n    a = 1"
    assert cut_first_line("x") == "x"


def test_nothing_is_worth_nothing() -> None:
    assert worth("", (1, 0.0)) == 0.0
    assert worth("  \n ", (1, 0.0)) == 0.0


@pytest.mark.parametrize("logprob", [-1e300, 0.0])
def test_an_extreme_word_stays_a_probability(logprob: float) -> None:
    assert 0 <= worth("abc", (3, logprob), beliefs=[("abc", 1.0)]) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return result", True),  # the next line again
        ("result = total + 1", True),  # the cursor's own line again
        ("total + 1", False),
        ("re", False),
    ],
)
def test_saying_what_stands_there_already_is_an_echo(text: str, expected: bool) -> None:
    assert is_echo(text, at()) is expected
    assert (worth(text, (len(text), -0.1)) < 0.5) is expected
    assert not is_echo(text, at("|"))


def test_shares_part_those_that_agree_from_all_others() -> None:
    beliefs = [("ab", 0.3), ("abc", 0.2), ("x", 0.1), ("", 0.2)]
    assert sum_beliefs("abc", beliefs) == pytest.approx((0.5, 0.3))
    assert sum_beliefs("abc", ()) == (0.0, 0.0)


def test_what_was_typed_meanwhile_is_no_longer_in_doubt() -> None:
    found = told("name, value", (4, -2.0), (6, -2.1), (11, -2.5))
    rest = found.after(4)
    assert rest.text == ", value"
    assert rest.logprob(2) == pytest.approx(-0.1)
    assert rest.logprob(99) == pytest.approx(-0.5)
    assert found.after(5).logprob(1) == pytest.approx(-0.1)  # a token typed half still counts
    assert told("x").after(0).logprob(1) is None
