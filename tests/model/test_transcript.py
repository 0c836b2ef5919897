"""The ids that a cache holds: reused where prompts agree, forgotten when a call fails."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model import transcript as module
from model.transcript import MAX_KEPT, WORTH_TOKENS, Transcript
from tests.scripted import SAMPLE, ScriptedRuntime, small_tokenizer

TOKENIZER = small_tokenizer()
prompts = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=6)


def never() -> bool:
    return False


def replace(transcript: Transcript, ids: Sequence[int]) -> int:
    logits, n_reused = transcript.replace(ids, chunk_tokens=4, should_stop=never)
    assert logits is not None
    return n_reused


class Recording(ScriptedRuntime):
    """Keeps what its cache should hold, as the runtime itself sees it."""

    @property
    def held(self) -> list[int]:
        return self._ids


@given(prompts)
@settings(max_examples=60, deadline=None)
def test_cache_holds_exactly_the_last_prompt(given_prompts: list[list[int]]) -> None:
    runtime = Recording(TOKENIZER, SAMPLE)
    transcript = Transcript(runtime)
    for ids in given_prompts:
        replace(transcript, ids)
        assert runtime.held == ids
        assert transcript.length == len(ids)


def test_only_the_new_end_of_a_prompt_is_run() -> None:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    transcript = Transcript(runtime)
    assert replace(transcript, [1, 2, 3, 4, 5]) == 0
    assert replace(transcript, [1, 2, 3, 4, 5, 6, 7]) == 5
    assert runtime.n_appended == 7
    assert replace(transcript, [1, 2, 9]) == 2
    assert runtime.n_appended == 8


def test_last_token_of_the_same_prompt_is_run_again_for_its_scores() -> None:
    transcript = Transcript(ScriptedRuntime(TOKENIZER, SAMPLE))
    replace(transcript, [1, 2, 3])
    assert replace(transcript, [1, 2, 3]) == 2


def test_stopped_prefill_keeps_whole_chunks_for_later() -> None:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    transcript = Transcript(runtime)
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
    transcript = Transcript(runtime)
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
    runtime = Recording(TOKENIZER, SAMPLE)
    transcript = Transcript(runtime)
    first, second = document(1), document(2)
    assert (replace(transcript, first), replace(transcript, second)) == (0, 0)
    assert replace(transcript, [*first, 7]) == len(first)
    assert runtime.held == [*first, 7]
    assert replace(transcript, second) == len(second) - 1
    assert replace(transcript, [*first, 7, 8]) == len(first) + 1


def test_undone_edit_before_the_end_finds_the_cache_of_before() -> None:
    transcript = Transcript(ScriptedRuntime(TOKENIZER, SAMPLE))
    before, edited = document(1), [1, 9, *range(100, 100 + LONG)]
    replace(transcript, before)
    assert replace(transcript, edited) == 1
    assert replace(transcript, before) == len(before) - 1


def test_few_tokens_are_not_worth_a_copy() -> None:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    transcript = Transcript(runtime)
    for first in (1, 2, 1, 2):
        assert replace(transcript, [first, *range(100, 100 + WORTH_TOKENS - 2)]) == 0
    assert transcript._kept == []


def test_only_the_latest_documents_are_kept() -> None:
    transcript = Transcript(ScriptedRuntime(TOKENIZER, SAMPLE))
    for first in range(MAX_KEPT + 2):
        replace(transcript, document(first))
    assert len(transcript._kept) == MAX_KEPT
    assert replace(transcript, document(0)) == 0
    assert replace(transcript, document(MAX_KEPT + 1)) == LONG


def test_copies_stay_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 3 * 4 * (LONG + 1))
    transcript = Transcript(ScriptedRuntime(TOKENIZER, SAMPLE))
    for first in range(9):
        replace(transcript, document(first))
        assert transcript._n_kept_bytes() <= module.MAX_KEPT_BYTES
    assert len(transcript._kept) == 3


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2 * LONG)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_switching_documents_never_mixes_them(visits: list[tuple[int, int]]) -> None:
    runtime = Recording(TOKENIZER, SAMPLE)
    transcript = Transcript(runtime)
    for first, length in visits:
        ids = [first, *range(100, 100 + length)]
        replace(transcript, ids)
        assert runtime.held == ids
