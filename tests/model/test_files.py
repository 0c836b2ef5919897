"""Files are read whole and regular."""

import os
from pathlib import Path

import pytest

from model.files import UnreadableFileError, open_regular, read_regular, sha256_file


def names_in(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_reads_a_file_of_exactly_the_cap(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"


def test_refuses_a_file_over_the_cap(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456")
    with pytest.raises(UnreadableFileError, match="has 6 bytes; at most 5"):
        read_regular(tmp_path / "file", 5)


def test_a_huge_sparse_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableFileError, match="at most"):
        read_regular(tmp_path / "sparse", 1 << 20)


def test_a_file_that_reports_no_size_is_still_capped() -> None:
    path = Path("/proc/self/maps")
    if not path.exists():
        pytest.skip("needs /proc")
    with pytest.raises(UnreadableFileError, match="larger than 10"):
        read_regular(path, 10)


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnreadableFileError, match="not a regular file"):
        read_regular(tmp_path / "fifo", 5)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="not a regular file"):
        read_regular(tmp_path, 5)


@pytest.mark.parametrize("name", ["missing", "nul\0inside", "long" * 100])
def test_an_unopenable_name_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFileError, match="cannot open"):
        read_regular(tmp_path / name, 5)


def test_links_are_followed_only_where_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 5) == b"data"
    with pytest.raises(UnreadableFileError, match="symbolic link"):
        read_regular(tmp_path / "link", 5, allow_links=False)


def test_hard_links_are_refused_where_links_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "other").hardlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "other", 5) == b"data"
    with pytest.raises(UnreadableFileError, match="2 names"):
        read_regular(tmp_path / "other", 5, allow_links=False)


def test_refused_files_do_not_leak_descriptors(tmp_path: Path) -> None:
    before = len(names_in(Path("/proc/self/fd")))
    for _ in range(20):
        with pytest.raises(UnreadableFileError):
            open_regular(tmp_path, 5)
    assert len(names_in(Path("/proc/self/fd"))) == before


def test_sha256_of_a_file_longer_than_one_piece(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes((1 << 20) + 1))
    expected = "2cb74edba754a81d121c9db6833704a8e7d417e5b13d1a19f4a52f007d644264"
    assert sha256_file(tmp_path / "zeros") == expected
