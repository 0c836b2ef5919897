"""2026-12-01: a path that begins with `..` was looked for in the folder that one typed it in.

`foretype eval ../notes` replayed the repository around the working directory, and `complete` took
lines of that repository's index into a file beside it: the parents of `/code/here/../notes` are,
by their letters, `/code/here/..`, `/code/here` and so on.
"""

from pathlib import Path

import pytest

from assistant.cli import index as index_command
from assistant.doctor import storage
from assistant.index.folder_index import find_index, find_indexed_root
from assistant.index.writer import index_folder
from assistant.settings import Settings
from model.files import from_root
from tests.repositories import new_repository
from training.data.sources import open_source
from training.evaluation.replay import cli as eval_command


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a repository with an index; a folder without git is beside it."""
    root = new_repository(tmp_path / "here", {"src/a.py": "x = 1\n"})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "b.py").write_text("y = 2\n", encoding="utf-8")
    monkeypatch.chdir(root)
    assert index_command.main(["build"]) == 0
    return root


def test_a_folder_beside_a_repository_is_not_in_it(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_indexed_root(Path("../notes")) is None
    assert find_index(Path("../notes/b.py")) is None
    assert storage.index(Settings(), Path("../notes")).found.startswith(
        f"{tmp_path / 'notes'} is in no git repository"
    )
    assert find_index(Path("../here/src/a.py")) is not None
    assert index_command.main(["build", "../notes"]) == 0
    assert f"{tmp_path / 'notes'}: complete" in capsys.readouterr().out
    assert index_folder(tmp_path / "notes").exists()


def test_only_the_repository_that_is_named_is_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eval_command.main(["../notes"]) == 1
    assert f"{tmp_path / 'notes'} is not a git repository" in capsys.readouterr().err


def test_the_folder_above_has_its_own_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "src")
    assert open_source(Path("..")).name == "here"


def test_links_before_dots_are_followed_and_others_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    assert from_root(tmp_path / "link" / ".." / "x") == tmp_path / "deep" / "x"
    assert from_root(tmp_path / "link" / "x") == tmp_path / "link" / "x"
    assert from_root(Path("a.py")) == Path.cwd() / "a.py"
