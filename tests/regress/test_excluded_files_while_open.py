"""2026-11-29: an excluded or secret-named file's text was offered elsewhere while it was open.

Cause: exclusion was checked where files on disk are read and where a document itself is completed,
not where the text of open documents is handed over.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.settings import Settings
from tests.lsp.test_indexes import Bench, texts_found, uri


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "w").mkdir()
    bench = Bench(tmp_path / "w")
    bench.start(Settings(exclude=("private/*",)))
    yield bench
    bench.indexes.stop()


@pytest.mark.parametrize("name", ["credentials.py", "private/notes.py", "sub/private/notes.py"])
def test_nothing_of_a_secret_document_is_found_in_another(bench: Bench, name: str) -> None:
    root = bench.roots[0]
    bench.edit(f"{root}/{name}", "text = secret")
    bench.edit(f"{root}/public.py", "text = public")
    assert texts_found(bench.ask(f"{root}/app.py")) == {b"public"}


def test_nothing_of_a_secret_document_in_no_folder_is_found(bench: Bench) -> None:
    bench.edit("file:///elsewhere/credentials.py", "text = secret")
    bench.edit("file:///elsewhere/public.py", "text = public")
    assert texts_found(bench.ask("file:///elsewhere/app.py")) == {b"public"}


def test_a_file_excluded_while_it_is_open_is_found_no_more(bench: Bench) -> None:
    root = bench.roots[0]
    bench.edit(f"{root}/notes.py", "text = secret")
    assert texts_found(bench.ask(f"{root}/app.py")) == {b"secret"}
    bench.indexes.configure(Settings(exclude=("notes.*",)), bench.roots)
    assert texts_found(bench.ask(f"{root}/app.py")) == set()
    bench.indexes.configure(Settings(), bench.roots)
    assert texts_found(bench.ask(f"{root}/app.py")) == {b"secret"}


def test_a_secret_root_hides_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    bench = Bench(tmp_path / ".ssh")
    bench.start()
    bench.edit(uri(tmp_path / ".ssh" / "notes.py"), "text = secret")
    assert texts_found(bench.ask(uri(tmp_path / ".ssh" / "app.py"))) == set()
    bench.indexes.stop()
