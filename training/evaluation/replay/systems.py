"""The systems that are compared, each behind the same two calls: open a tree, answer at a cursor.

The engine appears three times: with network and index, and with either alone. The longest match is
the plain baseline that every cleverer system must beat. Every system is asked for nearly all it has
(`show="eager"`), the engine at stricter settings, too: where a line is not sure enough for them,
they show a part of it.
"""

import abc
import dataclasses
import shutil
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from pydivsufsort import divsufsort

from assistant.generate.backend import OpenModel, open_from
from assistant.generate.engine import Engine
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.rank.ranker import bundled, threshold
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from assistant.source.languages import PYTHON, language_name
from training.evaluation.answers import Answer, Stopwatch, ask_engine
from training.evaluation.held_out import Task
from training.evaluation.replay.history import Snapshot

NETWORK_AND_INDEX, NETWORK, INDEX = "network + index", "network", "index"
LONGEST_MATCH = "longest match"
EAGER, STRICTER = "eager", ("balanced", "quiet")  # settings of `show` that show anything
SYSTEMS = (NETWORK_AND_INDEX, NETWORK, INDEX, LONGEST_MATCH)
MAX_CONTEXT = 512  # bytes before the cursor that the longest match looks at
MAX_VOTES = 10_000  # of a very common context; the first ones in suffix order
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


class LongestMatch(System):
    """What most often follows the longest text before the cursor that stands anywhere else.

    In the tree or in the document. No network, no learning, no ranking; it shares no code with the
    assistant's index, so that a fault there cannot hide here.
    """

    name = LONGEST_MATCH

    def __init__(self, files: Iterable[tuple[str, str]] = ()) -> None:
        self._sort(files)

    def open(self, snapshot: Snapshot) -> None:
        """Sort the tree's suffixes."""
        self._sort(snapshot.files)

    def _sort(self, files: Iterable[tuple[str, str]]) -> None:
        self._spans: dict[str, tuple[int, int]] = {}  # path -> its bytes in the text
        parts, size = [], 0
        for path, text in files:
            content = text.encode("utf-8", "surrogatepass") + b"\n\0"
            self._spans[path] = (size, size + len(content))
            parts.append(content)
            size += len(content)
        self._text = b"".join(parts)
        numbers = np.frombuffer(self._text, np.uint8).copy()  # a read-only one is refused
        self._order = divsufsort(numbers) if size else np.zeros(0, np.int32)

    def answer(self, task: Task, show: str = EAGER) -> Answer:
        """Return what most often follows the longest match; the longer it is, the surer."""
        text = task.text
        before, after = text[: task.offset], text[task.offset :]
        watch = Stopwatch()
        rest, n_bytes = self.rest_of_line(before, after, path=task.file.path)
        return watch.answer(rest, n_bytes / (n_bytes + _HALF_SURE_BYTES))

    def rest_of_line(self, before: str, after: str, *, path: str) -> tuple[str, int]:
        """Return the winning rest of the line and how many bytes matched; "" if nothing does.

        `after` begins below the cursor's line; the copy of the document at `path` is left out.
        """
        context, below = (part.encode("utf-8", "surrogatepass") for part in (before, after))
        low, high = 0, min(len(context), MAX_CONTEXT)
        while low < high:  # what a long context has, each shorter end of it has, too
            length = (low + high + 1) // 2
            pattern = context[-length:]
            found = next(self._following(pattern, context, below, path), None)
            low, high = (low, length - 1) if found is None else (length, high)
        if low == 0:
            return "", 0
        votes = Counter(self._following(context[-low:], context, below, path))
        (winner, _), *_ = votes.most_common(1)
        return winner.decode("utf-8", "replace"), low

    def _following(
        self, pattern: bytes, context: bytes, below: bytes, path: str
    ) -> Iterator[bytes]:
        """Yield the rest of the line, if there is one, after each place that the pattern has."""
        for text in (context[:-1], below):  # the cursor itself is no place
            place = text.find(pattern)
            while place >= 0:
                if rest := _line(text, place + len(pattern)):
                    yield rest
                place = text.find(pattern, place + 1)
        start, end = self._spans.get(path, (0, 0))
        for place in self._places(pattern):
            outside = not start <= place < end
            if outside and (rest := _line(self._text, place + len(pattern))):
                yield rest

    def _places(self, pattern: bytes) -> list[int]:
        def head(place: int) -> bytes:
            return self._text[place : place + len(pattern)]

        first = bisect_left(self._order, pattern, key=head)
        last = bisect_right(self._order, pattern, lo=first, key=head)
        places: list[int] = self._order[first : min(last, first + MAX_VOTES)].tolist()
        return places


def _line(text: bytes, start: int) -> bytes:
    end = text.find(b"\n", start)
    return text[start : end if end >= 0 else len(text)].rstrip()


def open_systems(names: Sequence[str], *, model: str, folder: Path) -> list[System]:
    """Return the named systems, networks loaded; indexes go under `folder`."""
    tree = TreeIndex(folder)
    settings = Settings(model=model)

    def open_system(name: str) -> System:
        if name == LONGEST_MATCH:
            return LongestMatch()
        # Each has networks of its own: none finds keys and values that another has computed.
        open_model = None if name == INDEX else open_from
        return EngineSystem(name, settings, open_model, None if name == NETWORK else tree)

    return [open_system(name) for name in names]
