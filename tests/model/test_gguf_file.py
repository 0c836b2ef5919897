"""A GGUF header is believed only as far as the file goes; what is absurd is refused in one line."""

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.gguf_file import GgufError, read_header
from tests.gguf_files import WIDTH, vocabulary, write_gguf


def test_says_what_the_file_says(tmp_path: Path) -> None:
    header = read_header(write_gguf(tmp_path / "a.gguf"))
    assert header.architecture == "llama"
    assert header.tokens == tuple(vocabulary())
    assert header.number("block_count") == 2
    assert header.number("nothing", 7) == 7
    assert header.metadata["general.license"] == "mit"
    n_layer = 2 * WIDTH * WIDTH + 2 * 32 * WIDTH + 3 * 96 * WIDTH + 2 * WIDTH
    assert header.n_params == len(vocabulary()) * WIDTH + 2 * n_layer + WIDTH
    assert header.n_bytes == 4 * header.n_params
    other = read_header(write_gguf(tmp_path / "b.gguf", changes={"general.name": "Other"}))
    assert other.digest != header.digest


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    data = write_gguf(tmp_path / "whole.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, 4_000, 97), len(data) // 2, len(data) - 33]:
        cut.write_bytes(data[:length])
        with pytest.raises(GgufError, match=r"cut\.gguf cannot be used"):
            read_header(cut)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": None}, "which architecture"),
        ({"general.architecture": "../x"}, "which architecture"),
        ({"llama.block_count": 4_000_000}, "block_count: 4000000, and not 1 to 1024"),
        ({"llama.context_length": "many"}, "context_length: 'many'"),
        ({"llama.embedding_length": 128}, "embedding does not fit"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "embedding does not fit"),
        ({"split.count": 3}, "one of several parts"),
        ({"general.alignment": 3}, "alignment is 3"),
    ],
)
def test_refuses_what_no_network_says(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(GgufError, match=message):
        read_header(write_gguf(tmp_path / "a.gguf", changes=changes))


def key(name: str, kind: int, data: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + data


HUGE = 1 << 62
ABSURD = {
    "it does not begin": b"GGML" + struct.pack("<IQQ", 3, 1, 1),
    "tensors: 4611686018427387904": b"GGUF" + struct.pack("<IQQ", 3, HUGE, 1),
    "entries: 4611686018427387904": b"GGUF" + struct.pack("<IQQ", 3, 1, HUGE),
    "a text in its header has": b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, HUGE),
    "unknown kind": b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + key("k", 77, b""),
    "array of an unknown kind": b"GGUF"
    + struct.pack("<IQQ", 3, 1, 1)
    + key("k", 9, struct.pack("<IQ", 9, 1)),
    "items of 'tokenizer.ggml.tokens'": b"GGUF"
    + struct.pack("<IQQ", 3, 1, 1)
    + key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 1 << 40)),
    "goes beyond its end": b"GGUF"
    + struct.pack("<IQQ", 3, 1, 1)
    + key("k", 9, struct.pack("<IQ", 12, 1 << 21)),
}


@pytest.mark.parametrize("message", ABSURD)
def test_absurd_counts_are_refused_within_little_memory(tmp_path: Path, message: str) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(ABSURD[message] + bytes(64))
    tracemalloc.start()
    try:
        with pytest.raises(GgufError, match=message):
            read_header(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_tensors_must_lie_within_the_file(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf")
    data = bytearray(file.read_bytes())
    place = data.index(b"output_norm.weight") + len("output_norm.weight") + 4 + 8 + 4
    data[place : place + 8] = struct.pack("<Q", 1 << 40)
    file.write_bytes(data)
    with pytest.raises(GgufError, match="outside of it"):
        read_header(file)


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.gguf"):
        with pytest.raises(GgufError, match="cannot be used"):
            read_header(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 8_000), st.integers(0, 255)), min_size=1))
def test_changed_bytes_are_refused_or_make_another_header(
    tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    data = bytearray(write_gguf(tmp_path / "a.gguf").read_bytes())
    for place, value in places:
        data[place] = value
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(data)
    try:
        assert read_header(changed).n_params > 0
    except GgufError as error:
        assert "\n" not in str(error)
