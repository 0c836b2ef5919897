"""Where the last edits are due again in a text, with the features that say how likely it is."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from assistant.edits.history import (
    Edit,
    Hunk,
    LineChange,
    align,
    line_changes,
    occurrence,
    replace_occurrences,
    split_tokens,
)

MAX_ROWS = 20_000  # of a document that is searched
MAX_ALIGNED = 300  # lines compared with one change
Kind = Literal["same line", "like line", "tokens", "block"]
_Key = tuple[int, tuple[str, ...], tuple[str, ...]]
_COMMENT = ("# ", "//", "* ", "/*", '"""', "--")
# Words that begin a definition, in the languages that we know.
_DEFINES = frozenset(
    "class const def enum fn from func function import interface let struct trait type use"
    " var".split()
)


class Proposal(NamedTuple):
    """Lines `row:row + len(old)` of a text should become `new`."""

    row: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    kind: Kind
    features: dict[str, float]  # that say how likely it is

    @property
    def is_of_last_edit(self) -> bool:
        """Whether the newest of the edits asks for it, not an older one alone."""
        return self.features.get("age", 0.0) == 0.0


def find_proposals(
    lines: Sequence[str], path: str, row: int, edits: Sequence[Edit]
) -> list[Proposal]:
    """Return what the edits would change in `lines` of the document at `path`, cursor in `row`.

    A place comes once for each way to change it, by the newest edit that asks for it.
    """
    if len(lines) > MAX_ROWS:
        return []
    found: dict[_Key, Proposal] = {}
    rows = [edit.row for edit in edits if edit.path == path]
    just_written = {line.strip() for edit in edits for line in edit.new}
    for age, edit in enumerate(reversed(edits)):
        for group in _groups(lines, edit, just_written):
            places = [place for place in group if not _is_own(place, path, edit)]
            for proposal in places:
                key = (proposal.row, proposal.old, proposal.new)
                if key in found:
                    found[key].features["examples"] += 1
                    continue
                proposal.features.update(
                    examples=1.0,
                    age=math.log1p(age),
                    places=math.log(len(places)),
                    # Places between the first and the last edit: they were passed over.
                    skipped=float(sum(min(rows) < each.row < max(rows) for each in places if rows)),
                    elsewhere=float(edit.path != path),
                    **_position_features(proposal, row, edit),
                )
                found[key] = proposal
    asked = Counter(proposal.row for proposal in found.values())
    for proposal in found.values():
        proposal.features["rivals"] = float(asked[proposal.row] - 1)
    return list(found.values())


def _is_own(place: Proposal, path: str, edit: Edit) -> bool:
    """Whether a place is among the lines that the edit wrote."""
    at = place.row - edit.row
    return edit.path == path and 0 <= at < len(edit.new) and place.old[:1] == (edit.new[at],)


def _groups(
    lines: Sequence[str], edit: Edit, just_written: set[str]
) -> Iterator[Iterator[Proposal]]:
    """Yield the places of each single change of an edit."""
    yield _blocks(lines, edit)
    for change in line_changes(edit):
        yield _lines_like(lines, change, just_written)
        for hunk in change.hunks:
            yield _tokens(lines, change, hunk)


def _blocks(lines: Sequence[str], edit: Edit) -> Iterator[Proposal]:
    """Lines that were replaced, taken away, or put in behind another, as a whole."""
    if len(edit.old) == len(edit.new):
        return
    head = (edit.before,) if edit.before.strip() else ()
    template = (*head, *edit.old)
    old = [line.strip() for line in template]
    new = [line.strip() for line in edit.new]
    if not any(map(_is_telling, old)) or not any(map(_is_telling, (*edit.old, *edit.new))):
        return
    for row in range(len(lines) - len(old) + 1):
        if lines[row].strip() != old[0]:
            continue
        spot = [line.strip() for line in lines[row : row + len(old)]]
        start = row + len(head)
        is_there = new and [line.strip() for line in lines[start : start + len(new)]] == new
        if spot == old and not is_there:
            yield Proposal(
                row=start,
                old=tuple(lines[start : start + len(edit.old)]),
                new=_reindent(edit.new, template[0], lines[row]),
                kind="block",
                features={"inserts": float(not edit.old), "deletes": float(not edit.new)},
            )


def _is_telling(line: str) -> bool:
    """Whether a line is more than brackets and a keyword."""
    return sum(map(str.isalnum, line)) > 5


def _reindent(new: Sequence[str], template: str, line: str) -> tuple[str, ...]:
    """Return `new` moved from the indentation of `template` to that of `line`."""
    was, now = _indent(template), _indent(line)
    if was == now:
        return tuple(new)
    return tuple(now + text[len(was) :] if text and text.startswith(was) else text for text in new)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _lines_like(
    lines: Sequence[str], change: LineChange, just_written: set[str]
) -> Iterator[Proposal]:
    words = [token for token in change.tokens if len(token) > 2 and token.isidentifier()]
    features = _change_features(lines, change, change.hunks)
    n_aligned = 0
    for row, line in enumerate(lines):
        body = line.strip()
        if body != change.old:
            if body in just_written or not any(word in line for word in words):
                continue
            n_aligned += 1
            if n_aligned > MAX_ALIGNED:
                continue
        if aligned := align(change, line):
            kind: Kind = "same line" if aligned.alike == 1.0 else "like line"
            likeness = {"alike": aligned.alike, "held": aligned.held}
            yield Proposal(row, (line,), (aligned.line,), kind, likeness | features)


def _tokens(lines: Sequence[str], change: LineChange, hunk: Hunk) -> Iterator[Proposal]:
    left = "".join(change.tokens[max(0, hunk.start - 2) : hunk.start])
    right = "".join(change.tokens[hunk.end : hunk.end + 2])
    features = _change_features(lines, change, [hunk])
    for row, line in enumerate(lines):
        new = replace_occurrences(hunk, line)
        if new is None or (hunk.old in hunk.new and occurrence(hunk.new).search(line)):
            continue
        sides = {
            "left": float(left != "" and left + hunk.old in line),
            "right": float(right != "" and hunk.old + right in line),
        }
        yield Proposal(row, (line,), (new,), "tokens", sides | features)


def _change_features(
    lines: Sequence[str], change: LineChange, hunks: Sequence[Hunk]
) -> dict[str, float]:
    """Say what kind of change it is, and how common its words are in the text."""
    old, new = "".join(hunk.old for hunk in hunks), "".join(hunk.new for hunk in hunks)
    words, new_words = _words(old), _words(new)
    is_word = len(hunks) == 1 and hunks[0].old.isidentifier()
    fresh = [word for word in new_words if word not in words]
    return {
        "hunks": float(len(hunks)),
        "old_tokens": math.log1p(len(split_tokens(old))),
        "new_tokens": math.log1p(len(split_tokens(new))),
        "word_chars": math.log1p(max(map(len, words), default=0)),
        "one_word": float(is_word),
        "renames": float(is_word and hunks[0].new.isidentifier()),
        "defines": float(any(token in _DEFINES for token in change.tokens[:3])),
        "extends": float(bool(old) and old in new),
        "inserts": float(not old),
        "deletes": float(not new),
        "only_change": float(len(hunks) == len(change.hunks)),
        "old_known": _frequency(lines, words),
        "new_known": _frequency(lines, fresh),
    }


def _words(text: str) -> list[str]:
    return [token for token in split_tokens(text) if token.isidentifier()]


def _frequency(lines: Sequence[str], words: Sequence[str]) -> float:
    """Return in how many lines the rarest of `words` stands, as a logarithm."""
    return math.log1p(min((sum(word in line for line in lines) for word in words), default=0))


def _position_features(proposal: Proposal, row: int, edit: Edit) -> dict[str, float]:
    line = proposal.old[0] if proposal.old else ""
    return {
        "distance": math.log1p(abs(proposal.row - row)),
        "below": float(proposal.row > row),
        "comment": float(line.strip().startswith(_COMMENT)),
        "edit_lines": math.log1p(len(edit.old) + len(edit.new)),
        "same_indent": float(
            bool(proposal.old and edit.old) and _indent(line) == _indent(edit.old[0])
        ),
    }
