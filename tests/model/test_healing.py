"""Token healing: what is taken back, what may re-spell it, and that the bytes always agree."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decode import Logits, Utf8Stream, choices, heal, log_sum
from model.healing import MAX_TAIL_BYTES, MAX_TAIL_TOKENS, TokenTable, split
from model.tokenizer import PATTERNS
from tests.scripted import SAMPLE, small_tokenizer

TOKENIZER = small_tokenizer()
TABLE = TokenTable(TOKENIZER)

code = st.text(
    alphabet=st.sampled_from([*"abself_ .,:()[]{}'\"=0127\n\t #é日🙂", "\r", "\ud800", "\x0c"]),
    max_size=60,
)


class RandomRuntime:
    """Scores that depend on all ids before them and on nothing else."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.ids: list[int] = []

    @property
    def length(self) -> int:
        return len(self.ids)

    def append(self, ids: Sequence[int]) -> Logits:
        self.ids.extend(ids)
        dice = np.random.default_rng([self.seed, *self.ids])
        return (3 * dice.normal(size=TOKENIZER.vocab_size)).astype(np.float32)

    def rewind(self, length: int) -> None:
        del self.ids[length:]


def ordinary_ids(predicate: object) -> set[int]:
    return {
        id_
        for id_ in range(TOKENIZER.vocab_size)
        if TOKENIZER.token_bytes(id_) and predicate(TOKENIZER.token_bytes(id_))  # type: ignore[operator]
    }


@given(code)
@settings(max_examples=150)
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
@settings(max_examples=150)
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
@settings(max_examples=200)
def test_tokens_beginning_with_bytes_equal_a_full_scan(head: bytes) -> None:
    found = TABLE.beginning_with(head).tolist()
    assert sorted(found) == sorted(ordinary_ids(lambda data: data.startswith(head)))


@given(st.sampled_from(["self.names", " return", "\n        ", "日本", "x"]), st.integers(1, 9))
@settings(max_examples=100)
def test_tokens_inside_bytes_equal_a_full_scan(text: str, n_bytes: int) -> None:
    rest = text.encode()[:n_bytes]
    found = TABLE.inside(rest).tolist()
    assert sorted(found) == sorted(
        ordinary_ids(lambda data: rest.startswith(data) and data != rest)
    )


def test_highest_byte_has_no_successor() -> None:
    assert TABLE.beginning_with(b"\xff").tolist() == [0xFF]
    assert TABLE.beginning_with(b"\xff\xff").tolist() == []


def test_special_tokens_are_never_allowed_while_healing() -> None:
    for rest in (b"<", b"<|end|>", b"<|fim_middle|>"):
        assert not any(
            TOKENIZER.is_special(int(id_))
            for id_ in np.concatenate([TABLE.beginning_with(rest), TABLE.inside(rest)])
        )


def test_only_the_end_is_allowed_among_special_tokens() -> None:
    allowed = set(range(TABLE.n_scored)) - set(TABLE.forbidden.tolist())
    special = {id_ for id_ in range(TOKENIZER.vocab_size) if TOKENIZER.is_special(id_)}
    assert allowed & special == {TOKENIZER.end_id}
    assert len(allowed | special) == TOKENIZER.vocab_size


@given(
    tail=st.one_of(code, st.sampled_from([SAMPLE[:40], "日本語", "🙂🙂", "\n" + " " * 20])),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200)
def test_generated_bytes_always_begin_with_the_tail(tail: str, seed: int) -> None:
    required = tail.encode("utf-8", "surrogatepass")
    steps = RandomRuntime(seed)
    healed = heal(steps, steps.append([0]), TABLE, required, lambda: False)
    assert healed is not None
    token = choices(healed.logits, TABLE, healed.rest, 1)[0]
    assert healed.n_tokens <= len(required)
    assert TOKENIZER.decode_bytes(steps.ids[1:]) + healed.rest == required
    assert TOKENIZER.token_bytes(token.id) == healed.rest + token.text


@given(tail=st.text(alphabet="self.na", min_size=1, max_size=6), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_likeliest_spelling_is_found(tail: str, seed: int) -> None:
    def best(ids: list[int], rest: bytes) -> tuple[float, list[int]]:
        """Return the highest log P of a spelling behind `ids`, and its tokens, by trying all."""
        scores = RandomRuntime(seed).append(ids)
        total = log_sum(scores[: TABLE.n_scored])
        found = [(float(scores[id_]) - total, [int(id_)]) for id_ in TABLE.beginning_with(rest)]
        for id_ in map(int, TABLE.inside(rest)):
            more, path = best([*ids, id_], rest[len(TABLE.bytes_of[id_]) :])
            found.append((float(scores[id_]) - total + more, [id_, *path]))
        return max(found)

    steps = RandomRuntime(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.decode.MAX_SPELLINGS", 1_000)
        healed = heal(steps, steps.append([0]), TABLE, tail.encode(), lambda: False)
    assert healed is not None
    last = choices(healed.logits, TABLE, healed.rest, 1)[0].id
    assert [*steps.ids[1:], last] == best([0], tail.encode())[1]


@given(st.text(max_size=30), st.lists(st.integers(1, 5), min_size=1, max_size=40))
@settings(max_examples=150)
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
