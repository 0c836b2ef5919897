"""What became of what was shown, told from the changes of the document alone, in every editor.

Text that comes several characters at once and is what was shown was taken; key by key, it was typed
through. What was taken is looked at again later, at the row to which other changes have moved it.
Counts go to `assistant.counts`; a fault here costs a count and no suggestion.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from assistant.counts import Statistics
from assistant.request import Completion
from assistant.source.languages import language_of
from lsp.convert import columns
from lsp.documents import Document, Snapshot
from lsp.scheduler import describe

LOOKS_S = (30, 300)  # after a take, whether it still stands there
OTHERS = "other"  # languages that we do not know
_MAX_TAKES = 256  # looked after at a time
_CLOSERS = frozenset(")]}>\"'`")  # what editors insert by themselves
_PAIRS = frozenset(("()", "[]", "{}", "<>", '""', "''", "``"))

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Taken:
    """Text of ours in a document."""

    uri: str
    language: str
    row: int
    text: str
    at_s: float
    looks_s: deque[int] = field(default_factory=lambda: deque(LOOKS_S))

    def stands_in(self, document: Document) -> bool:
        """Say whether it is there, whole and unchanged."""
        return self.text in _rows(document, self.row, self.text.count("\n") + 1)


@dataclass(eq=False, slots=True)
class _Shown:
    """The texts of one answer, best first, and how far the document has come towards one."""

    row: int
    head: str  # of the row, left of what the texts replace
    over: str  # what they replace
    tail: str  # and right of it
    texts: tuple[str, ...]
    n_there: int = 0  # characters of the first text that stand there
    n_between: int = 0  # characters between head and tail
    taken: _Taken | None = None
    is_last_taken: bool = False  # rather than typed
    claimed: int = 0  # how likely it was said to be right, in percent

    def advance(self, document: Document) -> int | None:
        """See how far it is, dropping the texts that do not fit; None if none does.

        Return how many characters came at once, 0 for a key.
        """
        ways = [(text, *way) for text in self.texts if (way := self._way(document, text))]
        ways = [way for way in ways if way[1] >= self.n_there]
        if not ways:
            return None
        text, n_there, n_between = ways[0]
        self.texts = tuple(way[0] for way in ways)
        step, n_new = text[self.n_there : n_there], n_between - self.n_between
        self.n_there, self.n_between = n_there, n_between
        is_take = min(n_new, len(step)) > 1 and step.strip() and step not in _PAIRS
        if step:
            self.is_last_taken = bool(is_take)
        return n_new if is_take else 0

    def _way(self, document: Document, text: str) -> tuple[int, int] | None:
        """Return how much of `text` stands behind the head, and how much there is up to the tail.

        Between them may be what the editor closed, and what a take replaces.
        """
        for n_lines in range(text.count("\n") + 1, 0, -1):
            now = _rows(document, self.row, n_lines)
            between = now[len(self.head) : len(now) - len(self.tail)]
            if now != self.head + between + self.tail:
                continue
            n = next((i for i, (a, b) in enumerate(zip(between, text, strict=False)) if a != b), -1)
            n = n if n >= 0 else min(len(between), len(text))
            rest = between[n:]
            fits = self.over.endswith(rest) or _CLOSERS.issuperset(rest)
            if fits and text.count("\n", 0, n) == n_lines - 1:
                return n, len(between)
        return None

    def goes_on_as(self, other: "_Shown") -> bool:
        """Say whether `other` is but the rest of this."""
        text = self.texts[0]
        row = self.row + text.count("\n", 0, self.n_there)
        return row == other.row and (self.head + text).endswith(other.head + other.texts[0])


class Outcomes:
    """Follows the newest answer in each document; used on the event loop."""

    def __init__(
        self,
        statistics: Statistics,
        opened: Callable[[str], Document | None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statistics = statistics
        self._opened = opened
        self._clock_s = clock_s
        self._languages: dict[str, str] = {}  # by URI: of documents that were asked about
        self._shown: dict[str, _Shown] = {}
        self._taken: deque[_Taken] = deque(maxlen=_MAX_TAKES)

    def answered(
        self, document: Document, snapshot: Snapshot, found: Sequence[Completion], ms: float
    ) -> None:
        """Count an answer that the editor gets now, after `ms` milliseconds."""
        _guard(lambda: self._answer(document, snapshot, found, ms))

    def changed(self, document: Document) -> None:
        """Look at a document that has just changed."""
        if document.uri in self._languages:
            _guard(lambda: self._follow(document))

    def forget(self, uri: str) -> None:
        """The document was closed."""
        self._end(uri)
        self._languages.pop(uri, None)

    def look(self) -> None:
        """See whether what was taken stands where its time has come."""
        for taken in list(self._taken):
            while taken.looks_s and self._clock_s() >= taken.at_s + taken.looks_s[0]:
                name = taken.looks_s.popleft()
                if document := self._opened(taken.uri):
                    self._statistics.add(taken.language, f"looked_{name}")
                    self._statistics.add(taken.language, f"kept_{name}", taken.stands_in(document))
            if not taken.looks_s:
                self._taken.remove(taken)

    def _answer(
        self, document: Document, snapshot: Snapshot, found: Sequence[Completion], ms: float
    ) -> None:
        uri = document.uri
        language = language_of(uri, snapshot.language)
        name = self._languages[uri] = language.name if language else OTHERS
        self._statistics.add(name, f"within_{1 << max(0, int(ms)).bit_length()}_ms")
        if not found:
            return
        start, end = place = columns(snapshot, found[0])
        texts = tuple(each.text for each in found if columns(snapshot, each) == place)
        line = snapshot.line
        claimed = round(100 * found[0].probability)
        sides = line[:start], line[start:end], line[end:]
        new = _Shown(snapshot.row, *sides, texts, claimed=claimed)
        old = self._shown.get(uri)
        if old is not None and old.goes_on_as(new):
            return
        self._end(uri)
        self._statistics.add(name, "shown")
        if new.advance(document) is not None and new.n_there < len(new.texts[0]):
            new.is_last_taken = False
            self._shown[uri] = new

    def _follow(self, document: Document) -> None:
        uri, change = document.uri, document.last_change
        name = self._languages[uri]
        shown = self._shown.get(uri)
        if change is None:  # a whole new text: nothing is where it was
            self._shown.pop(uri, None)
            self._taken = deque((it for it in self._taken if it.uri != uri), _MAX_TAKES)
            return
        for taken in self._taken:
            if taken.uri == uri:
                taken.row = _moved(taken.row, taken.text, change)
        if document.last_column is not None:
            self._statistics.add(name, "keys")
        if shown is None:
            return
        first, removed, added = change
        if first + len(removed) <= shown.row:
            shown.row += len(added) - len(removed)
        n_new = shown.advance(document)
        if n_new is None:
            self._end(uri)
        elif n_new:
            self._note_take(shown, uri, name, n_new)
        if n_new is not None and shown.n_there == len(shown.texts[0]):
            self._end(uri)

    def _note_take(self, shown: _Shown, uri: str, language: str, n_chars: int) -> None:
        self._statistics.add(language, "saved", n_chars - 1)  # a take is a key, too
        text, now_s = shown.texts[0][: shown.n_there], self._clock_s()
        if shown.taken is None:
            shown.taken = _Taken(uri, language, shown.row, text, now_s)
            self._taken.append(shown.taken)
        shown.taken.text, shown.taken.at_s = text, now_s

    def _end(self, uri: str) -> None:
        """Count what became of what was shown."""
        shown = self._shown.pop(uri, None)
        if shown is None:
            return
        language, is_whole = self._languages[uri], shown.n_there == len(shown.texts[0])
        self._statistics.add(language, "ended")
        self._statistics.add(language, "claimed", shown.claimed)
        if is_whole and shown.is_last_taken:
            self._statistics.add(language, "whole")
        elif shown.taken is not None:
            self._statistics.add(language, "part")
        elif is_whole:
            self._statistics.add(language, "typed")


def _rows(document: Document, row: int, n_rows: int) -> str:
    return "\n".join(document.line_at(row + i) for i in range(n_rows))


def _moved(row: int, text: str, change: tuple[int, list[str], list[str]]) -> int:
    """Return where the text that stood at `row` stands after a change."""
    first, removed, added = change
    if first + len(removed) <= row:
        return row + len(added) - len(removed)
    joined = "\n".join(added)
    at = joined.find(text)
    return first + joined.count("\n", 0, at) if first <= row and at >= 0 else row


def _guard(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  the border: a count is worth no suggestion
        log.warning("no count: %s", describe(error))
