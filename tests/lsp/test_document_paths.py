"""URIs lead to files and to their places in workspace folders."""

import ntpath
import os
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from lsp.document_paths import local_path, place_in, uri_key


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///w/src/a%20b.py", "/w/src/a b.py"),
        ("file://localhost/w/a.py", "/w/a.py"),
        ("file:/w/a.py", "/w/a.py"),
        ("file:///w/%E9.py", "/w/\udce9.py"),
        ("vscode-notebook-cell:/w/n.ipynb#W0", "/w/n.ipynb"),
    ],
)
def test_a_uri_leads_to_its_file(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)


@pytest.mark.parametrize(
    "uri",
    ["untitled:Untitled-1", "vscode-remote://ssh/w/a.py", "file://server/share/a.py", "a.py", "",
     "file://[bad/a.py", "vscode-notebook-cell://host/w/n.ipynb#W0", "git:/w/a.py",
     "file:///w/a%00.py", "file:///w/\ud800.py"],
)  # fmt: skip
def test_what_is_no_file_here_has_no_place(uri: str) -> None:
    assert local_path(uri) is None


@pytest.mark.parametrize("uri", ["file:///w/b%00", "file:///w/\ud800", "file:///" + "a" * 9999])
def test_a_name_that_no_file_has_costs_the_others_nothing(uri: str) -> None:
    """2026-11-30: one such workspace folder was an error for each request of all folders."""
    assert place_in("file:///w/a.py", [uri, "file:///w"]) == ("file:///w", "a.py")
    assert place_in(uri, ["file:///r"])[0] == ""


def test_names_are_told_apart_by_their_bytes() -> None:
    assert uri_key("file:///w/%E9.py") != uri_key("file:///w/%E8.py")
    assert uri_key("file:///w/%61.py") == uri_key("file:///w/a.py")


def test_a_folder_on_another_machine_holds_no_file_of_this_one() -> None:
    assert place_in("file:///w/a.py", ["vscode-remote://ssh/w"])[0] == ""
    assert place_in("vscode-remote://ssh/w/a.py", ["file:///w"])[0] == ""


@pytest.mark.parametrize("is_root_the_link", [True, False])
def test_a_file_is_in_a_folder_by_way_of_links(tmp_path: Path, is_root_the_link: bool) -> None:
    (tmp_path / "repo" / "src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "repo")
    names = ("link", "repo") if is_root_the_link else ("repo", "link")
    root, document = ((tmp_path / name).as_uri() for name in names)
    assert place_in(f"{document}/src/a.py", [root]) == (root, "src/a.py")


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths as Windows has them; a drive's letter is in truth a large one."""

    def realpath(path: str) -> str:
        drive, rest = ntpath.splitdrive(ntpath.normpath(path))
        return drive.upper() + rest if drive.endswith(":") else drive + rest

    double = SimpleNamespace(
        name="nt", fsencode=os.fsencode, sep="\\", path=SimpleNamespace(realpath=realpath)
    )
    monkeypatch.setattr("lsp.document_paths.os", double)
    monkeypatch.setattr("lsp.document_paths.Path", PureWindowsPath)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///c%3A/w/a%20b.py", r"c:\w\a b.py"),
        ("file:///C:/w/a.py", r"C:\w\a.py"),
        ("file://server/share/a.py", r"\\server\share\a.py"),
        ("file://wsl.localhost/Debian/home/u/a.py", r"\\wsl.localhost\Debian\home\u\a.py"),
        ("vscode-notebook-cell:/c%3A/w/n.ipynb#W0", r"c:\w\n.ipynb"),
    ],
)
@pytest.mark.usefixtures("on_windows")
def test_a_uri_leads_to_its_file_on_windows(uri: str, path: str) -> None:
    assert local_path(uri) == PureWindowsPath(path)


@pytest.mark.parametrize(
    ("root", "document"),
    [
        ("file:///C:/w", "file:///c%3A/w/src/a.py"),
        ("file:///c%3A/w", "file:///C:/w/src/a.py"),
        ("file://server/share/w", "file://server/share/w/src/a.py"),
    ],
)
@pytest.mark.usefixtures("on_windows")
def test_a_file_is_in_a_folder_on_windows(root: str, document: str) -> None:
    assert place_in(document, [root]) == (root, "src/a.py")
