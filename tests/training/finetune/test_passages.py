"""Which bytes of real small commits are counted."""

from pathlib import Path

import pytest

from tests.repositories import commit_files, new_repository
from training.evaluation.replay.history import ReplayError
from training.finetune.judge import (
    MAX_PASSAGE_BYTES,
    Passage,
    added_passages,
    general_passages,
)

BEFORE = "import os\n\n\ndef first(path):\n    return os.fspath(path)\n"
ADDED = 'def second(name):\n    # naïve\n    return name.strip() + "é"\n'


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_repository(tmp_path_factory.mktemp("git") / "it", {"a.py": BEFORE})
    commit_files(path, {"a.py": BEFORE + "\n\n" + ADDED, "notes.txt": "no code at all here\n"})
    commit_files(path, {"b.py": "".join(f"value_{i} = compute({i})\n" for i in range(400))})
    return commit_files(path, {"notes.txt": "nor here\n"})


def counted_text(passage: Passage) -> str:
    data = passage.text.encode()
    return bytes(data[place] for place in passage.counted).decode()


def test_added_lines_are_counted_with_what_stands_above_them(repository: Path) -> None:
    [passage] = added_passages(repository, "HEAD~3..HEAD~2", max_bytes=10_000)
    assert passage.path == "a.py"
    assert passage.text == BEFORE + "\n\n" + ADDED
    assert counted_text(passage) == ADDED


def test_new_large_file_counts_in_part(repository: Path) -> None:
    [passage] = added_passages(repository, "HEAD~2..HEAD~1", max_bytes=100_000)
    assert len(counted_text(passage)) == MAX_PASSAGE_BYTES
    assert passage.text.endswith(counted_text(passage))


def test_bytes_are_capped_and_the_draw_is_the_seeds(repository: Path) -> None:
    few = added_passages(repository, "HEAD~3..HEAD", max_bytes=10, seed=1)
    assert len(few) == 1
    assert few == added_passages(repository, "HEAD~3..HEAD", max_bytes=10, seed=1)
    firsts = {
        added_passages(repository, "HEAD~3..HEAD", max_bytes=10, seed=seed)[0].path
        for seed in range(8)
    }
    assert firsts == {"a.py", "b.py"}


def test_range_without_code_is_refused(repository: Path) -> None:
    with pytest.raises(ReplayError, match="adds no code"):
        added_passages(repository, "HEAD~1..HEAD", max_bytes=10_000)


def test_general_code_counts_whole_and_capped() -> None:
    documents = [("a.py", "x = 1\n"), ("b.py", "é" * MAX_PASSAGE_BYTES), ("empty.py", "")]
    enough = MAX_PASSAGE_BYTES + 6
    found = {each.path: each for each in general_passages(documents, max_bytes=enough)}
    assert list(found["a.py"].counted) == list(range(6))
    assert found.keys() == {"a.py", "b.py"}
    counted = found["b.py"].counted
    assert MAX_PASSAGE_BYTES - 1 <= len(counted) <= MAX_PASSAGE_BYTES
    assert counted[-1] < len(found["b.py"].text.encode())
    assert len(general_passages(documents, max_bytes=1)) == 1


def test_of_few_general_documents_more_is_counted() -> None:
    [found] = general_passages([("a.py", "x" * 50_000)], max_bytes=20_000)
    assert len(found.counted) == 20_000


def test_no_general_code_is_refused() -> None:
    with pytest.raises(ValueError, match="every document is empty"):
        general_passages([("a.py", "")], max_bytes=10)
