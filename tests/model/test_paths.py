"""Each system's folders; asking makes none of them, and what people have stays found."""

import stat
from pathlib import Path, PureWindowsPath

import platformdirs.macos
import platformdirs.windows
import pytest

from model import paths
from model.paths import cache_folder, claim, config_folder, data_folder, state_folder


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with none of the variables that name other places."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.delenv(f"XDG_{kind}_HOME", raising=False)
    monkeypatch.delenv("FORETYPE_CACHE", raising=False)
    return tmp_path


def folders(home: Path) -> list[str]:
    found = (config_folder(), cache_folder(), data_folder(), state_folder())
    return [path.relative_to(home).as_posix() for path in found]


LINUX = [
    ".config/foretype", ".cache/foretype", ".local/share/foretype", ".local/state/foretype",
]  # fmt: skip


def test_folders_on_linux(bare_home: Path) -> None:
    assert folders(bare_home) == LINUX
    assert [*bare_home.iterdir()] == []


def test_folders_that_variables_name(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", "relative")  # which the rule says to ignore
    assert folders(bare_home) == LINUX
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(bare_home / kind))
    names = ["CONFIG/foretype", "CACHE/foretype", "DATA/foretype", "STATE/foretype"]
    assert folders(bare_home) == names
    monkeypatch.setenv("FORETYPE_CACHE", str(bare_home / "mine"))
    assert cache_folder() == bare_home / "mine"


def test_folders_on_macos(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PlatformDirs", platformdirs.macos.MacOS)
    support = "Library/Application Support/foretype"
    assert folders(bare_home) == [support, "Library/Caches/foretype", support, support]
    assert [*bare_home.iterdir()] == []


def test_folders_on_windows(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = r"C:\Users\ada\AppData\Local"
    monkeypatch.setattr(paths, "PlatformDirs", platformdirs.windows.Windows)
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", local)
    for folder in (config_folder(), data_folder(), state_folder()):
        assert PureWindowsPath(folder) == PureWindowsPath(local, "foretype")
    assert str(cache_folder()).endswith(str(Path(local, "foretype", "Cache")))
    assert [*bare_home.iterdir()] == []


def test_what_lies_where_it_was_before_stays_found(
    bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PlatformDirs", platformdirs.macos.MacOS)
    (bare_home / ".config" / "foretype").mkdir(parents=True)
    assert config_folder() == bare_home / ".config" / "foretype"
    assert data_folder() == bare_home / "Library" / "Application Support" / "foretype"


def test_a_folder_of_ours_is_made_private_and_marked(tmp_path: Path) -> None:
    folder = claim(tmp_path / "cache" / "index")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert (folder / paths.MARKER).is_file()
    folder.chmod(0o755)
    (folder / "other").touch()
    assert stat.S_IMODE(claim(folder).stat().st_mode) == 0o700


def test_a_folder_with_other_things_is_not_taken(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(OSError, match="holds other things"):
        claim(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
