"""An index follows the files of a real folder, and holds only what it may."""

import logging
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from assistant.index.builder import (
    BuildLimits,
    BuildReport,
    build_from_texts,
    refresh,
    select_files,
)
from assistant.index.folder_index import FolderIndex
from assistant.index.reader import Stamp
from tests.repositories import new_repository, plain_git

AWS_KEY = "AKIA" + "QZ7XK4PLM2N5RS6T"
PASSWORD = "hunter2" + "Xy9!kQ_w3Zr"


def files_of(folder: Path) -> set[str]:
    return set(FolderIndex(folder).view.entries("repo"))


def found(folder: Path, context: str, path: str = "other.py") -> list[tuple[str, bytes]]:
    """(path, what follows) of the longest matches."""
    levels = FolderIndex(folder).levels(context.encode(), path=path)
    return [(item.path, item.following) for item in levels[0].occurrences] if levels else []


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


def age(root: Path) -> None:
    """Let files look as if nobody had touched them for a while."""
    past_s = time.time() - 3600
    for path in root.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (past_s, past_s))


def test_tracked_and_new_files_are_found_and_ignored_ones_not(tmp_path: Path, index: Path) -> None:
    root = new_repository(
        tmp_path / "r", {"a.py": "alpha = compute(1)\n", ".gitignore": "ignored.py\n"}
    )
    (root / "new.py").write_text("omega = compute(2)\n")
    (root / "ignored.py").write_text("no = compute(3)\n")
    report = refresh(root, index)
    assert files_of(index) == {"a.py", "new.py"}
    assert (report.n_read, report.n_added) == (2, 2)
    assert found(index, "alpha = comp") == [("a.py", b"ute(1)\n")]


def test_a_folder_without_git_is_walked(tmp_path: Path, index: Path) -> None:
    for name in ("a.py", "sub/b.py", "node_modules/c.js", ".hidden/d.py", "venv/e.py"):
        path = tmp_path / "r" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    refresh(tmp_path / "r", index)
    assert files_of(index) == {"a.py", "sub/b.py"}


def test_a_folder_inside_a_repository_has_its_own_files_only(tmp_path: Path, index: Path) -> None:
    root = new_repository(
        tmp_path / "r", {"a.py": "x = 1\n", "sub/b.py": "y = 2\n", "sub/.gitignore": "c.py\n"}
    )
    (root / "sub" / "c.py").write_text("z = 3\n")
    refresh(root / "sub", index)
    assert files_of(index) == {"b.py"}


def test_only_changed_files_are_read_again(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {f"{n}.py": f"value_{n} = {n}\n" for n in range(9)})
    age(root)
    assert refresh(root, index).n_read == 9
    assert refresh(root, index) == BuildReport()
    (root / "3.py").write_text("value_3 = changed\n")
    (root / "4.py").unlink()
    report = refresh(root, index)
    assert (report.n_read, report.n_added, report.n_dropped) == (1, 1, 1)
    assert found(index, "value_3 = ") == [("3.py", b"changed\n")]
    assert "4.py" not in files_of(index)


def test_a_touched_file_is_read_once_and_not_written_again(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n"})
    age(root)
    refresh(root, index)
    os.utime(root / "a.py", (1_000_000_000, 1_000_000_000))
    assert (refresh(root, index).n_added, refresh(root, index).n_read) == (0, 0)


def test_a_file_changed_again_within_the_same_moment_is_noticed(
    tmp_path: Path, index: Path
) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "value = 1\n"})
    refresh(root, index)
    info = (root / "a.py").stat()
    (root / "a.py").write_text("value = 2\n")
    os.utime(root / "a.py", ns=(info.st_atime_ns, info.st_mtime_ns))
    refresh(root, index)
    assert found(index, "value = ") == [("a.py", b"2\n")]


def test_a_branch_switch_is_followed(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "one = call(1)\n", "b.py": "same = 1\n"})
    refresh(root, index)
    plain_git(root, "checkout", "-q", "-b", "side")
    (root / "a.py").write_text("two = call(2)\n")
    (root / "c.py").write_text("three = call(3)\n")
    plain_git(root, "add", "-A")
    plain_git(root, "commit", "-q", "-m", "side")
    refresh(root, index)
    assert found(index, "two = call(") == [("a.py", b"2)\n")]
    plain_git(root, "checkout", "-q", "main")
    refresh(root, index)
    assert files_of(index) == {"a.py", "b.py"}
    assert found(index, "two = call(") == [("a.py", b"1)\n")]


def test_planted_secrets_are_in_no_file_log_or_answer(
    tmp_path: Path, index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    root = new_repository(
        tmp_path / "r",
        {
            "a.py": f'aws = connect("{AWS_KEY}")\npassword = "{PASSWORD}"\n',
            ".env": f"KEY={PASSWORD}\n",
            "deploy.env": f"KEY={PASSWORD}\n",
            "secrets.yml": f"key: {PASSWORD}\n",
            "sub/credentials.py": f"KEY = '{PASSWORD}'\n",
        },
    )
    refresh(root, index)
    opened = FolderIndex(index)
    opened.set_open("live.py", f'live = connect("{AWS_KEY}")\n')
    answers = [
        opened.levels(context, path="x.py")
        for context in (b'aws = connect("', b'live = connect("', b'password = "', b"\nKEY=")
    ]
    assert answers[0]
    assert answers[1][0].occurrences[0].path == "live.py"
    stored = b"".join(path.read_bytes() for path in index.rglob("*") if path.is_file())
    for secret in (AWS_KEY, PASSWORD):
        for kept in (secret.encode(), secret.encode()[::-1]):
            assert kept not in stored
        assert secret not in repr(answers) + caplog.text
    assert b"credentials" not in stored


def test_files_excluded_later_leave_the_disk(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "public = 1\n", "b/private.py": "mine = 2\n"})
    refresh(root, index)
    refresh(root, index, BuildLimits(exclude=("b/*",)))
    stored = b"".join(path.read_bytes() for path in index.rglob("*") if path.is_file())
    assert b"mine"[::-1] not in stored
    assert files_of(index) == {"a.py"}
    refresh(root, index, BuildLimits(exclude=("*.py",)))
    assert files_of(index) == set()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("binary.py", b"x = 1\n\0\n"),
        ("control.py", b"x = 1\n\x01\x02\n"),
        ("minified.js", b"var a=1;" * 600),
        ("long.js", b"a" * 9000 + b"\n" + b"b\n" * 500),
        ("generated.py", b"# @generated by a tool\nx = 1\n"),
        ("built.min.js", b"var a = 1;\n"),
        ("api_pb2.py", b"x = 1\n"),
        ("package-lock.json", b"{}\n"),
        ("uv.lock", b"x = 1\n"),
        ("photo.png", b"x = 1\n"),
        ("huge.py", b"x = 1\n" * 100_000),
        ("data.json", b'{"a": 1}\n' * 10_000),
    ],
)
def test_what_nobody_wrote_is_left_out(
    tmp_path: Path, index: Path, name: str, content: bytes
) -> None:
    root = new_repository(tmp_path / "r", {name: content, "kept.py": "x = 1\n"})
    age(root)
    refresh(root, index)
    assert files_of(index) == {"kept.py"}
    assert refresh(root, index).n_read == 0


def test_links_and_pipes_are_left_alone(tmp_path: Path, index: Path) -> None:
    (tmp_path / "outside.py").write_text("outside = 1\n")
    root = tmp_path / "r"
    root.mkdir()
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    os.mkfifo(root / "pipe.py")
    (root / "kept.py").write_text("x = 1\n")
    refresh(root, index)
    assert files_of(index) == {"kept.py"}


def test_odd_names_and_texts_are_taken(tmp_path: Path, index: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    (root / "ü \n.py").write_bytes(b"\xef\xbb\xbfx = f(1)\r\ny = f(2)\r\n")
    (root / "latin.py").write_bytes(b"# caf\xe9\nlatin = f(3)\n")
    refresh(root, index)
    assert found(index, "x = f(1)\ny = f(") == [("ü \n.py", b"2)\n")]
    assert found(index, "# café\nlatin = ") == [("latin.py", b"f(3)\n")]


def test_a_file_that_vanishes_meanwhile_is_left_out(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n", "b.py": "y = 2\n"})
    vanish = BuildLimits(on_progress=lambda *_: (root / "b.py").unlink(missing_ok=True))
    report = refresh(root, index, vanish)
    assert report.left_out["unreadable"] == 1
    assert files_of(index) == {"a.py"}
    (root / "b.py").write_text("y = 3\n")
    refresh(root, index)
    for name in ("a.py", "b.py"):
        (root / name).write_text("z = 4\n")
    refresh(root, index, vanish)
    assert files_of(index) == {"a.py"}


def test_when_full_the_least_useful_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    stamps = {
        name: Stamp(size=size, mtime_ns=1)
        for name, size in {"big.py": 900, "small.py": 100, "a.rb": 100, "readme.md": 10}.items()
    }
    kept, left_out = select_files(stamps, BuildLimits(max_text_bytes=250), Path("r"))
    assert list(kept) == ["small.py"]
    assert left_out["no room"] == 3
    assert caplog.text.count("3 of 4 files are left out") == 1


def test_each_reason_to_leave_a_file_out_is_counted() -> None:
    sizes = {"a.py": 10, "picture.png": 10, "song.mp3": 10, "huge.py": 1 << 24, "my/b.py": 10}
    stamps = {name: Stamp(size=size, mtime_ns=1) for name, size in sizes.items()}
    kept, left_out = select_files(stamps, BuildLimits(exclude=("my/",)), Path("r"))
    assert [*kept] == ["a.py"]
    assert left_out == {"not source": 2, "too large": 1, "excluded": 1}


def test_progress_ends_at_the_whole(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {f"{n}.py": "x = 1\n" * n for n in range(1, 5)})
    seen: list[tuple[int, int]] = []
    refresh(root, index, BuildLimits(on_progress=lambda *numbers: seen.append(numbers)))
    assert seen == [(6, 60), (18, 60), (36, 60), (60, 60)]


def test_a_killed_build_goes_on_where_it_was(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = new_repository(tmp_path / "r", {f"{n}.py": f"x_{n} = 1\n" for n in range(6)})
    age(root)
    monkeypatch.setattr("assistant.index.writer.FIRST_SEGMENT_BYTES", 8)

    def stop(n_bytes: int, of_bytes: int) -> None:
        if n_bytes >= 5 * of_bytes // 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh(root, index, BuildLimits(on_progress=stop))
    assert not FolderIndex(index).view.manifest.is_complete
    assert 0 < len(files_of(index)) < 6
    assert 0 < refresh(root, index).n_read < 6
    assert FolderIndex(index).view.manifest.is_complete
    assert len(files_of(index)) == 6


def test_given_texts_are_taken_exactly(index: Path) -> None:
    build_from_texts(index, [("a.py", f"k = '{AWS_KEY}'\r\n"), ("b.py", "")])
    assert found(index, f"k = '{AWS_KEY[:8]}") == [("a.py", f"{AWS_KEY[8:]}'\n".encode())]
    build_from_texts(index, [("c.py", "k = 'other'\n")])
    assert files_of(index) == {"c.py"}
    assert FolderIndex(index).view.manifest.is_complete


def test_without_a_git_program_a_repository_is_walked(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n", "build/b.py": "y = 2\n"})
    monkeypatch.setenv("PATH", str(tmp_path))
    refresh(root, index)
    assert files_of(index) == {"a.py"}


def test_sizes_up_to_which_files_are_taken() -> None:
    sizes = {"a.py": 1 << 19, "b.py": (1 << 19) + 1, "c.rb": 1 << 19, "d.rb": (1 << 19) + 1}
    sizes |= {"e.md": 1 << 16, "f.md": (1 << 16) + 1}
    stamps = {name: Stamp(size=size, mtime_ns=1) for name, size in sizes.items()}
    kept, left_out = select_files(stamps, BuildLimits(), Path("r"))
    assert [*kept] == ["a.py", "c.rb", "e.md"] and left_out == {"too large": 3}


def test_a_hundred_megabytes_are_taken_if_nothing_else_is_said() -> None:
    stamps = {f"{n:03}.py": Stamp(size=(1 << 19) - 1, mtime_ns=1) for n in range(201)}
    assert len(select_files(stamps, BuildLimits(), Path("r"))[0]) == 200


@pytest.mark.parametrize(("age_s", "n_read"), [(1.0, 1), (4.0, 0)])
def test_a_file_of_the_last_two_seconds_is_read_once_more(
    tmp_path: Path, index: Path, age_s: float, n_read: int
) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n"})
    now_s = time.time() + 60 * (age_s == 1.0)  # however long the machine takes
    os.utime(root / "a.py", (now_s - age_s, now_s - age_s))
    refresh(root, index)
    assert refresh(root, index).n_read == n_read


def test_a_file_that_grows_while_files_are_read_is_read_again(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n", "b.py": "y = 2\n"})
    age(root)
    info = (root / "b.py").stat()

    def grow(*_: int) -> None:
        (root / "b.py").write_text("y = 2 + 3\n")
        os.utime(root / "b.py", ns=(info.st_atime_ns, info.st_mtime_ns))

    refresh(root, index, BuildLimits(on_progress=grow))
    assert refresh(root, index).n_read == 1


def test_a_file_that_is_as_it_was_before_the_last_change_is_read(
    tmp_path: Path, index: Path
) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "value = 1\n"})
    age(root)
    refresh(root, index)
    for text, time_s in (
        ("value = 1\n", 10**9),
        ("value = 2\n", 10**9 + 9),
        ("value = 1\n", 10**9),
    ):
        (root / "a.py").write_text(text)
        os.utime(root / "a.py", (time_s, time_s))
        refresh(root, index)
    assert found(index, "value = ") == [("a.py", b"1\n")]


def test_what_is_known_of_a_file_that_is_gone_is_forgotten(tmp_path: Path, index: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n\0", "b.py": "x = 1\n\0"})
    age(root)
    refresh(root, index)
    assert set(FolderIndex(index).view.manifest.seen) == {"repo/a.py", "repo/b.py"}
    (root / "a.py").unlink()
    refresh(root, index)
    assert set(FolderIndex(index).view.manifest.seen) == {"repo/b.py"}


def test_reasons_are_told_in_words() -> None:
    assert BuildReport(left_out=Counter({"too large": 2, "excluded": 1})).reasons == (
        "1 excluded, 2 too large"
    )
    assert BuildReport().reasons == "none"
    assert BuildReport() == BuildReport(n_read=0, n_added=0, n_dropped=0)
