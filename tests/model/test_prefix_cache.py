"""The ids that a cache holds: reused where prompts agree, forgotten when a call fails."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from model import prefix_cache as module
from model.prefix_cache import MAX_BEHIND, MAX_KEPT, WORTH_TOKENS, PrefixCache, name_after
from tests.scripted import SAMPLE, ScriptedRuntime, small_tokenizer

TOKENIZER = small_tokenizer()
prompts = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=6)


def never() -> bool:
    return False


def replace(transcript: PrefixCache, ids: Sequence[int]) -> int:
    logits, n_reused = transcript.replace(ids, chunk_tokens=4, should_stop=never)
    assert logits is not None
    return n_reused


class Recording(ScriptedRuntime):
    """Keeps what its cache should hold, as the runtime itself sees it."""

    @property
    def held(self) -> list[int]:
        return self._ids


def begin() -> tuple[Recording, PrefixCache]:
    runtime = Recording(TOKENIZER, SAMPLE)
    return runtime, PrefixCache(runtime)


some_ids = st.lists(st.integers(0, 1 << 20), max_size=6)


@given(some_ids, some_ids)
def test_names_are_the_same_for_the_same_ids_only(left: list[int], right: list[int]) -> None:
    names = [list(accumulate(ids, name_after, initial=b""))[-1] for ids in (left, right)]
    assert (names[0] == names[1]) == (left == right)


@pytest.mark.parametrize(("vocab_size", "n_rows"), [(10, 2), (1_000, 1)])
def test_known_scores_are_bounded_in_bytes(
    vocab_size: int, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN_BYTES", 2 * 4 * 10)
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    runtime.vocab_size = vocab_size
    assert PrefixCache(runtime)._known.size == n_rows


@given(prompts)
@settings(max_examples=60)
def test_cache_holds_exactly_the_last_prompt(given_prompts: list[list[int]]) -> None:
    runtime, transcript = begin()
    for ids in given_prompts:
        replace(transcript, ids)
        transcript._known.clear()
        transcript.tree([1], [-1])  # needs the whole cache
        assert runtime.held == ids
        assert transcript.length == len(ids)


def test_only_the_new_end_of_a_prompt_is_run() -> None:
    runtime, transcript = begin()
    assert replace(transcript, [1, 2, 3, 4, 5]) == 0
    assert replace(transcript, [1, 2, 3, 4, 5, 6, 7]) == 5
    assert runtime.n_appended == 7
    assert replace(transcript, [1, 2, 9]) == 2
    assert runtime.n_appended == 8


def test_same_prompt_again_runs_nothing() -> None:
    runtime, transcript = begin()
    replace(transcript, [1, 2, 3])
    assert replace(transcript, [1, 2, 3]) == 2
    assert runtime.n_appended == 3


def test_stopped_prefill_keeps_whole_chunks_for_later() -> None:
    _, transcript = begin()
    answers = iter([False, False, True])
    logits, _ = transcript.replace(
        range(100, 120), chunk_tokens=4, should_stop=lambda: next(answers)
    )
    assert logits is None
    assert transcript.length == 8
    assert replace(transcript, list(range(100, 120))) == 8


def test_failed_call_forgets_the_cache() -> None:
    class Failing(ScriptedRuntime):
        fails = False

        def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
            scores = super().append(ids, all_logits=all_logits)
            if self.fails:
                raise RuntimeError("half-way")
            return scores

    runtime = Failing(TOKENIZER, SAMPLE)
    transcript = PrefixCache(runtime)
    replace(transcript, [1, 2, 3])
    runtime.fails = True
    with pytest.raises(RuntimeError, match="half-way"):
        replace(transcript, [1, 2, 3, 4])
    runtime.fails = False
    assert (transcript.length, runtime.length) == (0, 0)
    assert replace(transcript, [1, 2, 3, 4]) == 0


LONG = WORTH_TOKENS + 12


def document(first: int) -> list[int]:
    return [first, *range(100, 100 + LONG)]


def test_going_back_to_a_document_finds_its_cache() -> None:
    runtime, transcript = begin()
    first, second = document(1), document(2)
    assert (replace(transcript, first), replace(transcript, second)) == (0, 0)
    assert replace(transcript, [*first, 7]) == len(first)
    assert runtime.held == [*first, 7]
    assert replace(transcript, second) == len(second) - 1
    assert replace(transcript, [*first, 7, 8]) == len(first) + 1


def test_undone_edit_before_the_end_finds_the_cache_of_before() -> None:
    transcript = PrefixCache(ScriptedRuntime(TOKENIZER, SAMPLE))
    before, edited = document(1), [1, 9, *range(100, 100 + LONG)]
    replace(transcript, before)
    assert replace(transcript, edited) == 1
    assert replace(transcript, before) == len(before) - 1


def test_few_tokens_are_not_worth_a_copy() -> None:
    _, transcript = begin()
    for first in (1, 2, 1, 2):
        assert replace(transcript, [first, *range(100, 100 + WORTH_TOKENS - 2)]) == 0
    assert transcript._kept == []


def test_only_the_latest_documents_are_kept() -> None:
    transcript = PrefixCache(ScriptedRuntime(TOKENIZER, SAMPLE))
    for first in range(MAX_KEPT + 2):
        replace(transcript, document(first))
    assert len(transcript._kept) == MAX_KEPT
    assert replace(transcript, document(0)) == 0
    assert replace(transcript, document(MAX_KEPT + 1)) == LONG


def test_copies_stay_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 3 * 4 * (LONG + 1))
    transcript = PrefixCache(ScriptedRuntime(TOKENIZER, SAMPLE))
    for first in range(9):
        replace(transcript, document(first))
        assert transcript._n_kept_bytes() <= module.MAX_KEPT_BYTES
    assert len(transcript._kept) == 3


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2 * LONG)), min_size=1, max_size=12))
@settings(max_examples=60)
def test_switching_documents_never_mixes_them(visits: list[tuple[int, int]]) -> None:
    runtime, transcript = begin()
    for first, length in visits:
        ids = [first, *range(100, 100 + length)]
        replace(transcript, ids)
        transcript._known.clear()
        transcript.tree([1], [-1])  # needs the whole cache
        assert runtime.held == ids


class Walk(RuleBasedStateMachine):
    """Any order of calls gives the scores of a runtime that runs everything from the start."""

    def __init__(self) -> None:
        super().__init__()
        self.runtime = Recording(TOKENIZER, SAMPLE)
        self.transcript = PrefixCache(self.runtime)
        self.ids: list[int] = []

    def expected(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return ScriptedRuntime(TOKENIZER, SAMPLE).append(ids)

    @rule(ids=st.lists(st.integers(97, 99), min_size=1, max_size=3))
    def append(self, ids: list[int]) -> None:
        if len(self.ids) + len(ids) > 400:
            return
        self.ids += ids
        assert np.array_equal(self.transcript.append(ids), self.expected(self.ids))

    @rule(share=st.floats(0, 1))
    def rewind(self, share: float) -> None:
        del self.ids[round(share * len(self.ids)) :]
        self.transcript.rewind(len(self.ids))

    @rule(ids=st.lists(st.integers(97, 99), min_size=1, max_size=5), is_chain=st.booleans())
    def tree(self, ids: list[int], *, is_chain: bool) -> None:
        parents = [place - 1 if is_chain else -1 for place in range(len(ids))]
        rows = self.transcript.tree(ids, parents)
        for place, row in enumerate(rows):
            branch = ids[: place + 1] if is_chain else [ids[place]]
            assert np.array_equal(row, self.expected([*self.ids, *branch]))

    @rule(
        n_kept=st.integers(0, 200),
        ids=st.lists(st.integers(97, 99), min_size=1, max_size=120),
        chunk_tokens=st.integers(1, 64),
    )
    def replace(self, n_kept: int, ids: list[int], chunk_tokens: int) -> None:
        self.ids = (self.ids[:n_kept] + ids)[-400:]
        row, _ = self.transcript.replace(self.ids, chunk_tokens=chunk_tokens, should_stop=never)
        assert row is not None
        assert np.array_equal(row, self.expected(self.ids))

    @rule()
    def forget_scores(self) -> None:
        self.transcript._known.clear()

    @invariant()
    def cache_is_at_most_so_far_behind(self) -> None:
        held = self.runtime.held
        assert held == self.ids[: len(held)]
        assert len(self.ids) - len(held) <= MAX_BEHIND
        assert self.transcript.length == len(self.ids)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=40, stateful_step_count=20)


def test_walking_again_along_what_was_written_runs_nothing() -> None:
    runtime, transcript = begin()
    replace(transcript, [1, 2, 3])
    written = [transcript.append([id_]) for id_ in (100, 101, 102)]
    assert replace(transcript, [1, 2, 3, 100]) == 3
    again = [transcript.append([id_]) for id_ in (101, 102)]
    assert all(np.array_equal(*pair) for pair in zip(written[1:], again, strict=True))
    assert (runtime.n_appended, transcript.n_foreseen) == (6, 3)


def test_tokens_on_a_scored_branch_are_run_only_when_it_is_left() -> None:
    runtime, transcript = begin()
    replace(transcript, [1, 2, 3])
    transcript.tree([100, 101, 102], [-1, 0, 0])
    transcript.append([100])
    transcript.append([102])
    assert (runtime.held, transcript.length) == ([1, 2, 3], 5)
    transcript.append([103])
    assert runtime.held == [1, 2, 3, 100, 102, 103]
    assert runtime.n_appended == 3 + 3 + 1  # what the tree left in the cache is put back


def test_of_a_tree_only_what_is_not_known_is_run() -> None:
    runtime, transcript = begin()
    replace(transcript, [1, 2, 3])
    for id_ in (100, 101, 102):
        transcript.append([id_])
    transcript.rewind(3)
    transcript.tree([100, 101, 110, 104], [-1, 0, 1, -1])
    assert runtime.n_appended == 6 + 4  # two ways: the nodes before 110 go along
    transcript.tree([100, 101, 110, 111], [-1, 0, 1, 2])
    assert runtime.n_appended == 10 + 1
    transcript.tree([104, 100, 105], [-1, -1, 0])  # 100 is known, and nothing behind it is wanted
    assert runtime.n_appended == 11 + 1
    assert runtime.held == [1, 2, 3]


def test_a_runtime_that_cannot_tell_states_runs_what_it_must() -> None:
    class Plain(Recording):
        def states(self) -> list[NDArray[np.float32]]:
            return []

    runtime = Plain(TOKENIZER, SAMPLE)
    transcript = PrefixCache(runtime)
    replace(transcript, [1, 2, 3])
    transcript.tree([100, 101], [-1, 0])
    transcript.append([100])
    transcript.append([102])
    assert (runtime.held, runtime.n_appended) == ([1, 2, 3, 100, 102], 3 + 2 + 2)


def test_tree_of_what_was_written_runs_nothing() -> None:
    runtime, transcript = begin()
    replace(transcript, [1, 2, 3])
    written = [transcript.append([id_]) for id_ in (100, 101)]
    transcript.rewind(3)
    n_calls = runtime.n_calls
    rows = transcript.tree([100, 101], [-1, 0])
    assert np.array_equal(rows, np.stack(written))
    assert runtime.n_calls == n_calls
    transcript.tree([100, 102], [-1, 0])
    assert runtime.n_calls > n_calls


def test_a_long_known_way_is_run_in_good_time() -> None:
    runtime, transcript = begin()
    way = [97 + place % 3 for place in range(MAX_BEHIND + 20)]
    for _ in range(2):
        transcript.append([1])
        for id_ in way:
            transcript.append([id_])
        transcript.rewind(0)
    transcript.append([1])
    for id_ in way[:MAX_BEHIND]:
        transcript.append([id_])
    assert len(runtime.held) > MAX_BEHIND


def test_what_cannot_be_kept_or_appended_is_refused() -> None:
    transcript = PrefixCache(ScriptedRuntime(TOKENIZER, SAMPLE))
    transcript.append([1, 2])
    for length in (-1, 3):
        with pytest.raises(ValueError, match="2 tokens are held"):
            transcript.rewind(length)
    with pytest.raises(ValueError, match="ids must not be empty"):
        transcript.append([])
    with pytest.raises(ValueError, match="must be in"):
        transcript.tree([1], [0])


def test_failed_call_forgets_scores_too() -> None:
    class Failing(ScriptedRuntime):
        def tree(self, ids: Sequence[int], parents: Sequence[int]) -> NDArray[np.float32]:
            raise RuntimeError("half-way")

    runtime = Failing(TOKENIZER, SAMPLE)
    transcript = PrefixCache(runtime)
    replace(transcript, [1, 2])
    with pytest.raises(RuntimeError, match="half-way"):
        transcript.tree([3], [-1])
    assert (transcript.length, runtime.length) == (0, 0)
    replace(transcript, [1, 2])
    assert transcript.n_foreseen == 0
