"""The user's own models: folders, a list of them, and which one is served in which repository.

One file, `registry.json`, says all of it. Writers hold a lock; what they do is in force with one
rename, so that a process killed at any moment leaves a model listed and whole, or not there. What
it leaves besides is cleared away by the next writer. Everything is the owner's alone: the weights
hold parts of private code. Knows folders and names, not how a model is run.
"""

import contextlib
import dataclasses
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from assistant.models.registry_file import (
    BASE,
    FILE_NAME,
    ModelEntry,
    ModelsError,
    RegistryFile,
    check_name,
    read_registry,
    repository_id,
    repository_root,
    slug,
    write_registry,
)
from model.files import stamp_of
from model.folder import ModelFolderError, bundled_folders
from model.foreign import GgufModel, load_model
from model.gguf_export import MatrixType, export_gguf
from model.onnx_cache import delete_graphs
from model.paths import data_folder, find_exposure
from model.publish import delete, publish_folder, sync_folder

__all__ = [
    "BASE", "ModelEntry", "ModelsError", "Registry", "models_folder", "repository_id",
    "repository_root",
]  # fmt: skip

LOCK_NAME = "lock"
WAIT_S = 30.0  # for another writer, who may be copying a model from another disk


def check_folder(folder: Path) -> None:
    """Raise ModelsError if others can decide what is in `folder`; it need not be there."""
    try:
        is_link, is_file = folder.is_symlink(), folder.is_file()
    except OSError as error:
        raise ModelsError(f"cannot look at {folder}: {error.strerror or error}") from error
    if is_link:
        raise ModelsError(f"{folder} is a symbolic link; put the folder itself there")
    if is_file:
        raise ModelsError(f"{folder} is not a folder; move it away")
    check_file(folder)


def check_file(path: Path) -> None:
    """Raise ModelsError if others can change a file; it need not be there."""
    if exposure := find_exposure(path):
        raise ModelsError(f"{exposure}; remove it, or run: chmod go-rwx {path}")


def _make(folder: Path) -> None:
    """Make `folder` if needed, the owner's alone; ModelsError if it is not what it should be."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if os.name != "nt" and not folder.is_symlink() and folder.lstat().st_uid == os.getuid():
        folder.chmod(0o700)
    check_folder(folder)


def _copy(source: Path, target: Path) -> None:
    """Copy a model folder's files to `target`, the owner's alone; it is whole or not there."""
    with publish_folder(target, replace=False) as aside:
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.is_symlink():
                (aside / path.name).touch(mode=0o600)
                shutil.copyfile(path, aside / path.name)


def open_to_others(folder: Path) -> Iterator[Path]:
    """Yield what in `folder`, itself included, others may read or change."""
    if os.name == "nt" or not folder.is_dir():
        return
    for path in (folder, *sorted(folder.rglob("*"))):
        if not path.is_symlink() and path.lstat().st_mode & 0o077:
            yield path


def models_folder() -> Path:
    """Return where models are kept; it need not exist."""
    return data_folder() / "models"


class Registry:
    """Reads and changes the list; each question reads the file anew."""

    def __init__(self, folder: Path | None = None, *, wait_s: float = WAIT_S) -> None:
        """Look in `folder` (default: this user's), which is made when something is written."""
        self.folder = folder or models_folder()
        self._wait_s = wait_s

    @property
    def file(self) -> Path:
        """The file that changes whenever anything does."""
        return self.folder / FILE_NAME

    def stamp(self) -> tuple[int, int, int] | None:
        """Return what is different after each change; None if there is nothing yet."""
        return stamp_of(self.file)

    # --- reading

    def book(self) -> RegistryFile:
        """Return all that is known; ModelsError if it cannot be read or trusted."""
        check_folder(self.folder)
        check_file(self.file)
        return read_registry(self.folder)

    def entries(self) -> list[ModelEntry]:
        """Return the models, the oldest first."""
        return list(self.book().models.values())

    def find_folder(self, repository: str) -> Path | None:
        """Return the model folder to serve for documents of a repository; None: the base.

        ModelsError if others can change what is in it.
        """
        entry = self.book().serving(repository)
        return self.check_place(entry.name) if entry is not None else None

    def place(self, name: str) -> Path:
        """Return the folder of a model."""
        check_name(name)
        return self.folder / name

    def check_place(self, name: str) -> Path:
        """Return the folder of a model; ModelsError if others can change it, or it is gone."""
        check_folder(self.place(name))
        if not self.place(name).is_dir():
            raise ModelsError(f"the folder of {name} is gone; `foretype models remove` it")
        return self.place(name)

    def new_name(self, root: Path, day: str) -> str:
        """Return a free name for a model of the repository at `root`, made on `day` (YYYYMMDD)."""
        return self.free_name(f"{slug(root.absolute().name)}-{day}-1")

    def free_name(self, wanted: str) -> str:
        """Return `wanted`, or with the first number that makes it free."""
        known, stem, number = self.book().models, wanted.removesuffix("-1"), 1
        while wanted in known or (self.folder / wanted).exists():
            number += 1
            wanted = f"{stem}-{number}"
        return wanted

    # --- changing

    def add(self, folder: Path, entry: ModelEntry) -> ModelEntry:
        """Move the finished model folder in and list it; a link or a damaged one is refused.

        The same model of the same repository is listed once: adding it again, as after a crash,
        returns what is listed, whether or not its folder is still at `folder`.
        """
        with self._writing() as book:
            for known in book.models.values():
                same = (known.content_hash, known.repository)
                if same == (entry.content_hash, entry.repository):
                    return known
            if os.path.lexists(self.folder / entry.name):
                raise ModelsError(f"there is a model {entry.name} already; take another name")
            _check_arrival(folder, entry)
            arriving = dataclasses.replace(book, arriving={entry.name: entry})
            write_registry(self.folder, arriving)
            self._take_in(folder, entry.name)
            write_registry(self.folder, _list_arrived(arriving, {entry.name}))
        return entry

    def use(self, name: str, repository: str) -> None:
        """Serve a model for documents of a repository; "base" returns to the base."""
        with self._writing() as book:
            if name != BASE:
                entry = _find_entry(book, name)
                if not entry.serves(repository):
                    raise ModelsError(
                        f"{name} was tuned on another repository ({entry.root}); what it knows of"
                        " that code must not be suggested here"
                    )
                self.check_place(name)
            choice = book.choice(repository)
            wanted = "" if name == BASE else name
            if choice.history[-1:] != (wanted,):
                choice = dataclasses.replace(choice, history=(*choice.history, wanted))
                write_registry(self.folder, book.with_choice(repository, choice))

    def pin(self, repository: str, *, is_pinned: bool = True) -> None:
        """Keep what is served in a repository whatever `foretype tune` finds, or no longer."""
        with self._writing() as book:
            choice = dataclasses.replace(book.choice(repository), is_pinned=is_pinned)
            write_registry(self.folder, book.with_choice(repository, choice))

    def roll_back(self, repository: str) -> ModelEntry | None:
        """Take the last choice back, and return what serves now; None: the base."""
        with self._writing() as book:
            choice = book.choice(repository)
            if not choice.history:
                raise ModelsError("there is no earlier choice to go back to")
            choice = dataclasses.replace(choice, history=choice.history[:-1])
            book = book.with_choice(repository, choice)
            write_registry(self.folder, book)
            return book.serving(repository)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete a model. One in use only with `force`; what was used before it is used again."""
        with self._writing() as book:
            entry = _find_entry(book, name)
            if book.is_used(name) and not force:
                raise ModelsError(
                    f"{name} is in use; choose another first (`foretype models use base`), or"
                    " remove it with --force"
                )
            left = book.without(name)
            write_registry(self.folder, left)
            if all(other.content_hash != entry.content_hash for other in left.models.values()):
                delete_graphs(entry.content_hash)
            self._recover(left)

    def export(self, name: str, out: Path, kind: MatrixType = "f16") -> None:
        """Copy a model folder to `out`, which must not be there yet; a file, if it ends so."""
        _find_entry(self.book(), name)
        out = out.absolute()
        if os.path.lexists(out):
            raise ModelsError(f"{out} is there already; name a folder that is not")
        if not out.parent.is_dir():
            raise ModelsError(f"there is no folder {out.parent} to put the model into")
        try:
            found = load_model(self.place(name))
            if isinstance(found, GgufModel) or found.path != self.place(name):
                elsewhere = found.file if isinstance(found, GgufModel) else found.path
                raise ModelsError(f"{name} is {elsewhere}; copy that")
            if out.suffix == ".gguf":
                export_gguf(found, out, kind)
            else:
                _copy(self.place(name), out)
        except ModelFolderError as error:
            raise ModelsError(str(error)) from error
        except OSError as error:
            raise ModelsError(f"cannot write {out}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[RegistryFile]:
        """Hold the lock, finish or undo what a killed writer began, and give the book."""
        try:
            _make(self.folder)
            lock = FileLock(self.folder / LOCK_NAME, mode=0o600, thread_local=False)
            with lock.acquire(timeout=self._wait_s):
                yield self._recover(read_registry(self.folder))
        except Timeout:
            raise ModelsError(
                f"another process is changing the models in {self.folder}; try again when it is"
                " done"
            ) from None
        except OSError as error:
            raise ModelsError(
                f"cannot change the models in {self.folder}: {error.strerror or error}"
            ) from error

    def _recover(self, book: RegistryFile) -> RegistryFile:
        """List what arrived under a writer that was killed, and delete what was on its way out."""
        for path in self.folder.iterdir():
            if path.name in book.leaving or (path.name[0] == "." and path.suffix == ".tmp"):
                with contextlib.suppress(OSError):  # what resists is left to the next writer
                    delete(path)
        if book.arriving or book.leaving:
            here = {name for name in book.arriving if (self.folder / name).is_dir()}
            still = tuple(name for name in book.leaving if os.path.lexists(self.folder / name))
            book = dataclasses.replace(_list_arrived(book, here), leaving=still)
            write_registry(self.folder, book)
        return book

    def _take_in(self, source: Path, name: str) -> None:
        """Put a folder at its place: by a rename, or from another disk by a copy and a rename."""
        target = self.folder / name
        for path in open_to_others(source):
            path.chmod(0o700 if path.is_dir() else 0o600)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, target)
            shutil.rmtree(source, ignore_errors=True)
        sync_folder(self.folder)


def _find_entry(book: RegistryFile, name: str) -> ModelEntry:
    entry = book.models.get(name)
    if name == BASE:
        raise ModelsError(f"{BASE} came with foretype, in {bundled_folders()[0].parent}; it stays")
    if entry is None:
        names = ", ".join(book.models) or "there are none"
        raise ModelsError(f"there is no model {name[:80]!r}; known: {names}")
    return entry


def _list_arrived(book: RegistryFile, names: set[str]) -> RegistryFile:
    here = {name: entry for name, entry in book.arriving.items() if name in names}
    return dataclasses.replace(book, models={**book.models, **here}, arriving={})


def _check_arrival(folder: Path, entry: ModelEntry) -> None:
    if folder.is_symlink():
        raise ModelsError(f"{folder} is a symbolic link; name the model folder itself")
    try:
        found = load_model(folder)
        found.tokenizer()
    except ModelFolderError as error:
        raise ModelsError(str(error)) from error
    if found.content_hash != entry.content_hash:
        raise ModelsError(
            f"{folder} holds another model than the one to be listed"
            f" ({found.content_hash[:12]} and not {entry.content_hash[:12]})"
        )
