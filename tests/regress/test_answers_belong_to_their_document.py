"""2026-11-29: documents of the same relative path in two workspace folders were taken for one.

Cause: what was kept of a document (suggestions, its index, its file for the remote's checks) was
kept by its path in its folder. The same held for two documents outside all folders, for the cells
of a notebook, and for names that differ only in bytes that are no UTF-8.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsprotocol import types

from assistant.errors import RemoteError
from assistant.generate.engine import Engine
from assistant.remote.payload import FilePolicy
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.settings import Settings
from lsp.document_paths import local_path
from lsp.documents import Workspace
from lsp.server import request_of
from tests.lsp.test_indexes import Bench, texts_found
from tests.repositories import commit_files, plain_git
from tests.rounds import count, shifted

N_STEPS = 600
PARTS = ("a.py", "pkg/a.py", "n.ipynb#W0", "n.ipynb#W1", "%E8.py", "%E9.py", "link/b.py")


class Desk:
    """A client's documents in two folders, and the engine that answers for them by index alone."""

    def __init__(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name / "real").mkdir(parents=True)
            (tmp_path / name / "link").symlink_to(tmp_path / name / "real")
        self.bench = Bench(tmp_path / "one", tmp_path / "two")
        self.bench.start()
        self.workspace = Workspace(self.bench.roots, on_change=self.bench.indexes.touched)
        self.engine = Engine(Settings(show="eager"), index=self.bench.indexes.index_of)
        self.texts: dict[str, str] = {}  # what the client has
        self.n_versions = 0

    def edit(self, uri: str, text: str) -> None:
        self.n_versions += 1
        if uri not in self.texts:
            item = types.TextDocumentItem(uri, "python", self.n_versions, text)
            self.workspace.put_text_document(item)
        else:
            self.workspace.update_text_document(
                types.VersionedTextDocumentIdentifier(version=self.n_versions, uri=uri),
                types.TextDocumentContentChangeWholeDocument(text),
            )
        self.texts[uri] = text

    def close(self, uri: str) -> None:
        self.workspace.remove_text_document(uri)
        self.texts.pop(uri, None)

    def request(self, uri: str) -> CompletionRequest:
        document = self.workspace.completable(uri)
        assert document is not None
        self.bench.indexes.sync(self.workspace.roots, self.workspace.opened)
        position = types.Position(line=10**6, character=0)
        snapshot = document.snapshot(position)
        return request_of(snapshot, self.workspace.roots, 60_000, n=2)

    def answer(self, uri: str) -> str:
        return self.engine.complete(self.request(uri))[0].text


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.bench.indexes.stop()


FILLER = "".join(f"name_{number} = {number}\n" for number in range(100))


def text_of(owner: int, version: int, ending: str) -> str:
    """Text that says whose it is far above the cursor, and of when it is just above it."""
    calls = f"a = owned({owner:02}, by=me)\nb = owned({owner:02}, by=me)\n"
    dated = f"c = dated({version:04}, on=it)\nd = dated({version:04}, on=it)\n"
    return f"{calls}{FILLER}{dated}\ne = {ending}("


@pytest.mark.parametrize("seed", range(3))
def test_each_answer_is_of_the_asking_document_and_version(desk: Desk, seed: int) -> None:
    dice = random.Random(shifted(seed))
    uris = [_cell(f"{root}/{part}") for root in desk.bench.roots for part in PARTS]
    uris += ["file:///else/where/x/y/a.py", "file:///some/where/x/y/a.py", "untitled:a.py"]
    n_answers = 0
    for step in range(N_STEPS):
        uri = dice.choice(uris)
        action = dice.random()
        if action < 0.3 or uri not in desk.texts:
            ending = dice.choice(("owned", "dated"))
            desk.edit(uri, text_of(uris.index(uri), step // 40, ending))
        elif action < 0.4:
            desk.close(uri)
        else:
            asked = desk.texts[uri].rpartition("\n")[2].removeprefix("e = ")
            assert desk.answer(uri) == desk.texts[uri].partition(asked)[2].partition("\n")[0]
            n_answers += 1
    assert n_answers > N_STEPS / 4
    count(n_answers)


@pytest.mark.parametrize("seed", range(3))
def test_other_documents_found_are_of_the_same_folder(desk: Desk, seed: int) -> None:
    dice = random.Random(shifted(seed))
    homes = {root: [_cell(f"{root}/{part}") for part in PARTS] for root in desk.bench.roots}
    for step in range(200):
        root = dice.choice(desk.bench.roots)
        desk.edit(dice.choice(homes[root]), f"text = {step} of {root[-3:]}")
        if dice.random() < 0.2:
            desk.close(dice.choice(homes[root]))
        if not (opened := [uri for uri in homes[root] if uri in desk.texts]):
            continue
        request = desk.request(asking := dice.choice(opened))
        index = desk.bench.indexes.index_of(request.document)
        assert index is not None
        levels = index.levels(b"text = ", path=request.path, document=request.document)
        found = {item.following.decode() for level in levels for item in level.occurrences}
        assert found == {desk.texts[uri].removeprefix("text = ") for uri in opened if uri != asking}


def test_an_ignored_file_is_not_taken_for_its_namesake(desk: Desk) -> None:
    policy = FilePolicy(settings=RemoteSettings(), locate=local_path)
    one, two = desk.bench.roots
    for root, ignored in ((one, ""), (two, "a.py\n")):
        folder = local_path(root)
        assert folder is not None
        plain_git(folder, "init", "-q")
        commit_files(folder, {".gitignore": ignored, "a.py": "x = 1\n"})
        desk.edit(f"{root}/a.py", "x = 1\n")
    policy.check(desk.request(f"{one}/a.py"))
    with pytest.raises(RemoteError, match="git ignores"):
        policy.check(desk.request(f"{two}/a.py"))
    policy.check(desk.request(f"{one}/a.py"))


def test_cells_see_each_other_and_the_repository_s_documents(desk: Desk) -> None:
    root = desk.bench.roots[0]
    first, second = _cell(f"{root}/n.ipynb#W0"), _cell(f"{root}/n.ipynb#W1")
    desk.edit(first, "text = first")
    desk.edit(second, "text = second")
    desk.edit(f"{root}/real/c.py", "text = file")
    request = desk.request(first)
    assert request.path == "n.ipynb"
    index = desk.bench.indexes.index_of(request.document)
    assert index is not None
    levels = index.levels(b"text = ", path=request.path, document=request.document)
    assert {item.following for level in levels for item in level.occurrences} == {
        b"second",
        b"file",
    }


def test_a_document_moves_with_its_folder(desk: Desk) -> None:
    root, other = desk.bench.roots
    desk.edit(f"{other}/a.py", "text = 2")
    desk.edit("untitled:x.py", "")
    desk.workspace.remove_folder(other)
    desk.bench.indexes.set_roots([root])
    desk.request("untitled:x.py")
    assert texts_found(desk.bench.indexes.index_of("untitled:x.py")) == {b"2"}
    desk.workspace.add_folder(types.WorkspaceFolder(other, "two"))
    desk.bench.indexes.set_roots([root, other])
    desk.bench.wait()
    desk.request("untitled:x.py")
    assert texts_found(desk.bench.indexes.index_of("untitled:x.py")) == set()


def _cell(uri: str) -> str:
    return uri.replace("file://", "vscode-notebook-cell:") if ".ipynb#" in uri else uri
