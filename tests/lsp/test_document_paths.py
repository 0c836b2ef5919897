"""Documents' short paths lead back to their files."""

from pathlib import Path

import pytest

from lsp.document_paths import MAX_PLACES, DocumentPaths


def test_a_document_is_found_by_its_short_path() -> None:
    places = DocumentPaths()
    places.note("src/a b.py", "file:///w/src/a%20b.py")
    assert places.locate("src/a b.py") == Path("/w/src/a b.py")
    assert places.locate("src/other.py") is None


@pytest.mark.parametrize(
    "uri",
    ["untitled:Untitled-1", "vscode-remote://ssh/w/a.py", "file://server/share/a.py", "a.py", "",
     "file://[bad/a.py"],
)  # fmt: skip
def test_what_is_no_file_here_has_no_place(uri: str) -> None:
    places = DocumentPaths()
    places.note("a.py", uri)
    assert places.locate("a.py") is None


def test_only_the_last_documents_are_known() -> None:
    places = DocumentPaths()
    for n in range(MAX_PLACES + 1):
        places.note(f"{n}.py", f"file:///w/{n}.py")
    assert places.locate("0.py") is None
    assert places.locate("1.py") == Path("/w/1.py")
