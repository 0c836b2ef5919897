"""Token healing: what is taken back, what may re-spell it, and that the bytes always agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decode import Utf8Stream, choices
from model.healing import MAX_TAIL_BYTES, MAX_TAIL_TOKENS, TokenTable, after, split
from model.tokenizer import PATTERNS
from tests.scripted import SAMPLE, small_tokenizer

TOKENIZER = small_tokenizer()
TABLE = TokenTable(TOKENIZER)

code = st.text(
    alphabet=st.sampled_from([*"abself_ .,:()[]{}'\"=0127\n\t #é日🙂", "\r", "\ud800", "\x0c"]),
    max_size=60,
)


def ordinary_ids(predicate: object) -> set[int]:
    return {
        id_
        for id_ in range(TOKENIZER.vocab_size)
        if TOKENIZER.token_bytes(id_) and predicate(TOKENIZER.token_bytes(id_))  # type: ignore[operator]
    }


@given(code)
@settings(max_examples=150, deadline=None)
def test_split_loses_no_byte(text: str) -> None:
    stable, tail = split(TOKENIZER, text)
    joined = stable.encode("utf-8", "surrogatepass") + tail
    assert joined == text.encode("utf-8", "surrogatepass")
    assert bool(tail) == bool(text)


@pytest.mark.parametrize(
    ("prefix", "stable", "tail"),
    [
        ("", "", b""),
        ("return self.na", "return self.", b"na"),
        ("return self.", "return self", b"."),
        ("return ", "return", b" "),
        ("if x:\n    ", "if x:", b"\n    "),
        ("x = 1\n\n    ", "x = 1", b"\n\n    "),
        ("    ", "", b"    "),
        ("größ", "", "größ".encode()),
        ("x\n\n0", "x", b"\n\n0"),  # "\n" and "\n" before a digit, but one token at the end
    ],
)
def test_split_takes_the_last_pretoken_back(prefix: str, stable: str, tail: bytes) -> None:
    assert split(TOKENIZER, prefix) == (stable, tail)


@pytest.mark.parametrize("pattern_name", PATTERNS)
@given(prefix=code, typed=code)
@settings(max_examples=150, deadline=None)
def test_typing_on_never_changes_the_stable_tokens(
    pattern_name: str, prefix: str, typed: str
) -> None:
    tokenizer = small_tokenizer(pattern_name)
    # Lone surrogates and breaks within a run of carriage returns are outside the promise.
    prefix, typed = (text.replace("\ud800", "").replace("\r", "") for text in (prefix, typed))
    stable, _ = split(tokenizer, prefix)
    kept = tokenizer.encode(stable)
    assert tokenizer.encode(prefix + typed)[: len(kept)] == kept


def test_long_tail_is_cut_to_the_limits() -> None:
    stable, tail = split(TOKENIZER, "q" * 500)
    assert stable + tail.decode() == "q" * 500
    assert 0 < len(tail) <= MAX_TAIL_BYTES
    assert len(TOKENIZER.encode(tail.decode())) <= MAX_TAIL_TOKENS


def test_deep_indentation_is_taken_back_whole() -> None:
    assert split(TOKENIZER, "x\n" + " " * 24) == ("x", b"\n" + b" " * 24)


@given(st.binary(min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_tokens_beginning_with_bytes_equal_a_full_scan(head: bytes) -> None:
    found = TABLE.beginning_with(head).tolist()
    assert sorted(found) == sorted(ordinary_ids(lambda data: data.startswith(head)))


@given(st.sampled_from(["self.names", " return", "\n        ", "日本", "x"]), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_allowed_tokens_equal_a_full_scan(text: str, n_bytes: int) -> None:
    rest = text.encode()[:n_bytes]
    expected = ordinary_ids(lambda data: data.startswith(rest) or rest.startswith(data))
    found = TABLE.allowed(rest).tolist()
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_highest_byte_has_no_successor() -> None:
    assert TABLE.beginning_with(b"\xff").tolist() == [0xFF]
    assert TABLE.beginning_with(b"\xff\xff").tolist() == []


def test_special_tokens_are_never_allowed_while_healing() -> None:
    for rest in (b"<", b"<|end|>", b"<|fim_middle|>"):
        assert not any(TOKENIZER.is_special(int(id_)) for id_ in TABLE.allowed(rest))


def test_only_the_end_is_allowed_among_special_tokens() -> None:
    allowed = set(range(TABLE.n_scored)) - set(TABLE.forbidden.tolist())
    special = {id_ for id_ in range(TOKENIZER.vocab_size) if TOKENIZER.is_special(id_)}
    assert allowed & special == {TOKENIZER.end_id}
    assert len(allowed | special) == TOKENIZER.vocab_size


@given(
    tail=st.one_of(code, st.sampled_from([SAMPLE[:40], "日本語", "🙂🙂", "\n" + " " * 20])),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_generated_bytes_always_begin_with_the_tail(tail: str, seed: int) -> None:
    required = tail.encode("utf-8", "surrogatepass")
    rng = np.random.default_rng(seed)
    spelled, shown, rest = b"", b"", required
    for _ in range(len(required) + 5):
        logits = rng.normal(size=TOKENIZER.vocab_size).astype(np.float32)
        token = choices(logits, TABLE, rest, 1)[0]
        spelled += TOKENIZER.token_bytes(token.id)
        rest, fresh = after(rest, TOKENIZER.token_bytes(token.id))
        assert fresh == token.text
        shown += token.text
    assert spelled == required + shown


@given(st.text(max_size=30), st.lists(st.integers(1, 5), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_text_pieces_end_at_character_borders(text: str, sizes: list[int]) -> None:
    data = text.encode("utf-8", "ignore")
    stream, pieces, at = Utf8Stream(), [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream.feed(data[at : at + size]))
        at += size
    assert "".join(pieces) == data.decode()
    assert not stream.broken


@pytest.mark.parametrize("cut", range(1, 4))
def test_text_stops_before_bytes_that_are_no_text(cut: int) -> None:
    data = b"ab\xe6\x97\xffcd"
    stream = Utf8Stream()
    text = stream.feed(data[:cut]) + stream.feed(data[cut:]) + stream.feed(b"more")
    assert (text, stream.broken) == ("ab", True)
