"""Greedy decoding: what is chosen, when it stops, and what it refuses."""

import numpy as np
import pytest

from model.decode import DecodeError, Token, choices, decode, heal
from model.healing import TokenTable
from model.prefix_cache import PrefixCache
from tests.scripted import SAMPLE, ScriptedRuntime, small_tokenizer

TOKENIZER = small_tokenizer()
TABLE = TokenTable(TOKENIZER)


def never() -> bool:
    return False


def decoded(prompt: str, tail: bytes = b"", max_new_tokens: int = 200) -> list[Token]:
    steps = PrefixCache(ScriptedRuntime(TOKENIZER, SAMPLE))
    healed = heal(steps, steps.append(TOKENIZER.encode(prompt)), TABLE, tail, never)
    assert healed is not None
    first = choices(healed.logits, TABLE, healed.rest, 1)[0]
    tokens = decode(steps, TABLE, first, max_new_tokens=max_new_tokens, should_stop=never)
    return list(tokens)


def test_decodes_the_likeliest_text_up_to_the_end() -> None:
    cut = SAMPLE.index("handle]")
    tokens = decoded(SAMPLE[:cut])
    assert b"".join(token.text for token in tokens) == SAMPLE[cut:].encode()
    assert tokens[-1] == Token(id=TOKENIZER.end_id, text=b"", logprob=tokens[-1].logprob)


def test_required_bytes_are_swallowed() -> None:
    cut = SAMPLE.index("self.names = ")
    tokens = decoded(SAMPLE[:cut], tail=b"self.na", max_new_tokens=4)
    shown = b"".join(token.text for token in tokens)
    assert (b"self.na" + shown) == SAMPLE[cut:].encode()[: len(shown) + 7]
    assert shown.startswith(b"mes")


def test_stops_after_the_longest_length() -> None:
    assert len(decoded(SAMPLE[:20], max_new_tokens=5)) == 5
    assert len(decoded(SAMPLE[:20], max_new_tokens=1)) == 1


def test_a_token_that_nobody_pulls_is_not_computed() -> None:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    first = choices(runtime.append(TOKENIZER.encode(SAMPLE[:20])), TABLE, b"", 1)[0]
    tokens = decode(runtime, TABLE, first, max_new_tokens=50, should_stop=never)
    next(tokens)
    assert runtime.n_calls == 1
    next(tokens)
    assert runtime.n_calls == 2


def test_stops_within_one_token_when_told() -> None:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    stopped = False
    first = choices(runtime.append(TOKENIZER.encode(SAMPLE[:20])), TABLE, b"", 1)[0]
    tokens = decode(runtime, TABLE, first, max_new_tokens=50, should_stop=lambda: stopped)
    next(tokens)
    next(tokens)
    stopped = True
    assert list(tokens) == []
    assert runtime.n_calls == 2


def test_healing_stops_when_told() -> None:
    runtime = ScriptedRuntime(TOKENIZER, SAMPLE)
    logits = runtime.append(TOKENIZER.encode(SAMPLE[:4]))
    assert heal(runtime, logits, TABLE, b"read", lambda: True) is None
    assert runtime.n_calls == 1


def test_special_tokens_are_never_chosen() -> None:
    logits = np.zeros(TOKENIZER.vocab_size, dtype=np.float32)
    middle = TOKENIZER.special_id("<|fim_middle|>")
    logits[middle] = 99.0
    logits[TOKENIZER.end_id] = 5.0
    assert choices(logits, TABLE, b"", 1)[0].id == TOKENIZER.end_id
    assert middle not in [token.id for token in choices(logits, TABLE, b"", 400)]


def test_scores_beyond_the_vocabulary_are_padding() -> None:
    logits = np.zeros(TOKENIZER.vocab_size + 8, dtype=np.float32)
    logits[-3] = 99.0
    logits[65] = 1.0
    assert choices(logits, TABLE, b"", 1)[0].id == 65


def test_choices_are_ranked_and_normalised() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=TOKENIZER.vocab_size).astype(np.float32) * 4
    ranked = choices(logits, TABLE, b"s", len(TABLE.beginning_with(b"s")))
    assert [token.logprob for token in ranked] == sorted(
        (token.logprob for token in ranked), reverse=True
    )
    assert sum(np.exp(token.logprob) for token in ranked) == pytest.approx(1.0, abs=1e-5)
    assert choices(logits, TABLE, b"s", 1) == ranked[:1]


def test_scores_that_are_not_numbers_are_refused() -> None:
    logits = np.full(TOKENIZER.vocab_size, np.nan, dtype=np.float32)
    with pytest.raises(DecodeError, match="best score is nan"):
        choices(logits, TABLE, b"", 1)
