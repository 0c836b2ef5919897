"""Open documents over an index: live text counts, the copies on disk do not."""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex, find_index
from assistant.index.matches import MAX_SAMPLED, Level
from assistant.index.reader import IndexView, open_view
from assistant.index.writer import index_folder
from assistant.privacy.redaction import redact
from tests.assistant.index.brute_force import expected_shape

KEY = "AKIA" + "QZ7XK4PLM2N5RS6T"


@pytest.fixture
def index(tmp_path: Path) -> FolderIndex:
    build_from_texts(
        tmp_path / "index",
        [("a.py", "one = call(1)\n"), ("b.py", "one = call(2)\n"), ("c.py", "zwei(3)\n")],
    )
    return FolderIndex(tmp_path / "index")


def found(levels: list[Level]) -> set[tuple[str, bytes, str]]:
    return {(o.path, o.following, o.layer) for level in levels[:1] for o in level.occurrences}


def test_the_document_itself_is_left_out(index: FolderIndex) -> None:
    assert found(index.levels(b"one = call(", path="a.py")) == {("b.py", b"2)\n", "repo")}


def test_an_open_document_counts_in_its_live_text(index: FolderIndex) -> None:
    index.set_open("b.py", "one = call(9)\n")
    assert found(index.levels(b"one = call(", path="a.py")) == {("b.py", b"9)\n", "open")}
    index.set_open("b.py", "all gone\n")
    assert index.levels(b"one = call(", path="a.py") == []
    index.close_open("b.py")
    assert found(index.levels(b"one = call(", path="a.py")) == {("b.py", b"2)\n", "repo")}


def test_a_document_that_is_not_indexed_counts_too(index: FolderIndex) -> None:
    index.set_open("new.py", "drei = vier(5)\r\nfünf = 1\r\n")
    answer = index.levels(b"drei = vier(5)\nf", path="a.py")
    assert found(answer) == {("new.py", "ünf = 1\n".encode(), "open")}


def test_files_said_to_be_stale_count_no_more(index: FolderIndex) -> None:
    index.update(["b.py"])
    assert index.levels(b"one = call(", path="a.py") == []
    index.refresh()
    assert index.levels(b"one = call(", path="a.py") != []


def test_of_many_places_each_part_of_the_index_gives_its_share(index: FolderIndex) -> None:
    index.set_open("open.py", "one = call(7)\n" * 150)
    index.set_open("other.py", "one = call(8)\n" * 50)
    (level, *_) = index.levels(b"one = call(", path="x.py", max_levels=1)
    assert level.count == 2 + 150 + 50
    shares = Counter(item.path for item in level.occurrences)
    assert sum(shares.values()) == MAX_SAMPLED
    assert shares["open.py"] in (47, 48) and shares["other.py"] in (15, 16)


def test_files_that_hold_a_text_are_those_on_disk(index: FolderIndex) -> None:
    index.set_open("b.py", "one = call(2)\n")
    assert index.files_with("one = call(") == ["a.py"]
    assert index.files_with("one = call(7") == []


@pytest.mark.parametrize("is_out_of_threads", [False, True])
def test_a_newer_index_that_cannot_be_opened_now_is_opened_later(
    index: FolderIndex,
    tmp_path: Path,
    is_out_of_threads: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError if is_out_of_threads else OSError(5, "Input/output error")

    old = index.levels(b"zwei(", path="x.py")
    build_from_texts(tmp_path / "index", [("c.py", "zwei(4)\n")])
    with monkeypatch.context() as patch:
        where = "threading.Thread" if is_out_of_threads else "open_view"
        patch.setattr(f"assistant.index.folder_index.{where}", fail)
        assert found(index.levels(b"zwei(", path="x.py")) == found(old)
        index.join(20.0)
    assert len(caplog.records) == (not is_out_of_threads)
    index.refresh()
    assert found(index.levels(b"zwei(", path="x.py")) == {("c.py", b"4)\n", "repo")}


def test_without_a_folder_there_are_open_documents_only() -> None:
    index = FolderIndex()
    assert index.levels(b"one = call(", path="a.py") == []
    index.set_open("b.py", "one = call(2)\n")
    assert found(index.levels(b"one = call(", path="a.py")) == {("b.py", b"2)\n", "open")}
    index.refresh()


def test_many_documents_opened_at_once_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    index = FolderIndex()
    index.set_open("b.py", "one = call(2)\n")
    assert index.levels(b"one = call(", path="a.py", should_stop=lambda: True) == []
    ready = {("b.py", b"2)\n", "open")}
    assert found(index.levels(b"one = call(", path="a.py")) == ready
    index.set_open("c.py", "one = call(3)\n")
    with monkeypatch.context() as patch:
        patch.setattr("assistant.index.folder_index.PREPARED_CHARS", -1)
        assert found(index.levels(b"one = call(", path="a.py")) == ready
    both = {*ready, ("c.py", b"3)\n", "open")}
    assert found(index.levels(b"one = call(", path="a.py")) == both


def test_without_an_index_there_is_nothing_until_there_is(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path / "index")
    assert index.levels(b"one = call(", path="x.py") == []
    build_from_texts(tmp_path / "index", [("a.py", "one = call(1)\n")])
    index.refresh()
    assert index.levels(b"one = call(", path="x.py") != []


words = st.lists(st.sampled_from(["a", "b", "ab", "\n", "é", "self.", "    "]), max_size=25)
texts = words.map("".join)


@settings(max_examples=25)
@given(
    indexed=st.lists(texts, min_size=3, max_size=3),
    opened=st.dictionaries(st.sampled_from(["0", "1", "new"]), texts),
    context=texts,
)
def test_levels_are_exact_over_segments_and_documents(
    tmp_path_factory: pytest.TempPathFactory,
    indexed: list[str],
    opened: dict[str, str],
    context: str,
) -> None:
    folder = tmp_path_factory.mktemp("index")
    files = {str(number): text for number, text in enumerate(indexed)}
    build_from_texts(folder, files.items())
    index = FolderIndex(folder)
    for path, text in opened.items():
        index.set_open(path, text)
    places = [
        (text.encode(), place)
        for path, text in (files | opened).items()
        if path != "2"
        for place in range(len(text.encode()) + 1)
    ]
    levels = index.levels(context.encode(), path="2", max_levels=99)
    expected = expected_shape(places, context.encode())
    assert [(level.length, level.count) for level in levels] == expected


def test_secrets_of_an_open_document_are_not_offered(index: FolderIndex) -> None:
    index.set_open("b.py", f'key = connect("{KEY}")\n')
    (level, *_) = index.levels(b'key = connect("', path="a.py")
    assert KEY.encode()[4:] not in level.occurrences[0].following


def test_a_private_key_across_paragraphs_is_not_offered(index: FolderIndex) -> None:
    body = "MIIEpAIBAAKCAQEA7bq0Zx9dK3vWq2\n\nYt8sLm4RfGh6NjPkQwErTyUiOpAsDfGh\n"
    text = f"x = '''-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n'''\n"
    index.set_open("b.py", text)
    (level, *_) = index.levels(b"-----BEGIN RSA PRIVATE KEY-----\n", path="a.py")
    assert b"7bq0Zx9dK3vWq2" not in level.occurrences[0].following


def test_editing_a_document_is_the_same_as_opening_it_anew() -> None:
    dice = random.Random(1)
    parts = ["x = 1", "\n\n", "\n", f'k = "{KEY}"', "def f():", "    return 2", "\n\n\n", "é"]
    edited = FolderIndex()
    for _ in range(60):
        text = "".join(dice.choices(parts, k=12))
        fresh = FolderIndex()
        edited.set_open("a.py", text)
        fresh.set_open("a.py", text)
        levels = edited.levels(b"x = 1\n", path="b.py")
        assert levels == fresh.levels(b"x = 1\n", path="b.py")
        count = next((level.count for level in levels if level.length == 6), 0)
        assert count == redact(text)[0].count("x = 1\n")


def test_a_huge_document_is_not_searched(index: FolderIndex) -> None:
    text = "one = call(2)\n" + "x" * 999_986
    index.set_open("b.py", text)
    assert len(found(index.levels(b"one = call(", path="x.py"))) == 2
    index.set_open("b.py", text + "x")
    assert found(index.levels(b"one = call(", path="x.py")) == {("a.py", b"1)\n", "repo")}


def test_many_threads_may_ask_and_edit(index: FolderIndex) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(60):
                index.set_open(f"{number}.py", f"one = call({step})\n")
                for level in index.levels(b"one = call(", path="x.py"):
                    assert level.count >= len(level.occurrences)
                index.close_open(f"{number}.py")
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_the_index_of_a_file_is_that_of_the_nearest_indexed_folder(tmp_path: Path) -> None:
    file = tmp_path / "outer" / "inner" / "sub" / "x.py"
    file.parent.mkdir(parents=True)
    assert find_index(file) is None
    build_from_texts(index_folder(tmp_path / "outer"), [("a.py", "outer = 1\n")])
    build_from_texts(index_folder(tmp_path / "outer" / "inner"), [("a.py", "inner = 1\n")])
    result = find_index(file)
    assert result is not None
    index, path = result
    assert path == "sub/x.py"
    assert index.levels(b"inner = ", path=path) != []


def test_nobody_waits_for_a_newer_index_that_is_being_opened(
    index: FolderIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, waits = threading.Event(), []
    real = open_view

    def slow(folder: Path, before: IndexView | None = None) -> IndexView:
        waits.append(gate.wait(20.0))
        return real(folder, before)

    build_from_texts(tmp_path / "index", [("c.py", "zwei(4)\n")])
    monkeypatch.setattr("assistant.index.folder_index.open_view", slow)
    for _ in range(3):
        assert found(index.levels(b"zwei(", path="x.py")) == {("c.py", b"3)\n", "repo")}
    assert [each.daemon for each in threading.enumerate() if each.name == "index-open"] == [True]
    gate.set()
    index.join(20.0)
    assert waits == [True]
    assert found(index.levels(b"zwei(", path="x.py")) == {("c.py", b"4)\n", "repo")}
