"""The systems that are compared, each behind the same two calls: open a tree, answer at a cursor.

The engine appears three times: with network and index, and with either alone. The longest match is
the baseline to beat. Every system is asked for nearly all it has (`show="eager"`), the engine at
stricter settings, too: where a line is not sure enough for them, they show a part of it.
"""

import abc
import dataclasses
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from assistant.counts import step
from assistant.generate.backend import OpenModel, open_from
from assistant.generate.engine import Engine
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.rank.ranker import bundled, threshold
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from assistant.source.languages import PYTHON, language_name
from training.evaluation.answers import Answer, Stopwatch, ask_engine, is_right
from training.evaluation.held_out import Task
from training.evaluation.longest_match import LongestMatch
from training.evaluation.replay.history import Snapshot

NETWORK_AND_INDEX, NETWORK, INDEX = "network + index", "network", "index"
LONGEST_MATCH = "longest match"
EAGER, STRICTER = "eager", ("balanced", "quiet")  # settings of `show` that show anything
SYSTEMS = (NETWORK_AND_INDEX, NETWORK, INDEX, LONGEST_MATCH)
ADAPTING = "adapting"  # both, with a gate that follows what was right; on request only
_HALF_SURE_BYTES = 24  # a match of so many bytes counts as half sure


class System(abc.ABC):
    """Something that completes lines; has no gate and reads no tree unless it says so."""

    name: str  # what tables call it
    is_calibrated = False  # whether its probabilities claim to be ones, or are an order only
    stricter: tuple[str, ...] = ()  # settings of `show` that it is asked at, beside "eager"

    def least(self, level: str) -> float:
        """Return the probability from which a setting of `show` shows an answer."""
        return 0.0

    def open(self, snapshot: Snapshot) -> None:
        """Make ready for the tasks of one commit."""
        return

    @abc.abstractmethod
    def answer(self, task: Task, show: str = EAGER) -> Answer:
        """Offer the rest of the line, knowing the document and the tree."""

    def name_at(self, show: str) -> str:
        """Return what its answers at a setting are kept under."""
        return f"{self.name}, {show}" if show in self.stricter else self.name


class TreeIndex:
    """The index of the tree that is being replayed, shared by the systems that use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: FolderIndex | None = None
        self._commit = ""

    def open(self, snapshot: Snapshot) -> None:
        """Index a snapshot, unless that was done already; the one before is deleted."""
        if snapshot.commit == self._commit:
            return
        if self._commit:
            shutil.rmtree(self._folder / self._commit, ignore_errors=True)
        folder = self._folder / snapshot.commit
        build_from_texts(folder, snapshot.files)
        self._index, self._commit = FolderIndex(folder), snapshot.commit

    def find(self, path: str) -> FolderIndex | None:
        """Return the index of the tree; it leaves out a document's own copy, by its path."""
        return self._index


class EngineSystem(System):
    """The engine as editors use it: with a network, an index, or both."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        open_model: OpenModel | None,
        tree: TreeIndex | None,
        *,
        stricter: tuple[str, ...] = STRICTER,
    ) -> None:
        self.name = name
        self._tree = tree
        self._has_network = open_model is not None  # else the index answers
        index = None if tree is None else tree.find
        settings = dataclasses.replace(settings, index=index is not None)
        snippets = SnippetCache(is_waiting=True)
        self._engine = Engine(settings, open_model or open_from, index, snippets=snippets)
        if self._has_network:
            self._engine.load()
            backend = self._engine.backend_of(PYTHON.name)
            parameters = backend.parameters if backend else None
            self._fitted = parameters.both if parameters else None
        else:
            parameters = bundled()
            self._fitted = parameters.index if parameters else None
        self.is_calibrated = self._fitted is not None
        self.stricter = stricter if self.is_calibrated else ()

    def least(self, level: str) -> float:
        """Return the threshold that the engine's own gate would use."""
        return threshold(level, self._fitted.points if self._fitted else None)

    def open(self, snapshot: Snapshot) -> None:
        """Index the tree, if this system has an index."""
        if self._tree is not None:
            self._tree.open(snapshot)

    def answer(self, task: Task, show: str = EAGER) -> Answer:
        """Ask the engine for one suggestion, its network for the language loaded."""
        self._engine.settings = dataclasses.replace(self._engine.settings, show=show)
        if self._has_network and (name := language_name(task.file.path)):
            self._engine.load(name)
        return ask_engine(self._engine, task)


class AdaptingSystem(EngineSystem):
    """The engine whose gate follows what it showed before: what was right was taken, no more."""

    def __init__(self, settings: Settings, tree: TreeIndex) -> None:
        super().__init__(ADAPTING, settings, open_from, tree)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by language

    def least(self, level: str) -> float:
        """Return 0 where the gate that moves has decided already."""
        return 0.0 if level in self.stricter else super().least(level)

    def answer(self, task: Task, show: str = EAGER) -> Answer:
        """Ask with the step of what was shown up to now at the default."""
        name = language_name(task.file.path)
        its = self._counts[name]
        self._engine.steps = {name: step(its)} if show != EAGER else {}
        answer = super().answer(task, show)
        if show == Settings().show and answer.text:
            its["ended"] += 1
            its["claimed"] += round(100 * answer.probability)
            its["whole"] += is_right(answer.text, task.truth)
        return answer


class LongestMatchSystem(System):
    """The longest match in the tree and the document decides, and nothing else."""

    name = LONGEST_MATCH

    def __init__(self) -> None:
        self._match = LongestMatch(())

    def open(self, snapshot: Snapshot) -> None:
        """Sort the tree's suffixes."""
        self._match = LongestMatch(snapshot.files)

    def answer(self, task: Task, show: str = EAGER) -> Answer:
        """Return what most often follows the longest match; the longer it is, the surer."""
        text = task.text
        before, after = text[: task.offset], text[task.offset :]
        watch = Stopwatch()
        rest, n_bytes = self._match.rest_of_line(before, after, path=task.file.path)
        return watch.answer(rest, n_bytes / (n_bytes + _HALF_SURE_BYTES))


def open_systems(names: Sequence[str], *, model: str, folder: Path) -> list[System]:
    """Return the named systems, networks loaded; indexes go under `folder`."""
    tree = TreeIndex(folder)
    settings = Settings(model=model)

    def open_system(name: str) -> System:
        if name == LONGEST_MATCH:
            return LongestMatchSystem()
        if name == ADAPTING:
            return AdaptingSystem(settings, tree)
        # Each has networks of its own: none finds keys and values that another has computed.
        open_model = None if name == INDEX else open_from
        return EngineSystem(name, settings, open_model, None if name == NETWORK else tree)

    return [open_system(name) for name in names]
