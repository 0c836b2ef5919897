"""The ids that a cache holds: reused where prompts agree, forgotten when a call fails."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.transcript import Transcript
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
