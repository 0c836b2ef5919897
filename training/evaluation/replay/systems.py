"""The systems that are compared, each behind the same two calls: open a tree, answer at a cursor.

The engine appears three times, with network and memory, and with either alone; the vote is the
rival to beat. Every system is asked for nearly all it has (`show="eager"`): what a stricter setting
would show follows from the probabilities.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from assistant.generate.backend import LocalBackend
from assistant.generate.engine import Engine, open_from
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.rank.confidence import threshold
from assistant.rank.ranker import bundled
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from training.evaluation.answers import Answer, Stopwatch
from training.evaluation.exact_line import ask_engine
from training.evaluation.held_out import Task
from training.evaluation.longest_match import LongestMatch
from training.evaluation.replay.snapshot import Snapshot

BOTH, NETWORK, MEMORY, VOTE = "both", "network alone", "memory alone", "vote"
SYSTEMS = (BOTH, NETWORK, MEMORY, VOTE)
_HALF_SURE_BYTES = 24  # a vote's match of so many bytes counts as half sure


class System(Protocol):
    """Something that completes lines."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def is_calibrated(self) -> bool:
        """Whether its probabilities claim to be ones, or are an order only."""

    def least(self, level: str, language: str) -> float:
        """Return the probability from which a setting of `show` shows an answer."""

    def open(self, snapshot: Snapshot) -> None:
        """Make ready for the tasks of one commit."""

    def answer(self, task: Task) -> Answer:
        """Offer the rest of the line, knowing the document and the tree."""


class Indexes:
    """One memory of the tree that is being replayed, shared by the systems that use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory: FolderIndex | None = None
        self._commit = ""

    def open(self, snapshot: Snapshot) -> None:
        """Index a snapshot, unless that was done already; the one before is deleted."""
        if snapshot.commit == self._commit:
            return
        if self._commit:
            shutil.rmtree(self._folder / self._commit, ignore_errors=True)
        folder = self._folder / snapshot.commit
        build_from_texts(folder, snapshot.files)
        self._memory, self._commit = FolderIndex(folder), snapshot.commit

    def memory(self, path: str) -> FolderIndex | None:
        """Return the memory of the tree; a document's own copy is mute by its path."""
        return self._memory


class EngineSystem:
    """The engine as editors use it: with a network, a memory, or both."""

    def __init__(
        self, name: str, settings: Settings, backend: LocalBackend | None, indexes: Indexes | None
    ) -> None:
        self.name = name
        self._indexes = indexes
        memory = None if indexes is None else indexes.memory
        settings = dataclasses.replace(settings, index=memory is not None)
        self._languages: tuple[str, ...] = ()
        if backend is None:  # an engine that has not loaded its network answers from memory
            self._engine = Engine(settings, index=memory)
            parameters = bundled()
            self._fitted = None if parameters is None else parameters.index
            return
        snippets = SnippetCache(is_waiting=True)
        self._engine = Engine(settings, lambda settings: backend, memory, snippets=snippets)
        self._engine.load()
        parameters, self._languages = backend.parameters, backend.info.languages
        self._fitted = None if parameters is None else parameters.both

    @property
    def is_calibrated(self) -> bool:
        """Whether a gate was fitted."""
        return self._fitted is not None

    def least(self, level: str, language: str) -> float:
        """Return the threshold that the engine's own gate would use."""
        if self._fitted is None:
            return 0.0
        points = dict(self._fitted.points)
        return threshold(level, points, is_familiar=language in self._languages)

    def open(self, snapshot: Snapshot) -> None:
        """Index the tree, if this system has a memory."""
        if self._indexes is not None:
            self._indexes.open(snapshot)

    def answer(self, task: Task) -> Answer:
        """Ask the engine for one suggestion."""
        return ask_engine(self._engine, task)


class VoteSystem:
    """The longest match in the tree and the document decides, and nothing else."""

    name = VOTE
    is_calibrated = False

    def __init__(self) -> None:
        self._vote = LongestMatch(())
        self._commit = ""

    def least(self, level: str, language: str) -> float:
        """Show everything: the vote has no gate."""
        return 0.0

    def open(self, snapshot: Snapshot) -> None:
        """Sort the tree's suffixes."""
        if snapshot.commit != self._commit:
            self._vote, self._commit = LongestMatch(snapshot.files), snapshot.commit

    def answer(self, task: Task) -> Answer:
        """Let the longest match vote; the longer it is, the surer."""
        text = task.text
        before, after = text[: task.offset], text[task.offset :]
        watch = Stopwatch()
        rest, n_bytes = self._vote.rest_of_line(before, after, path=task.file.path)
        return watch.answer(rest, n_bytes / (n_bytes + _HALF_SURE_BYTES))


def open_systems(names: Sequence[str], *, model: str, folder: Path) -> list[System]:
    """Return the named systems, networks loaded; indexes go under `folder`."""
    indexes = Indexes(folder)
    settings = Settings(model=model, show="eager")

    def opened(name: str) -> System:
        if name == VOTE:
            return VoteSystem()
        # Each has a network of its own: none finds keys and values that another has computed.
        backend = None if name == MEMORY else open_from(settings)
        return EngineSystem(name, settings, backend, None if name == NETWORK else indexes)

    return [opened(name) for name in names]
