"""Beginnings of ranked texts: where they end, what speaks for them, and which is worth most."""

import math

import numpy as np
import pytest

from assistant.rank.beginnings import GATE_FEATURES, Beginnings, find_beginnings, worth
from model.candidate_tree import Score

TEXTS = ("name.strip())", "name.split()", "other")
SHARES = np.array([0.5, 0.2, 0.1], np.float32)
NAMES = ("longest", "is_greedy")
COLUMNS = np.array([[3.0, 0.0], [2.0, 1.0], [1.0, 0.0]], np.float32)


def found(*scores: Score | None, line: str = "x = ") -> Beginnings:
    known = [*scores, *[None] * (len(TEXTS) - len(scores))]
    return find_beginnings(TEXTS, SHARES, COLUMNS, NAMES, known, line)


def row(beginnings: Beginnings, text: str) -> dict[str, float]:
    values = beginnings.rows[beginnings.texts.index(text)]
    return dict(zip(GATE_FEATURES, map(float, values), strict=True))


def test_beginnings_end_between_words_and_each_comes_once() -> None:
    assert found().texts == (
        "name", "name.", "name.strip", "name.strip(", "name.strip()", "name.strip())",
        "name.split", "name.split(", "name.split()", "other",
    )  # fmt: skip
    assert found().places == (0, 0, 0, 0, 0, 0, 1, 1, 1, 2)
    wholes = [
        text for text, is_whole in zip(found().texts, found().is_whole, strict=True) if is_whole
    ]
    assert tuple(wholes) == TEXTS


def test_white_space_is_no_end_of_its_own() -> None:
    spaced = find_beginnings(["a =  1 "], SHARES[:1], COLUMNS[:1], NAMES, [None], "")
    assert spaced.texts == ("a", "a =", "a =  1 ")


def test_all_that_begin_so_speak_for_a_beginning() -> None:
    shared, own = row(found(), "name."), row(found(), "name.strip")
    assert (shared["agreeing"], own["agreeing"]) == (pytest.approx(0.7), pytest.approx(0.5))
    assert (shared["rival"], own["rival"]) == (pytest.approx(0.1), pytest.approx(0.2))
    assert shared["none"] == pytest.approx(0.2, abs=1e-6)
    assert (shared["share"], shared["longest"]) == (0.5, 3.0)
    assert (shared["greedy_agrees"], own["greedy_agrees"]) == (1.0, 0.0)
    assert row(found(), "name.split()")["ends_here"] == pytest.approx(0.2)
    assert np.isfinite(found().rows).all()


def test_network_s_word_counts_as_far_as_the_beginning_goes() -> None:
    told = Score((-0.1, -2.0, -0.3), -1.0, ends=(4, 10, 13))  # name | .strip | ())
    judged = found(told)
    for text, total, least in (
        ("name", -0.1, -0.1),
        ("name.", -2.1, -2.0),
        ("name.strip(", -2.4, -2.0),
    ):
        its = row(judged, text)
        assert (its["network"], its["network_least"]) == (
            pytest.approx(total),
            pytest.approx(least),
        )
        assert its["network_knows"] == 1.0
    assert row(judged, "other")["network_knows"] == 0.0
    other_way = Score((-0.5, -0.5), -1.0, ends=(5, 12))
    assert row(found(told, other_way), "name.")["network"] == pytest.approx(-0.5)


def test_what_stands_before_the_cursor_tells_a_string() -> None:
    assert row(found(line='say("it '), "name")["in_quote"] == 1.0
    assert row(found(), "name")["in_quote"] == 0.0


def test_longer_is_worth_more_but_not_in_proportion() -> None:
    judged = find_beginnings(["aaaa.bbbbbbbbbbb"], SHARES[:1], COLUMNS[:1], NAMES, [None], "")
    assert judged.texts == ("aaaa", "aaaa.", "aaaa.bbbbbbbbbbb")
    sure = worth(np.array([0.9, 0.8, 0.7], np.float32), judged)
    assert sure.argmax() == 2
    open_behind = worth(np.array([0.9, 0.9, 0.2], np.float32), judged)
    assert open_behind.argmax() == 1
    assert open_behind[0] == pytest.approx(0.9**1.5 * math.sqrt(4))


def test_whole_line_goes_before_a_beginning_hardly_surer() -> None:
    judged = find_beginnings(["name.split(x)"], SHARES[:1], COLUMNS[:1], NAMES, [None], "")
    beliefs = np.array([0.6, 0.6, 0.6, 0.6, 0.6, 0.5], np.float32)
    assert worth(beliefs, judged).argmax() == 5


def test_what_is_short_and_doubtful_is_not_worth_a_look() -> None:
    judged = find_beginnings(["a.b"], SHARES[:1], COLUMNS[:1], NAMES, [None], "")
    assert not worth(np.array([1.0, 0.3, 0.3], np.float32), judged).any()


def test_nothing_proposed_has_no_beginning() -> None:
    empty = find_beginnings([], SHARES[:0], COLUMNS[:0], NAMES, [], "")
    assert empty.texts == ()
    assert worth(np.zeros(0, np.float32), empty).shape == (0,)
