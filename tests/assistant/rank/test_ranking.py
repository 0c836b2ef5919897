"""Rankings: by the memory alone, by both, and without fitted parameters."""

import numpy as np
import pytest

from assistant.rank.candidates import Cursor, Proposal, propose
from assistant.rank.features import INDEX_FEATURES, NETWORK_FEATURES, CandidateFeatures, head_of
from assistant.rank.ranking import rank_by_index, rank_with_network, shortlist
from model.candidate_tree import Score, Scored
from tests.fitted import parameters

TEXT = """\
def first(path):
    value = load(path)
    return value.strip()


def second(path):
    value = load(other)
    return value.split()


def third(path):
    value = lo"""


def proposal(text: str = TEXT) -> Proposal:
    return propose(Cursor.of("pkg/here.py", text, len(text)), None)


def scored(*totals: float | None) -> Scored:
    """Return scores whose single token has these log-probabilities; None did not fit."""
    scores = tuple(None if total is None else Score((total,), 0.0) for total in totals)
    return Scored(scores, ending_now=-9.0)


def test_ranker_orders_what_the_memory_proposes() -> None:
    longest = rank_by_index(shortlist(proposal(), parameters()))
    shortest = rank_by_index(shortlist(proposal(), parameters(ranker={"longest": -1.0})))
    assert set(longest.texts) == {"ad(path)", "ad(other)"}
    assert longest.texts == tuple(reversed(shortest.texts)) or len(set(longest.shares)) == 1
    assert list(longest.shares) == sorted(longest.shares, reverse=True)
    assert {longest.source(place) for place in range(2)} == {"index"}


def test_first_text_is_as_sure_judged_alone_as_among_all() -> None:
    ranking = rank_by_index(shortlist(proposal(), parameters(gate={"rival": -0.5})))
    assert ranking.surest() == ranking.probability(ranking.texts[0]) > 0


def test_sure_part_goes_before_a_line_that_is_worth_more_and_not_sure() -> None:
    ranking = rank_by_index(shortlist(proposal(), parameters(gate={"length": -0.5})))
    texts = [text for text, _ in ranking.by_worth(0.0)]
    surest = max(map(ranking.probability, texts))
    assert ranking.probability(texts[0]) < surest
    first, *rest = [text for text, _ in ranking.by_worth(surest)]
    assert ranking.probability(first) == surest
    assert rest[0] == texts[0]
    assert sorted([first, *rest]) == sorted(texts)


def test_network_s_word_can_turn_the_order() -> None:
    chosen = shortlist(proposal(), parameters())
    fitted = parameters(ranker={"total": 1.0})
    for favourite in range(2):
        known = scored(*(-0.1 if place == favourite else -4.0 for place in range(2)))
        ranking = rank_with_network(chosen, known, "", fitted)
        assert ranking.texts[0] == chosen.texts[favourite]
        assert ranking.named(0)["total"] == pytest.approx(-0.1)


def test_own_line_joins_the_proposals_and_is_named_as_such() -> None:
    chosen = shortlist(proposal(), parameters()).plus(["ad(third)", "ad(path)", ""])
    assert chosen.texts[2:] == ("ad(third)",)
    ranking = rank_with_network(
        chosen, scored(-3, -3, -0.5), "ad(third)", parameters(ranker={"is_greedy": 2.0})
    )
    assert (ranking.texts[0], ranking.source(0)) == ("ad(third)", "network")
    assert ranking.named(0)["in_own"] == 0.0


def test_text_that_the_network_did_not_look_at_is_marked() -> None:
    chosen = shortlist(proposal(), parameters())
    ranking = rank_with_network(chosen, scored(-1.0, None), "", parameters())
    marks = {ranking.named(place)["scored"] for place in range(2)}
    assert marks == {0.0, 1.0}


def test_without_parameters_long_matches_go_before_a_doubtful_own_line() -> None:
    short = propose(Cursor.of("a.py", "abcde = 1\nx\nabcd", 16), None)
    chosen = shortlist(short, None).plus(["own"])
    assert rank_with_network(chosen, scored(-9, -0.05), "own", None).texts[0] == "own"
    long = proposal()
    chosen = shortlist(long, None).plus(["own"])
    assert rank_with_network(chosen, scored(-9, -9, -3.0), "own", None).texts[0] != "own"
    assert rank_with_network(chosen, scored(-9, -9, -0.1), "own", None).texts[0] == "own"
    alone = rank_by_index(shortlist(long, None))
    assert alone.probability(alone.texts[0]) > 0


def test_nothing_proposed_is_an_empty_ranking() -> None:
    nothing = propose(Cursor.of("a.py", "", 0), None)
    ranking = rank_by_index(shortlist(nothing, parameters()))
    assert ranking.texts == ()
    assert ranking.summarize() == []
    own = rank_with_network(
        shortlist(nothing, parameters()).plus(["x = 1"]), scored(-1.0), "x = 1", parameters()
    )
    assert own.texts == ("x = 1",)


def test_summary_names_every_column() -> None:
    chosen = shortlist(proposal(), parameters())
    first, *_ = rank_with_network(chosen, scored(-1, -2), "", parameters()).summarize()
    assert first["columns"].keys() == set(INDEX_FEATURES + NETWORK_FEATURES)
    assert 0 <= first["probability"] <= 1


@pytest.mark.parametrize(
    "text", ["", "x", "\n\n", "é = 'ü'\né", "    ", "if (a[", 'x = """doc\nmore', "a" * 5_000]
)
def test_columns_are_finite_whatever_the_text(text: str) -> None:
    view = CandidateFeatures(proposal(text + "\n" + TEXT + text))
    assert np.isfinite(view.rows(view.proposal.candidates)).all()


def test_columns_say_how_a_text_would_sit_at_the_cursor() -> None:
    text = "class A:\n    def go(self):\n        call(x)\n\n    def stop(self):\n        ca"
    whole = propose(Cursor.of("a.py", text + "\n            deeper()", len(text)), None)
    view = CandidateFeatures(whole)
    row = dict(zip(INDEX_FEATURES, view.rows(whole.candidates)[0], strict=True))
    assert whole.candidates[0].text == "ll(x)"
    assert (row["balance"], row["ends_closer"], row["deeper_below"]) == (0.0, 1.0, 1.0)
    assert row["mid_token"] == 1.0
    assert row["covers_line"] == 1.0
    assert row["known_words"] == 1.0


@pytest.mark.parametrize(
    ("text", "head"), [("lf.name", "lf"), (" == 1", " =="[:2]), ("", ""), ("(a", "(")]
)
def test_candidates_part_at_their_first_word(text: str, head: str) -> None:
    assert head_of(text) == head
