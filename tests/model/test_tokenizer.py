"""Byte-level BPE: lossless for any bytes, and no text becomes a marker."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.tokenizer import PATTERNS, SPECIAL_TOKENS, Tokenizer, TokenizerError
from tests.doubles import tiny_tokenizer_json
from tests.scripted import small_tokenizer

MARKED = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from(SPECIAL_TOKENS), st.sampled_from(["<|", "|>"]))
).map("".join)


@pytest.fixture(params=sorted(PATTERNS))
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return small_tokenizer(request.param)


@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_any_bytes_come_back(data: bytes) -> None:
    for name in PATTERNS:
        tokenizer = small_tokenizer(name)
        assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@settings(max_examples=200)
@given(text=MARKED)
def test_no_text_encodes_to_a_marker(text: str) -> None:
    for name in PATTERNS:
        tokenizer = small_tokenizer(name)
        ids = tokenizer.encode(text)
        assert not any(map(tokenizer.is_special, ids))
        assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogatepass")


def test_lone_surrogates_keep_their_bytes(tokenizer: Tokenizer) -> None:
    text = "a\ud800b"
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode("utf-8", "surrogatepass")


def test_markers_have_ids_and_no_bytes(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.special_id(name) for name in SPECIAL_TOKENS]
    assert ids == list(range(tokenizer.vocab_size - len(SPECIAL_TOKENS), tokenizer.vocab_size))
    assert tokenizer.decode_bytes(ids) == b""
    assert all(tokenizer.is_special(id_) for id_ in ids)
    assert not tokenizer.is_special(0)


def test_unknown_marker_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"no special token <\|other\|>"):
        tokenizer.special_id("<|other|>")


@pytest.mark.parametrize(
    ("name", "text", "piece"),
    [
        ("gpt-2", "x = foo", " foo"),
        ("gpt-2", "self.na", "na"),
        ("qwen2", "self.na", ".na"),
        ("qwen2", "if x:\n        ", "        "),
        ("qwen2", "", ""),
    ],
)
def test_last_pretoken_is_what_typing_on_may_change(name: str, text: str, piece: str) -> None:
    assert small_tokenizer(name).last_pretoken(text) == piece


@settings(max_examples=100)
@given(left=st.text(max_size=30), right=st.text(min_size=1, max_size=10))
def test_last_pretoken_ends_the_text(left: str, right: str) -> None:
    text = left + right
    for name in PATTERNS:
        piece = small_tokenizer(name).last_pretoken(text)
        assert piece
        assert text.endswith(piece)


def test_long_text_gives_the_same_last_pretoken_as_its_end() -> None:
    assert small_tokenizer("qwen2").last_pretoken("word " * 5_000 + "last") == " last"


def write(folder: Path, text: str) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_round_trip_keeps_pattern_and_ids(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(tmp_path, tiny_tokenizer_json(tokenizer.pattern_name))
    loaded = Tokenizer.from_file(path)
    assert loaded.pattern_name == tokenizer.pattern_name
    assert loaded.token_bytes(256) == b"  "
    assert loaded.encode("    def")[0] != loaded.encode(" ")[0]


def damaged(**changes: object) -> str:
    table = json.loads(tiny_tokenizer_json())
    for key, value in changes.items():
        place = table
        *path, last = key.split("__")
        for part in path:
            place = place[part]
        place[last] = value
    return json.dumps(table)


BEGINS = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("[" * 100_000, "cannot read"),
        ("{}", "not a byte-level BPE"),
        (damaged(model__vocab={"a": 0}), "lacks byte 0x09"),
        (damaged(post_processor=[1]), "not a byte-level BPE"),
        (damaged(post_processor=BEGINS | {"special_tokens": {"x": {"ids": [5]}}}), "begins with"),
        (damaged(model__vocab={"\u4e00": 0}), "not a byte-level BPE"),
        (damaged(added_tokens=[{"id": 3, "content": "<|end|>"}]), "each used once"),
        (
            damaged(
                pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "x"}
            ),
            "split pattern is none of",
        ),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_file(write(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"cannot read .*none\.json"):
        Tokenizer.from_file(tmp_path / "none.json")


def test_unknown_pattern_is_refused() -> None:
    with pytest.raises(TokenizerError, match="'mine' is not one of"):
        Tokenizer({bytes([byte]): byte for byte in range(256)}, {}, "mine")


def test_oversized_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.tokenizer.MAX_FILE_BYTES", 1 << 10)
    with pytest.raises(TokenizerError, match="at most 1024 are allowed"):
        Tokenizer.from_file(write(tmp_path, tiny_tokenizer_json()))
