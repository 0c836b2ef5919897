"""A segment finds every place that a slow counter finds, and refuses a damaged file."""

import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.index.matches import MAX_SAMPLED, nested_levels
from assistant.index.segment import (
    MAX_TEXT_BYTES,
    FileContent,
    Segment,
    SegmentEntry,
    SegmentError,
    SegmentSource,
    write_segment,
)
from tests.assistant.index.brute_force import agreement, expected_shape

words = st.sampled_from(["a", "b", "ab", "\n", "\r\n", "\x00", "é", "\U0001f600", "    ", "self."])
texts = st.lists(words, max_size=40).map("".join)


def segment_of(folder: Path, *named: str | bytes) -> Segment:
    contents = [
        FileContent(
            SegmentEntry(f"{n}.py", 1, 2, "d"), text.encode() if isinstance(text, str) else text
        )
        for n, text in enumerate(named)
    ]
    path = folder / "one.seg"
    path.unlink(missing_ok=True)
    write_segment(path, contents)
    return Segment(path)


@settings(max_examples=80)
@given(files=st.lists(texts, max_size=5), context=texts, repeated=st.booleans(), data=st.data())
def test_levels_are_those_of_a_brute_force_count(
    files: list[str], context: str, repeated: bool, data: st.DataObject
) -> None:
    files = [*files, *files, context] if repeated else files
    dead = data.draw(st.sets(st.integers(0, len(files) - 1))) if files else set()
    with TemporaryDirectory() as folder:
        segment = segment_of(Path(folder), *files)
        source = SegmentSource(segment, context.encode(), layer="repo", dead=sorted(dead))
        levels = nested_levels([source], 99)
        places = [
            (text.encode(), place)
            for n, text in enumerate(files)
            if n not in dead
            for place in range(len(text.encode()) + 1)
        ]
        assert [(level.length, level.count) for level in levels] == expected_shape(
            places, context.encode()
        )
        for level in levels:
            assert len(level.occurrences) == min(level.count, MAX_SAMPLED)
            for found in level.occurrences:
                assert found.length >= level.length
                number = int(found.path.removesuffix(".py"))
                assert number not in dead
                assert is_in(files[number].encode(), found.length, found.following, context)


def is_in(text: bytes, length: int, following: bytes, context: str) -> bool:
    """Whether the text has a place that agrees by exactly `length` and goes on so."""
    return any(
        agreement(text, place, context.encode()) == length and text[place:][:160] == following
        for place in range(len(text) + 1)
    )


def test_a_match_never_crosses_files(tmp_path: Path) -> None:
    segment = segment_of(tmp_path, "first half", "second half")
    source = SegmentSource(segment, b"first halfsecond half", layer="repo")
    assert source.longest == len("second half")


def test_a_context_with_the_separator_is_cut_there(tmp_path: Path) -> None:
    segment = segment_of(tmp_path, "one two", "three")
    assert SegmentSource(segment, b"three\xffone two", layer="repo").longest == len("one two")
    assert SegmentSource(segment, b"one two\xff", layer="repo").longest == 0


def test_many_dead_places_are_counted_without_looking_at_each(tmp_path: Path) -> None:
    rows = "".join(f"value_{n} = call({n})\n" for n in range(6000))
    segment = segment_of(tmp_path, rows, rows[: len(rows) // 2], rows)
    source = SegmentSource(segment, b"value_9 = call(", layer="repo", dead=[1, 2])
    alive = SegmentSource(segment_of(tmp_path, rows), b"value_9 = call(", layer="repo")
    assert [source.count(length) for length in range(4, 16)] == [
        alive.count(length) for length in range(4, 16)
    ]
    assert {found.path for found in source.pick(4, 64)} == {"0.py"}


def test_few_living_places_among_many_dead_are_found(tmp_path: Path) -> None:
    segment = segment_of(tmp_path, "x = call(1)\n", "x = call(2)\n" * 5000)
    source = SegmentSource(segment, b"x = call(", layer="repo", dead=[1])
    assert [found.following for found in source.pick(6, 64)] == [b"1)\n"]


def test_an_empty_segment_finds_nothing(tmp_path: Path) -> None:
    source = SegmentSource(segment_of(tmp_path), b"anything", layer="repo")
    assert (source.longest, source.count(4)) == (0, 0)


def test_texts_and_entries_come_back(tmp_path: Path) -> None:
    segment = segment_of(tmp_path, "", "abc\n", "é")
    assert [segment.text_of(n) for n in range(3)] == [b"", b"abc\n", "é".encode()]
    assert segment.entries[1] == SegmentEntry("1.py", 1, 2, "d")
    assert segment.size_of([1, 2]) == 8


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.py is not UTF-8"):
        segment_of(tmp_path, b"a\xffb")


def test_a_segment_beyond_the_largest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.index.segment.MAX_TEXT_BYTES", 10)
    segment_of(tmp_path, "a" * 9)  # and its end
    with pytest.raises(ValueError, match="at most 10 are possible"):
        segment_of(tmp_path, "a" * 10)


def test_the_order_of_the_largest_segment_has_numbers_of_32_bits() -> None:
    assert MAX_TEXT_BYTES < 2**31


@pytest.mark.parametrize("keep", [0, 5, 31, 32, 60, -1, -4])
def test_a_cut_file_is_refused_before_it_is_read(tmp_path: Path, keep: int) -> None:
    segment_of(tmp_path, "some text\n", "more text\n")
    path = tmp_path / "one.seg"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SegmentError, match=r"one\.seg"):
        Segment(path)


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    segment_of(tmp_path, "some text\n", "more text\n")
    path = tmp_path / "one.seg"
    whole = path.read_bytes()
    dice = np.random.default_rng(0)
    for at in dice.integers(0, 28, 10).tolist() + dice.integers(32, len(whole), 40).tolist():
        path.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << int(dice.integers(8))]) + whole[at + 1 :]
        )
        with pytest.raises(SegmentError, match=r"one\.seg"):
            Segment(path)


def test_a_missing_segment_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SegmentError, match="cannot open"):
        Segment(tmp_path / "none.seg")


def test_a_segment_is_written_once_and_is_private(tmp_path: Path) -> None:
    segment_of(tmp_path, "x")
    assert (tmp_path / "one.seg").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_segment(tmp_path / "one.seg", [])


@pytest.mark.parametrize("seed", range(12))
def test_living_places_far_from_the_context_are_counted(tmp_path: Path, seed: int) -> None:
    """Most files are dead, and so are hundreds of places around where the context would stand."""
    dice = random.Random(seed)
    files = [
        "".join(dice.choices(["x = f(1)\n", "y = f(2)\n", "f(", "if x:\n"], k=300))
        for _ in range(8)
    ]
    dead = sorted(dice.sample(range(8), 7))
    files += ["x = f(1)\nif", "z = f(", ""]
    segment = segment_of(tmp_path, *files)
    alive = [text.encode() for n, text in enumerate(files) if n not in dead]
    for cut in dice.sample(range(20, 900), 6):
        context = files[dead[0]][:cut].encode()
        source = SegmentSource(segment, context, layer="repo", dead=dead)
        lengths = [agreement(text, at, context) for text in alive for at in range(len(text) + 1)]
        assert source.longest == max(lengths)
        for length in (4, 5, 8, 12, 20, source.longest, source.longest + 1):
            expected = sum(each >= length for each in lengths)
            assert source.count(length) == expected
            found = source.pick(length, 64)
            assert len(found) == min(64, expected)
            assert all(each.length >= length for each in found)


def test_places_that_are_given_are_spread_over_the_order(tmp_path: Path) -> None:
    segment = segment_of(tmp_path, "".join(f"{n % 10}|call(x)\n" for n in range(500)), "call(")
    for dead in ([], [1]):
        found = SegmentSource(segment, b"call(", layer="repo", dead=dead).pick(5, 10)
        assert len({each.length for each in found}) == 1
        before = segment.text_of(0)
        assert len(found) == 10 and all(each.following in before for each in found)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted there")
def test_a_segment_holds_one_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "one.seg"
    write_segment(path, [FileContent(SegmentEntry("a.py", 1, 2, "d"), b"x = 1\n")])

    def n_of_it() -> int:
        links = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
        return links.count(str(path))

    assert n_of_it() == 0
    segment = Segment(path)
    assert (n_of_it(), segment.is_whole()) == (1, True)
