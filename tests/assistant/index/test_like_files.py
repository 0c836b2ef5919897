"""Which files of a folder an edit is tried on."""

from pathlib import Path

import pytest

from assistant.edits.history import Edit
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex, files_like

LINE = "total = load(account_id)"
EDIT = Edit(path="a.py", row=0, old=(LINE,), new=("total = load(owner_id)",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "r"
    folder.mkdir()
    return folder


def index_of(root: Path, texts: dict[str, str]) -> FolderIndex:
    build_from_texts(root.parent / "index", texts.items())
    return FolderIndex(root.parent / "index")


def test_files_with_the_line_or_the_word_are_read_as_they_are_now(root: Path) -> None:
    index = index_of(root, {"line.py": f"{LINE}\n", "word.py": "x(account_id)\n", "no.py": "y\n"})
    (root / "line.py").write_text(f"# since\n{LINE}\n")
    (root / "word.py").write_text("x(account_id)\n")
    assert dict(files_like(index, root, EDIT, ())) == {
        "line.py": f"# since\n{LINE}\n",
        "word.py": "x(account_id)\n",
    }


def test_excluded_and_open_files_links_and_what_is_gone_are_left_out(root: Path) -> None:
    names = ["out/a.py", ".env", "open.py", "link.py", "gone.py", "latin.py"]
    index = index_of(root, dict.fromkeys(names, f"{LINE}\n"))
    (root / "out").mkdir()
    for name in names[:3]:
        (root / name).write_text(f"{LINE}\n")
    (root.parent / "outside.py").write_text(f"{LINE}\n")
    (root / "link.py").symlink_to(root.parent / "outside.py")
    (root / "latin.py").write_bytes(f"{LINE} # \xe9\n".encode("latin-1"))
    index.set_open("open.py", f"{LINE}\n")
    assert list(files_like(index, root, EDIT, ("out/",))) == []


def test_a_file_that_is_gone_costs_no_other(root: Path) -> None:
    index = index_of(root, dict.fromkeys(["a.py", "m.py", "z.py"], f"{LINE}\n"))
    (root / "m.py").write_text(f"{LINE}\n")
    assert dict(files_like(index, root, EDIT, ())) == {"m.py": f"{LINE}\n"}


def test_words_of_four_characters_are_looked_for(root: Path) -> None:
    index = index_of(root, {"four.py": "x(abcd)\n", "three.py": "x(abc)\n"})
    for name, text in (("four.py", "x(abcd)\n"), ("three.py", "x(abc)\n")):
        (root / name).write_text(text)
    for old, found in (("abcd", ["four.py"]), ("abc", [])):
        edit = Edit(path="a.py", row=0, old=(f"y = {old} + 1",), new=("y = other + 1",))
        assert [path for path, _ in files_like(index, root, edit, ())] == found


def test_twenty_files_of_at_most_a_million_bytes_are_read(root: Path) -> None:
    names = [f"{n:02}.py" for n in range(23)]
    index = index_of(root, dict.fromkeys(names, f"{LINE}\n"))
    for name in names:
        (root / name).write_text(f"{LINE}\n")
    (root / names[22]).write_text("x" * 1_000_000)
    (root / names[21]).write_text("x" * 1_000_001)
    found = [path for path, _ in files_like(index, root, EDIT, ())]
    assert len(found) == 19 and "22.py" in found and "21.py" not in found
