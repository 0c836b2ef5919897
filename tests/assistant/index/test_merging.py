"""Which segments of an index are joined or written anew, and that nothing else is."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assistant.index import writer as writer_module
from assistant.index.writer import IndexWriter, find_mergeable
from tests.assistant.index.test_writer import content, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_a_large_segment_is_not_rewritten_for_a_small_one(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        put(writer, big="x = 1\n" * 300_000)
        put(writer, small="y = 2\n")
        assert not writer.merge()
        for name in ("first", "second", "third"):
            put(writer, **{name: "z = 3\n"})
        assert writer.merge()
        assert max(len(opened.segment.text) for opened in writer.view.opened) == 1_800_001
        assert len(writer.view.opened) == 2


def test_a_mostly_dead_segment_is_cleared_out(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="x = 1\n" * 50_000, b="y = 1\n" * 50_000)
        writer.drop(["a.py"], "repo")
        writer.commit()
        assert writer.merge()
        (opened,) = writer.view.opened
        assert len(opened.segment.entries) == 1
        assert find_mergeable(list(writer.view.opened)) == []


@dataclass
class Sized:
    """As much of an open segment as says whether it is worth joining."""

    live_bytes: int
    n_dead: int = 0
    age_s: float = 0.0

    @property
    def segment(self) -> "Sized":
        return self

    @property
    def text(self) -> range:
        return range(self.live_bytes + self.n_dead)

    @property
    def written_s(self) -> float:
        return time.time() - self.age_s


KB, MB, DAY_S = 1 << 10, 1 << 20, 24 * 3600


@pytest.mark.parametrize(
    ("sizes", "n_chosen"),
    [
        ([1, 1, 1], 0),
        ([1, 1, 1, 1], 4),
        ([1, 1, 1, 512 * KB], 4),  # not more than twice what is joined, or than two small ones
        ([1, 1, 1, 512 * KB + 1], 0),
        ([MB, MB, MB, 6 * MB], 4),
        ([MB, MB, MB, 6 * MB + 1], 0),
        ([4 * MB, 4 * MB, 4 * MB, 4 * MB], 4),
        ([4 * MB, 4 * MB, 4 * MB, 4 * MB + 1], 0),
        ([3 * MB, 3 * MB, 3 * MB, 3 * MB, 5 * MB], 4),
    ],
)
def test_what_is_joined_is_much_and_not_too_much(sizes: list[int], n_chosen: int) -> None:
    segments: Any = [Sized(size) for size in reversed(sizes)]
    assert [each.live_bytes for each in find_mergeable(segments)] == sizes[:n_chosen]


@pytest.mark.parametrize(
    ("segment", "is_written_anew"),
    [
        (Sized(70, 30), False),
        (Sized(69, 31), True),
        (Sized(100 * MB, MB), False),
        (Sized(100 * MB, MB + 1), True),
        (Sized(99, 1, DAY_S - 60), False),
        (Sized(99, 1, DAY_S + 60), True),
        (Sized(100, 0, 100 * DAY_S), False),
    ],
)
def test_a_segment_with_much_or_old_dead_text_is_written_anew(
    segment: Any, is_written_anew: bool
) -> None:
    assert find_mergeable([Sized(50), segment]) == [segment] * is_written_anew  # type: ignore[list-item]


def test_the_first_segment_has_four_megabytes_of_text(folder: Path) -> None:
    half = "x = 12\n" * (2 * MB // 7)
    half += "#" * (2 * MB - len(half))
    with IndexWriter(folder) as writer:
        put(writer, a=half, b=half)
        assert len(writer.view.opened) == 1
        writer.clear()
        put(writer, a=half, b=half + "#")
        assert len(writer.view.opened) == 2


def test_segments_of_16_megabytes_are_the_largest() -> None:
    assert writer_module.SEGMENT_BYTES == 16 * MB


def test_a_merge_of_one_layer_leaves_the_others_alone(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        for n in range(4):
            put(writer, **{f"a{n}": f"one {n}\n"})
        for n in range(3):
            writer.add([content(f"b{n}.py", f"two {n}\n")], "deps")
            writer.commit()
        assert writer.merge() and not writer.merge()
        layers = sorted(opened.ref.layer for opened in writer.view.opened)
        assert layers == ["deps", "deps", "deps", "repo"]
        writer.drop(["b0.py"], "repo")  # of the other layer
        writer.commit()
        assert writer.view.entries("deps").keys() == {"b0.py", "b1.py", "b2.py"}


def test_only_segments_that_hold_what_is_to_be_forgotten_are_written_anew(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        for name in ("a", "b", "c"):
            texts = {f"{name}{n}": f"{name} {n}\n" for n in range(9)}
            put(writer, **texts)
        before = {opened.ref.name for opened in writer.view.opened}
        writer.drop(["a0.py", "b0.py"], "repo")
        writer.commit()
        writer.forget(["a0.py", "c0.py"], "deps")
        assert {opened.ref.name for opened in writer.view.opened} == before
        writer.forget(["a0.py", "c0.py"], "repo")
        after = {opened.ref.name for opened in writer.view.opened}
        assert len(after) == 3 and len(after & before) == 2
        assert not any("a0.py" in {e.path for e in o.segment.entries} for o in writer.view.opened)
