"""Files at the command line: decoding, positions, line ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.cli.command import UsageError
from assistant.cli.complete import SourceFile


def source(data: bytes) -> SourceFile:
    return SourceFile.from_bytes("a.py", data)


@pytest.mark.parametrize(
    ("data", "text", "eol"),
    [
        (b"", "", "\n"),
        (b"a\nb", "a\nb", "\n"),
        (b"a\r\nb\r\n", "a\nb\n", "\r\n"),
        (b"a\rb", "a\nb", "\r"),
        (b"a\nb\r\n", "a\nb\n", "\n"),
        (b"\xef\xbb\xbfa", "a", "\n"),
        ("é\u2028\x0c".encode(), "é\u2028\x0c", "\n"),
    ],
)
def test_text_has_lf_and_remembers_its_line_end(data: bytes, text: str, eol: str) -> None:
    assert source(data) == SourceFile(path="a.py", text=text, eol=eol)


def test_binary_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a\.py: is a binary file \(it contains a NUL byte"):
        source(b"\x7fELF\0\0")


def test_undecodable_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"is not UTF-8 text \(byte 0xe9 at offset 3\)"):
        source(b"caf\xe9 = 1")


@pytest.mark.parametrize(
    ("line", "column", "offset"), [(1, 1, 0), (1, 3, 2), (2, 1, 3), (3, 1, 5), (3, 2, 6)]
)
def test_positions_count_characters_from_one(line: int, column: int, offset: int) -> None:
    file = source("ab\né\n🙂".encode())
    assert file.offset(line, column) == offset
    assert file.position(offset) == (line, column)


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        (0, 1, r"a\.py: line 0 is outside the file \(1\.\.2\)"),
        (3, 1, r"a\.py: line 3 is outside the file \(1\.\.2\)"),
        (1, 0, r"a\.py: column 0 is outside line 1 \(1\.\.4\)"),
        (1, 5, r"a\.py: column 5 is outside line 1 \(1\.\.4\)"),
        (2, 2, r"a\.py: column 2 is outside line 2 \(1\.\.1\)"),
    ],
)
def test_position_outside_the_file_gives_the_valid_range(
    line: int, column: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        source(b"abc\r\n").offset(line, column)


@given(st.text(alphabet="ab\n\r\x0cé🙂", max_size=30), st.data())
@settings(max_examples=100)
def test_every_offset_has_a_position_and_back(text: str, data: st.DataObject) -> None:
    file = source(text.encode())
    offset = data.draw(st.integers(0, len(file.text)))
    assert file.offset(*file.position(offset)) == offset


@given(st.lists(st.text(alphabet="ab ", max_size=4), max_size=6), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=60)
def test_restored_text_is_the_file_again(lines: list[str], eol: str) -> None:
    raw = eol.join(lines)
    file = source(raw.encode())
    assert file.restore(file.text) == raw
