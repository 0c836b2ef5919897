"""Whole-line candidates: what followed the places that agree with the text before the cursor.

Several match lengths and several continuations each, merged by text, from the document itself and
from the repository. Each comes with numbers that say how it was found and how it would sit at the
cursor; what they are worth is the ranker's business.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from assistant.index.matches import FOLLOWING_BYTES, Level, ShouldStop, document_levels, never
from assistant.source.blocks import n_common
from assistant.source.brackets import AUTO_CLOSED

if TYPE_CHECKING:
    from assistant.index.folder_index import FolderIndex

MAX_CONTEXT_BYTES = 512
MAX_LEVELS = 8
MAX_LINE_BYTES = 140  # of a continuation: longer ones are data
MAX_CANDIDATES = 24  # kept before any ranking; the longest matches first


class Cursor(NamedTuple):
    """A document and the cursor in it, cut once."""

    path: str
    before: str  # the document left of the cursor
    rest: str  # of the cursor's line, right of the cursor
    below: str  # the lines below
    document: str = ""  # which one this is, among all of one path

    @classmethod
    def of(cls, path: str, text: str, offset: int, document: str = "") -> Cursor:
        """Cut `text` at `offset`."""
        end = text.find("\n", offset)
        end = len(text) if end < 0 else end
        return cls(
            path=path.replace("\\", "/"),
            before=text[:offset],
            rest=text[offset:end],
            below=text[end + 1 :],
            document=document,
        )

    @property
    def line(self) -> str:
        """The cursor's line left of the cursor."""
        return self.before[self.before.rfind("\n") + 1 :]

    @property
    def next_line(self) -> str:
        """The first line below that is not blank; "" where there is none near."""
        return next((line for line in self.below[:2_000].split("\n") if line.strip()), "")


@dataclass(slots=True)
class Evidence:
    """How one source (the document, or the repository) speaks for a text."""

    longest: int = 0  # bytes of agreement
    n_deep: int = 0  # occurrences among those looked at
    share_first: float = 0.0  # of the occurrences at the longest level that has the text
    share_top: float = 0.0  # of those at the source's longest level
    share_deep: float = 0.0  # of those at its shortest


@dataclass(slots=True)
class Candidate:
    """A text for the rest of the line, and what speaks for it."""

    text: str
    document: Evidence = field(default_factory=Evidence)
    repository: Evidence = field(default_factory=Evidence)
    neighbour: int = 0  # longest agreement in a file of the same folder
    below: int = 0  # characters of the next line that follow it there as they do here


class Proposal(NamedTuple):
    """All candidates for one cursor."""

    cursor: Cursor
    candidates: tuple[Candidate, ...]  # the longest match first
    document: tuple[Level, ...]
    repository: tuple[Level, ...]
    ending: float  # share of the longest level's occurrences whose line ends at the cursor


def propose(
    cursor: Cursor,
    index: FolderIndex | None,
    *,
    use_document: bool = True,
    should_stop: ShouldStop = never,
) -> Proposal:
    """Look the cursor up in its document and in `index`, until `should_stop`."""
    before = cursor.before.encode("utf-8", "replace")
    below = cursor.below.encode("utf-8", "replace")
    own: list[Level] = []
    if use_document:
        own = document_levels(
            before, below, path=cursor.path, max_levels=MAX_LEVELS, should_stop=should_stop
        )
    others: list[Level] = []
    if index is not None and not should_stop():
        others = index.levels(
            before[-MAX_CONTEXT_BYTES:],
            path=cursor.path,
            document=cursor.document,
            max_levels=MAX_LEVELS,
            should_stop=should_stop,
        )
    merged: dict[str, Candidate] = {}
    _collect(cursor, own, merged, is_own=True)
    _collect(cursor, others, merged, is_own=False)
    ending = _ending(cursor, own, others)
    ranked = sorted(
        merged.values(),
        key=lambda c: (
            -max(c.document.longest, c.repository.longest),
            -max(c.document.share_first, c.repository.share_first),
        ),
    )
    return Proposal(
        cursor=cursor,
        candidates=tuple(ranked[:MAX_CANDIDATES]),
        document=tuple(own),
        repository=tuple(others),
        ending=ending,
    )


def _collect(
    cursor: Cursor, levels: Sequence[Level], merged: dict[str, Candidate], *, is_own: bool
) -> None:
    folder = cursor.path.rpartition("/")[0]
    next_line = cursor.next_line.strip().encode("utf-8", "replace")
    continued = functools.lru_cache(maxsize=None)(lambda b: continuation(b, cursor.rest))
    for depth, level in enumerate(levels):
        texts = [continued(occurrence.following) for occurrence in level.occurrences]
        counts = Counter(text for text in texts if text)
        n_texts = max(1, len(texts))
        for occurrence, text in zip(level.occurrences, texts, strict=True):
            if not text:
                continue
            candidate = merged.get(text)
            if candidate is None:
                candidate = merged[text] = Candidate(text)
            evidence = candidate.document if is_own else candidate.repository
            if not evidence.longest:
                evidence.longest = occurrence.length
                evidence.share_first = counts[text] / n_texts
            if depth == 0:
                evidence.share_top = counts[text] / n_texts
            if depth == len(levels) - 1:
                evidence.share_deep = counts[text] / n_texts
                evidence.n_deep = counts[text]
            if not is_own and occurrence.path.rpartition("/")[0] == folder:
                candidate.neighbour = max(candidate.neighbour, occurrence.length)
            below = occurrence.following.partition(b"\n")[2].lstrip()
            if below[:1] == next_line[:1]:
                candidate.below = max(candidate.below, n_common(below, next_line))


def continuation(following: bytes, rest: str) -> str | None:
    """Return the rest of the line as `following` has it, without what stands there already.

    None where the line is too long to be seen whole, is no text, or does not fit `rest`; empty
    where the line ends at once.

    >>> continuation(b"name)\\n    next", ")")
    'name)'
    >>> continuation(b"name, 1)\\n", ", 1)")
    'name'
    """
    line, newline, _ = following.partition(b"\n")
    if len(line) > MAX_LINE_BYTES or (not newline and len(following) >= FOLLOWING_BYTES):
        return None
    try:
        text = line.decode("utf-8").rstrip()
    except UnicodeDecodeError:
        return None
    if "\0" in text or "\r" in text:
        return None
    stands = rest.strip()
    if not stands or set(stands) <= AUTO_CLOSED:
        return text  # what an editor has closed is typed over
    if text.endswith(stands):
        return text[: -len(stands)].rstrip() if rest[:1].isspace() else text[: -len(stands)]
    return None


def _ending(cursor: Cursor, own: Sequence[Level], others: Sequence[Level]) -> float:
    longest = [levels[0] for levels in (own, others) if levels]
    if not longest:
        return 0.0
    first = max(longest, key=lambda level: level.length)
    texts = [continuation(each.following, cursor.rest) for each in first.occurrences]
    return sum(text == "" for text in texts) / max(1, len(texts))
