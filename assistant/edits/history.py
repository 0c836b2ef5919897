"""What a person just changed: keystrokes joined into edits, kept in memory only and bounded.

An edit is a run of changes whose lines touch; it lasts until a change elsewhere. A change that no
person types (a new text of the whole document, a formatter's or a branch switch's many lines) ends
the edit under way and is none itself.

Also an edit as a pattern over tokens: how another line would change. *Occurrence*: the changed
tokens themselves stand elsewhere. *Alignment*: another line is like the old one, token for token or
with holes, and takes the change at the spots that correspond. Both after "Blue-Pencil" (OOPSLA
2019), on tokens instead of syntax trees.
"""

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
MAX_TOKENS = 200  # of a line that is compared
LEAST_LIKE = 0.5  # of two lines' tokens that agree
MAX_EDITS = 24  # remembered of a workspace
MAX_AGE_S = 1_800.0
MAX_LINES = 40  # of one edit; more is not a person's
MAX_LINE_CHARS = 1_000


class Edit(NamedTuple):
    """One change of a person: `old` lines became `new` ones at `row`; lines have no ends."""

    path: str
    row: int  # of the first line, after the edit
    old: tuple[str, ...]
    new: tuple[str, ...]
    before: str = ""  # the line above, and the one below
    after: str = ""
    at_s: float = 0.0


@dataclass(eq=False, slots=True)
class EditHistory:
    """The edits of a workspace, newest last. Used on one thread."""

    clock_s: Callable[[], float] = time.monotonic
    _done: deque[Edit] = field(default_factory=lambda: deque(maxlen=MAX_EDITS))
    _open: dict[str, Edit] = field(default_factory=dict)

    def note(self, path: str, row: int, old: Sequence[str], new: Sequence[str]) -> None:
        """Take a change of the document at `path`: `old` lines from `row` on are now `new`."""
        if list(old) == list(new):
            return
        if max(len(old), len(new)) > MAX_LINES or any(len(x) > MAX_LINE_CHARS for x in new):
            self.interrupt(path)
            return
        edit = self._open.get(path)
        if edit is not None and not (
            row <= edit.row + len(edit.new) and row + len(old) >= edit.row
        ):
            self._close(path)
            edit = None
        change = Edit(path=path, row=row, old=tuple(old), new=tuple(new), at_s=self.clock_s())
        edit = self._open[path] = change if edit is None else _extend(edit, change)
        if max(len(edit.old), len(edit.new)) > MAX_LINES:
            self.interrupt(path)

    def surround(self, path: str, lines: Callable[[int], str]) -> None:
        """Remember the lines around the edit under way; `lines` gives "" where there is none."""
        if edit := self._open.get(path):
            before, after = lines(edit.row - 1), lines(edit.row + len(edit.new))
            self._open[path] = edit._replace(before=before, after=after)

    def interrupt(self, path: str) -> None:
        """The document changed as no person changes it: what is under way there is no edit."""
        self._open.pop(path, None)

    def forget(self, path: str) -> None:
        """Drop all that is known of the document at `path`."""
        self._open.pop(path, None)
        kept = [edit for edit in self._done if edit.path != path]
        self._done.clear()
        self._done.extend(kept)

    def edits(self) -> list[Edit]:
        """Return the edits, oldest first, those under way among them."""
        oldest_s = self.clock_s() - MAX_AGE_S
        under_way = sorted(self._open.values(), key=lambda edit: edit.at_s)
        edits = _standing([*self._done, *map(_trim, under_way)])
        return [edit for edit in edits if edit.at_s >= oldest_s and edit.old != edit.new]

    def _close(self, path: str) -> None:
        edit = _trim(self._open.pop(path))
        if edit.old != edit.new:  # undone is nothing
            self._done.append(edit)


def _standing(edits: Sequence[Edit]) -> list[Edit]:
    """Leave out each edit that a later one takes back, and that one.

    One that a later edit changed further is what it became.
    """
    kept: list[Edit] = []
    for edit in edits:
        changed = edit.path, edit.row, edit.old
        again = [other for other in kept if (other.path, other.row, other.new) == changed]
        whole = [edit._replace(old=other.old) for other in again if other.old != edit.new]
        kept = [other for other in kept if other not in again] + whole
        if len(whole) == len(again):
            kept.append(edit)
    return kept


def _trim(edit: Edit) -> Edit:
    """Leave out what the edit's lines begin and end with both before and after it."""
    old, new, row = edit.old, edit.new, edit.row
    before, after = edit.before, edit.after
    while old and new and old[0] == new[0]:
        before, old, new, row = old[0], old[1:], new[1:], row + 1
    while old and new and old[-1] == new[-1]:
        after, old, new = old[-1], old[:-1], new[:-1]
    return edit._replace(row=row, old=old, new=new, before=before, after=after)


def _extend(edit: Edit, change: Edit) -> Edit:
    """Join a change to an edit: what it touches outside was the same in the old text."""
    row, old = change.row, change.old
    above = old[: max(0, edit.row - row)]
    below = old[len(old) - max(0, row + len(old) - edit.row - len(edit.new)) :]
    covered = above + edit.new + below
    start = min(row, edit.row)
    new = covered[: row - start] + change.new + covered[row - start + len(old) :]
    old = above + edit.old + below
    return edit._replace(row=start, old=old, new=new, at_s=change.at_s)


class Hunk(NamedTuple):
    """Tokens `start:end` of the old line were replaced by `new`."""

    start: int
    end: int
    old: str
    new: str
    new_start: int = 0  # where that stands in the new line's tokens


class LineChange(NamedTuple):
    """One line that became another, without its indentation."""

    old: str
    new: str
    tokens: tuple[str, ...]  # of the old one
    hunks: tuple[Hunk, ...]


@lru_cache(maxsize=8192)
def split_tokens(line: str) -> tuple[str, ...]:
    """Return words, single signs and runs of spaces.

    >>> split_tokens("a_1 += f(2)")
    ('a_1', ' ', '+', '=', ' ', 'f', '(', '2', ')')
    """
    return tuple(map(sys.intern, _TOKEN.findall(line)))  # lines share most of their words


@lru_cache(maxsize=1024)
def line_change(old: str, new: str) -> LineChange | None:
    """Return how `old` became `new`, or None where the two have too little in common to tell."""
    old, new = old.strip(), new.strip()
    before, after = split_tokens(old), split_tokens(new)
    if old == new or not old or not new or max(len(before), len(after)) > MAX_TOKENS:
        return None
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    hunks = tuple(
        Hunk(start, end, "".join(before[start:end]), "".join(after[new_start:new_end]), new_start)
        for tag, start, end, new_start, new_end in matcher.get_opcodes()
        if tag != "equal"
    )
    return LineChange(old=old, new=new, tokens=before, hunks=hunks)


def line_changes(edit: Edit) -> Iterator[LineChange]:
    """Yield the lines of an edit that were changed in place."""
    if len(edit.old) == len(edit.new):
        pairs = list(zip(edit.old, edit.new, strict=True))
    else:
        pairs = []
        matcher = SequenceMatcher(None, edit.old, edit.new, autojunk=False)
        for _, start, end, new_start, new_end in matcher.get_opcodes():
            if end - start == new_end - new_start:
                pairs += zip(edit.old[start:end], edit.new[new_start:new_end], strict=True)
    for old, new in pairs:
        if change := line_change(old, new):
            yield change


def replace_occurrences(hunk: Hunk, line: str) -> str | None:
    """Return `line` with the hunk's old tokens replaced wherever they stand, None if nowhere."""
    if hunk.old not in line or not any(map(str.isalnum, hunk.old)):
        return None  # signs alone stand everywhere
    replaced = occurrence(hunk.old).sub(lambda _: hunk.new, line)
    return replaced if replaced != line else None


@lru_cache(maxsize=256)
def occurrence(text: str) -> re.Pattern[str]:
    """Return the pattern of `text` as whole tokens."""
    head = r"(?<!\w)" if text[0].isalnum() or text[0] == "_" else ""
    tail = r"(?!\w)" if text[-1].isalnum() or text[-1] == "_" else ""
    return re.compile(head + re.escape(text) + tail)


class Aligned(NamedTuple):
    """A line changed as another was."""

    line: str
    alike: float  # share of tokens that the two lines have in common; 1: the same line
    held: float  # share of the tokens beside the changed ones that stand there, too


def align(change: LineChange, line: str) -> Aligned | None:
    """Return `line` changed as the old line was.

    None where a changed spot has no counterpart: the tokens that were replaced must stand there,
    and an insertion needs the token on one of its sides. None where what is put in is there.
    """
    body = line.strip()
    tokens = split_tokens(body)
    if not tokens or len(tokens) > MAX_TOKENS:
        return None
    if body == change.old:
        return Aligned(line.replace(body, change.new, 1), 1.0, 1.0)
    if not _may_align(change, tokens):
        return None
    matcher = SequenceMatcher(None, change.tokens, tokens, autojunk=False)
    if matcher.quick_ratio() < LEAST_LIKE or (alike := matcher.ratio()) < LEAST_LIKE:
        return None
    counterpart: dict[int, int] = {}
    for block in matcher.get_matching_blocks():
        counterpart |= {block.a + i: block.b + i for i in range(block.size)}
    changed = _changed(change, tokens, counterpart)
    if changed is None or changed == body or _is_made(change, tokens):
        return None
    return Aligned(line.replace(body, changed, 1), alike, _held(change.hunks, counterpart))


def _changed(change: LineChange, tokens: Sequence[str], counterpart: dict[int, int]) -> str | None:
    result = list(tokens)
    for hunk in reversed(change.hunks):
        span = _span(hunk, counterpart, change.tokens)
        if span is None:
            return None
        result[slice(*span)] = [hunk.new]
    return "".join(result)


def _is_made(change: LineChange, tokens: Sequence[str]) -> bool:
    """Say whether a line has what the change puts in; of its words, half (`timeout=3`) will do."""
    new = split_tokens(change.new)
    for hunk in change.hunks:
        its = range(hunk.new_start, hunk.new_start + len(split_tokens(hunk.new)))
        words = [i for i in its if new[i][0].isalnum() or new[i][0] == "_"] or its
        n_common = sum(new[i] in tokens for i in words)
        if hunk.old or 2 * n_common < len(words):
            continue
        matcher = SequenceMatcher(None, new, tokens, autojunk=False)
        there = {block.a + i for block in matcher.get_matching_blocks() for i in range(block.size)}
        if 2 * len(there.intersection(words)) >= len(words):
            return True
    return False


def _may_align(change: LineChange, tokens: Sequence[str]) -> bool:
    """Say, quickly, whether the tokens that the change needs stand there in any order."""
    there = set(tokens)
    for hunk in change.hunks:
        if hunk.old:
            if not there.issuperset(change.tokens[hunk.start : hunk.end]):
                return False
        elif there.isdisjoint(change.tokens[max(0, hunk.start - 1) : hunk.end + 1]):
            return False
    return True


def _held(hunks: Sequence[Hunk], counterpart: Mapping[int, int]) -> float:
    """Return the share of hunk borders whose neighbour has a counterpart next to the change."""
    n_held = sum((hunk.start - 1 in counterpart) + (hunk.end in counterpart) for hunk in hunks)
    return n_held / (2 * len(hunks))


def _span(hunk: Hunk, counterpart: dict[int, int], tokens: Sequence[str]) -> tuple[int, int] | None:
    """Return the tokens of the other line that the hunk's stand for."""
    if hunk.end > hunk.start:
        spots = [counterpart.get(i) for i in range(hunk.start, hunk.end)]
        first, last = spots[0], spots[-1]
        if None in spots or first is None or last is None or last - first != len(spots) - 1:
            return None
        return first, last + 1
    behind = counterpart.get(hunk.start)
    before = counterpart.get(hunk.start - 1)
    if behind is not None and (before is None or before == behind - 1):
        return behind, behind
    if before is not None and behind is None:
        return before + 1, before + 1
    return None
