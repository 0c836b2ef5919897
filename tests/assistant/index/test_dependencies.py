"""The lower layer holds installed packages that the repository imports, and runs nothing."""

import os
from collections import Counter
from pathlib import Path

import pytest

from assistant.index import builder
from assistant.index.builder import (
    BuildLimits,
    count_imports,
    find_site_packages,
    refresh,
    refresh_dependencies,
    select_dependencies,
)
from assistant.index.folder_index import FolderIndex
from tests.repositories import new_repository


def install(root: Path, files: dict[str, str], environment: str = ".venv") -> Path:
    packages = root / environment / "lib" / "python3.12" / "site-packages"
    for name, text in files.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    (root / environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return packages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "a.py": "import tool\nfrom shape.box import Box\n",
        "b.py": "import tool, os\n",
        ".gitignore": ".venv/\n",
    }
    return new_repository(tmp_path / "r", files)


def layer_of(index: Path, layer: str) -> set[str]:
    return set(FolderIndex(index).view.entries(layer))


def test_imported_packages_are_found_beneath_the_repository(root: Path, tmp_path: Path) -> None:
    install(
        root,
        {
            "tool.py": "def measure(width):\n    return width\n",
            "shape/__init__.py": "",
            "shape/box.py": "class Box: ...\n",
            "shape/tests/test_box.py": "x = 1\n",
            "shape-stubs/box.pyi": "class Box: ...\n",
            "unused/__init__.py": "y = 2\n",
        },
    )
    index = tmp_path / "index"
    refresh(root, index)
    refresh_dependencies(root, index, BuildLimits(), is_wanted=True)
    assert layer_of(index, "deps") == {
        "tool.py", "shape/__init__.py", "shape/box.py", "shape-stubs/box.pyi",
    }  # fmt: skip
    (level, *_) = FolderIndex(index).levels(b"def measure(", path="a.py")
    assert [(item.following, item.layer) for item in level.occurrences] == [
        (b"width):\n    return width\n", "deps")
    ]  # fmt: skip
    refresh_dependencies(root, index, BuildLimits(), is_wanted=False)
    assert layer_of(index, "deps") == set()
    assert layer_of(index, "repo") == {"a.py", "b.py"}


def test_a_refresh_of_the_repository_leaves_the_layer_alone(root: Path, tmp_path: Path) -> None:
    install(root, {"tool.py": "x = 1\n"})
    index = tmp_path / "index"
    refresh(root, index)
    refresh_dependencies(root, index, BuildLimits(), is_wanted=True)
    (root / "a.py").write_text("import tool\n")
    refresh(root, index)
    assert layer_of(index, "deps") == {"tool.py"}


def test_without_an_environment_there_is_no_layer(root: Path, tmp_path: Path) -> None:
    (root / ".venv").mkdir()
    assert find_site_packages(root) is None
    refresh(root, tmp_path / "index")
    refresh_dependencies(root, tmp_path / "index", BuildLimits(), is_wanted=True)
    assert layer_of(tmp_path / "index", "deps") == set()


def test_a_windows_environment_is_found(root: Path) -> None:
    packages = root / "venv" / "Lib" / "site-packages"
    packages.mkdir(parents=True)
    (root / "venv" / "pyvenv.cfg").write_text("")
    assert find_site_packages(root) == packages


def test_nothing_in_the_environment_is_run(root: Path, tmp_path: Path) -> None:
    packages = install(root, {"tool.py": "open('ran', 'w')\n"})
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    python.chmod(0o755)
    (packages / "evil.pth").write_text("import os; os.mkdir('ran')\n")
    refresh(root, tmp_path / "index")
    refresh_dependencies(root, tmp_path / "index", BuildLimits(), is_wanted=True)
    assert not list(tmp_path.rglob("ran"))


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    packages = install(root, {"other.py": "x = 1\n"})
    (tmp_path / "secret.py").write_text("y = 2\n")
    (packages / "tool.py").symlink_to(tmp_path / "secret.py")
    assert select_dependencies(packages, Counter(tool=1)) == {}


def test_the_most_imported_come_first_and_size_is_bounded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = install(root, {"rare.py": "x" * 50, "often.py": "y" * 50, "huge.py": "z" * 600_000})
    monkeypatch.setattr(builder, "MAX_DEPENDENCY_BYTES", 60)
    names = Counter(rare=1, often=9, huge=99, missing=5)
    assert list(select_dependencies(packages, names)) == ["often.py"]


def test_imports_are_counted_by_file(root: Path, tmp_path: Path) -> None:
    refresh(root, tmp_path / "index")
    assert count_imports(FolderIndex(tmp_path / "index").view) == {"tool": 2, "shape": 1}


def test_only_files_of_the_repository_count_as_importing(root: Path, tmp_path: Path) -> None:
    install(root, {"tool.py": "import shape\n", "shape.py": "import tool\n"})
    (root / "notes.md").write_text("import shape\n")
    index = tmp_path / "index"
    refresh(root, index)
    refresh_dependencies(root, index, BuildLimits(), is_wanted=True)
    assert layer_of(index, "deps") == {"tool.py", "shape.py"}
    assert count_imports(FolderIndex(index).view) == {"tool": 2, "shape": 1}


def test_what_is_known_of_one_layer_stays_known_when_the_other_is_read(
    root: Path, tmp_path: Path
) -> None:
    packages = install(root, {"tool.py": "x = 1\n", "shape.py": "y = 1\n"})
    index = tmp_path / "index"
    for path in (root / "a.py", root / "b.py", packages / "tool.py", packages / "shape.py"):
        os.utime(path, (10**9, 10**9))
    refresh(root, index)
    refresh_dependencies(root, index, BuildLimits(), is_wanted=True)
    for path in (root / "a.py", packages / "tool.py", packages / "shape.py"):
        os.utime(path, (10**9 + 9, 10**9 + 9))
    refresh(root, index)
    refresh_dependencies(root, index, BuildLimits(), is_wanted=True)
    assert refresh(root, index).n_read == 0
    seen = set(FolderIndex(index).view.manifest.seen)
    assert seen == {"repo/a.py", "deps/tool.py", "deps/shape.py"}


def test_sixteen_megabytes_of_files_that_are_not_too_large_are_taken(root: Path) -> None:
    packages = install(root, {"big/__init__.py": "", "big/a.py": "", "big/b.py": ""})
    os.truncate(packages / "big" / "a.py", (1 << 19) + 1)
    os.truncate(packages / "big" / "b.py", 1 << 19)
    assert list(select_dependencies(packages, Counter(big=1))) == ["big/__init__.py", "big/b.py"]
    for n in range(33):
        (packages / f"p{n:02}.py").touch()
        os.truncate(packages / f"p{n:02}.py", (1 << 19) - 1)
    chosen = select_dependencies(packages, Counter({f"p{n:02}": 1 for n in range(33)}))
    assert len(chosen) == 32


def test_an_environment_behind_one_that_is_none_is_found_and_no_linked_one(root: Path) -> None:
    (root / ".venv").mkdir()
    packages = install(root, {"tool.py": "x = 1\n"}, "venv")
    assert find_site_packages(root) == packages
    packages.rename(root / "elsewhere")
    packages.symlink_to(root / "elsewhere")
    assert find_site_packages(root) is None
