"""Cursors are drawn over typed characters only, and the same for the same seed."""

from pathlib import Path

from training.data.corpus import Document
from training.evaluation.held_out import Task, held_out_files, sample_tasks

TEXT = "def area(width, height):\n    return width * height  \n\n\nprint(area(2, 3))\n" * 8


def repository(folder: Path) -> Path:
    root = folder / "owner+name"
    (root / "package").mkdir(parents=True)
    (root / "package" / "shapes.py").write_text(TEXT.replace("\n", "\r\n"), newline="")
    (root / "package" / "short.py").write_text("x = 1\n")
    (root / "package" / "latin.py").write_bytes(b"# caf\xe9\n" * 60)
    (root / "notes.txt").write_text(TEXT)
    return root


def test_files_of_a_folder_are_python_of_a_sensible_size_in_lf(tmp_path: Path) -> None:
    files = held_out_files(repository(tmp_path))
    assert [(file.source, file.path) for file in files] == [("owner/name", "package/shapes.py")]
    assert files[0].text == TEXT


def test_tasks_never_ask_for_indentation_or_nothing() -> None:
    file = Document(source="r", path="a.py", text=TEXT)
    tasks = sample_tasks([file], 300, seed=1)
    assert len(tasks) == 300
    for task in tasks:
        line_start = TEXT.rfind("\n", 0, task.offset) + 1
        assert TEXT[task.offset :].startswith(task.truth)
        assert task.truth == task.truth.rstrip() != ""
        assert "\n" not in task.truth
        indent = len(TEXT[line_start:]) - len(TEXT[line_start:].lstrip(" "))
        assert task.offset - line_start >= indent


def test_text_of_a_task_lacks_the_truth_and_nothing_else() -> None:
    task = Task(file=Document(source="r", path="a", text="ab cd\nef"), offset=1, truth="b cd")
    assert task.text == "a\nef"
    assert not Task(file=task.file, offset=3, truth="cd").is_mid_token
    assert task.is_mid_token


def test_same_seed_same_tasks_other_seed_others() -> None:
    files = [Document(source="r", path="a.py", text=TEXT)]
    assert sample_tasks(files, 20, seed=1) == sample_tasks(files, 20, seed=1)
    assert sample_tasks(files, 20, seed=1) != sample_tasks(files, 20, seed=2)


def test_no_files_no_tasks() -> None:
    assert sample_tasks([], 5, seed=0) == []
