"""2026-11-30: a file was excluded by one of its names, or from one moment on, only.

Opened through a link, an excluded or secret file was completed and offered elsewhere, and one that
`deny` names was sent; a pattern that begins with the workspace folder's own name kept files out of
the index and nothing else; and what an index still had of a file that was excluded since was
offered until the next refresh, by `foretype complete`, which refreshes nothing, for ever.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsprotocol import types

from assistant.cli import complete
from assistant.errors import RemoteError
from assistant.index.builder import build_from_texts, refresh
from assistant.index.folder_index import FolderIndex
from assistant.index.updater import IndexUpdater
from assistant.index.writer import index_folder
from assistant.privacy.exclusion import why_refused
from assistant.remote.payload import FilePolicy
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from lsp.documents import Document
from lsp.server import request_of
from tests.lsp.test_indexes import Bench, texts_found

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links")

EXCLUDE = ("private/",)
LINKS = {"open.py": "private/notes.py", "folder": "private", "env.py": ".env"}
NAMES = ["open.py", "folder/notes.py", "env.py"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "w"
    (root / "private").mkdir(parents=True)
    (root / "private" / "notes.py").write_text("text = secret\n")
    (root / ".env").write_text("text = secret\n")
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    return root


@pytest.fixture
def bench(root: Path) -> Iterator[Bench]:
    bench = Bench(root)
    bench.start(Settings(exclude=EXCLUDE))
    yield bench
    bench.indexes.stop()


def request(root: Path, name: str) -> CompletionRequest:
    snapshot = Document((root / name).as_uri(), "text = ", 1, "python").snapshot(
        types.Position(0, 7)
    )
    return request_of(snapshot, [root.as_uri()], 600)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_suggested_in_what_a_link_leads_to(root: Path, name: str) -> None:
    assert why_refused(request(root, name), Settings(exclude=EXCLUDE)) == "excluded file"
    asked = CompletionRequest(path=name, text="", offset=0, names=complete.names_at(root / name))
    assert why_refused(asked, Settings(exclude=EXCLUDE)) == "excluded file"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_what_a_link_leads_to_is_found_elsewhere(bench: Bench, name: str) -> None:
    bench.edit(f"{bench.roots[0]}/{name}", "text = secret")
    bench.edit(f"{bench.roots[0]}/public.py", "text = public")
    assert texts_found(bench.ask(f"{bench.roots[0]}/app.py")) == {b"public"}


@pytest.mark.parametrize("name", ["open.py", "folder/notes.py"])
def test_what_a_link_to_a_denied_file_leads_to_stays(root: Path, name: str) -> None:
    settings = RemoteSettings(mode="race", provider="llamacpp", deny=EXCLUDE)
    policy = FilePolicy(settings=settings, locate=lambda _: root / name)
    with pytest.raises(RemoteError, match="the file is excluded"):
        policy.check(request(root, name))


@pytest.mark.parametrize(("pattern", "is_out"), [("w/private/", True), ("w/public/", False)])
def test_a_pattern_may_begin_with_the_folder_s_name(root: Path, pattern: str, is_out: bool) -> None:
    reason = why_refused(request(root, "private/notes.py"), Settings(exclude=(pattern,)))
    assert reason == ("excluded file" if is_out else None)


def test_a_folder_of_that_name_around_the_workspace_excludes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "private" / "w"
    root.mkdir(parents=True)
    assert why_refused(request(root, "notes.py"), Settings(exclude=EXCLUDE)) is None


@pytest.fixture
def indexed(root: Path) -> Path:
    (root / "public.py").write_text("text = public\n")
    refresh(root, index_folder(root))
    return root


def test_what_an_index_has_of_an_excluded_file_is_not_found(indexed: Path) -> None:
    updater = IndexUpdater(indexed, Settings())
    assert texts_found(updater.index) == {b"public\n", b"secret\n"}
    updater.use(Settings(exclude=EXCLUDE))  # no refresh
    assert texts_found(updater.index) == {b"public\n"}
    started = IndexUpdater(indexed, Settings(exclude=EXCLUDE))
    assert texts_found(started.index) == {b"public\n"}


def test_the_command_finds_nothing_of_an_excluded_file(indexed: Path) -> None:
    found = []

    def engine_for(settings: Settings, file: Path, index: FolderIndex | None) -> object:
        found.append(texts_found(index))
        raise RuntimeError  # no suggestion is needed

    for exclude in ((), EXCLUDE):
        with pytest.raises(RuntimeError):
            asked = CompletionRequest(path=str(indexed / "new.py"), text="", offset=0)
            complete._complete(Settings(exclude=exclude), asked, engine_for)  # type: ignore[arg-type]
    assert found == [{b"public\n", b"secret\n"}, {b"public\n"}]


def test_no_snippet_is_left_of_an_excluded_file(tmp_path: Path) -> None:
    store = "class ParcelStore:\n    def put_parcel(self, parcel, shelf):\n        return parcel\n"
    text = (
        "from shop.store import ParcelStore\n\n\ndef fill(root):\n    store = ParcelStore(root)\n"
    )
    build_from_texts(tmp_path / "index", [("shop/store.py", store)])
    index, cache = FolderIndex(tmp_path / "index"), SnippetCache(is_waiting=True)
    asked = CompletionRequest(path="shop/main.py", text=text, offset=len(text))
    assert cache.snippets_for(index, asked, budget_chars=400) != []
    index.exclude = ("store.py",)
    assert cache.snippets_for(index, asked, budget_chars=400) == []
