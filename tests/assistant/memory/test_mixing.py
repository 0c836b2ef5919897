"""The mixture: a distribution over the whole vocabulary, whatever the counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.memory.matches import Level, Occurrence
from assistant.memory.mixing import NextTokens, doubt, mixed, next_tokens
from tests.scripted import small_tokenizer

N_TOKENS = 50
COUNTS = st.dictionaries(st.integers(0, N_TOKENS - 1), st.integers(1, 10**12), max_size=8)
LEVELS = st.lists(
    st.builds(
        lambda length, counts: NextTokens(length=length, counts=counts),
        st.integers(0, 10_000),
        COUNTS,
    ),
    max_size=8,
)


@st.composite
def networks(draw: st.DrawFn) -> np.ndarray:
    scores = np.array(draw(st.lists(st.floats(-700, 700), min_size=N_TOKENS, max_size=N_TOKENS)))
    weights = np.exp(scores - scores.max())
    result: np.ndarray = weights / weights.sum()
    return result


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(networks(), LEVELS)
def test_mixture_sums_to_one_over_the_vocabulary(
    network: np.ndarray, levels: list[NextTokens]
) -> None:
    before = network.copy()
    result = mixed(network, levels)
    assert result.sum() == pytest.approx(1.0, abs=1e-9)
    assert (result >= 0).all()
    assert (network == before).all()


@settings(max_examples=50, deadline=None)
@given(networks(), LEVELS, st.randoms())
def test_order_of_the_levels_does_not_matter(
    network: np.ndarray, levels: list[NextTokens], dice: object
) -> None:
    unique = list({level.length: level for level in levels}.values())
    shuffled = unique.copy()
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert mixed(network, unique) == pytest.approx(mixed(network, shuffled))


def test_one_level_is_the_formula() -> None:
    network = np.array([0.5, 0.3, 0.2])
    level = NextTokens(length=20, counts={1: 3, 2: 1})
    weight = doubt(20)
    expected = (np.array([0, 3, 1]) + weight * network) / (4 + weight)
    assert mixed(network, [level]) == pytest.approx(expected)


def test_longer_agreement_weighs_more() -> None:
    network = np.array([0.9, 0.1])
    short, long = (mixed(network, [NextTokens(length=n, counts={1: 1})])[1] for n in (5, 100))
    assert long > short
    assert mixed(network, []) == pytest.approx(network)
    assert mixed(network, [NextTokens(length=9, counts={})]) == pytest.approx(network)


def test_next_tokens_are_counted_by_place_and_begin_with_the_tail() -> None:
    tokenizer = small_tokenizer()
    places = tuple(
        Occurrence(6, following, "a.py", "repo")
        for following in (b"lf.count\n", b"lf.names\n", b"t x\n", b"")
    )
    found = next_tokens(Level(6, 4, places), tokenizer, b"se")
    assert sum(found.counts.values()) == 3  # the last place is at the end of its file
    for id_ in found.counts:
        piece = tokenizer.token_bytes(id_)
        assert piece.startswith(b"se") or b"se".startswith(piece)
    first = tokenizer.encode_bytes(b"self.count\n")[0]
    assert found.counts[first] == 2
