"""The next edit of a workspace: what was changed, what is due, what was offered and not wanted.

Follows documents by the changes told to it, in memory only. Not thread-safe: what is slow
(`propose`) works on copies and may run on another thread.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from assistant.edits import ASKED
from assistant.edits.history import MAX_EDITS, Edit, EditHistory, align, line_changes
from assistant.edits.proposals import Proposal, find_proposals
from assistant.privacy.redaction import PERSONAL
from assistant.privacy.redaction import find as find_secrets
from assistant.privacy.unfinished import edited_at, open_secret
from assistant.source.blocks import n_common
from model.lru import LRU

MAX_DISMISSED = 256
MAX_FEATURE = 5.0  # what a feature counts at most: a text of a thousand lines is like one of 150
BIAS = "bias"


class ProposedEdit(NamedTuple):
    """An edit that may be shown, with how likely it is right."""

    proposal: Proposal
    probability: float


class Confidence(NamedTuple):
    """How likely an edit is right: a logistic model a kind, fitted on real commits.

    `training/calibration/next_edit.py` fits it and writes `confidence.json`, with the share that
    was right on held-out commits from each threshold on.
    """

    weights: Mapping[str, Mapping[str, float]]  # by the proposal's kind, then by feature
    thresholds: Mapping[str, float]  # by the setting `show`

    def probability(self, proposal: Proposal) -> float:
        """Return how likely `proposal` is what the user does next at its place; 0 if unknown."""
        weights = self.weights.get(proposal.kind)
        if weights is None:
            return 0.0
        logit = weights[BIAS]
        for name, value in proposal.features.items():
            logit += weights.get(name, 0.0) * min(value, MAX_FEATURE)
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


@functools.cache
def load_confidence() -> Confidence:
    """Return the parameters that came with the package."""
    file = resources.files("assistant.edits") / "confidence.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    return Confidence(weights=table["weights"], thresholds=table["thresholds"])


class Begun(NamedTuple):
    """An edit that the user may have begun at the cursor."""

    line: str  # as it was before
    edits: Sequence[Edit]  # the others, which may be due there


class NextEdits:
    """Follows the edits of a workspace and says which ones are due."""

    def __init__(self, confidence: Confidence | None = None) -> None:
        self.history = EditHistory()
        self._confidence = confidence or load_confidence()
        self._offered: tuple[str, Proposal] | None = None
        self._dismissed: LRU[tuple[str, tuple[str, ...], tuple[str, ...]], None]
        self._dismissed = LRU(MAX_DISMISSED)

    def note(self, path: str, row: int, old: Sequence[str], new: Sequence[str]) -> None:
        """Take a change; an offer that the user passes over for another one does not come back."""
        if self._offered is not None:
            offered_path, offer = self._offered
            if path != offered_path or not offer.row <= row <= offer.row + len(offer.old):
                self.dismiss()
            self._offered = None
        self.history.note(path, row, old, new)

    def offered(self, path: str, edit: ProposedEdit) -> None:
        """Remember what is being shown."""
        self._offered = (path, edit.proposal)

    def dismiss(self) -> None:
        """Take note that the user waved the shown edit away."""
        if self._offered is not None:
            path, offer = self._offered
            self._dismissed.put((path, offer.old, offer.new), None)
            self._offered = None

    def is_wanted(self, path: str, proposal: Proposal) -> bool:
        """Say whether the user has not waved the same edit away."""
        return (path, proposal.old, proposal.new) not in self._dismissed

    def propose(
        self, path: str, lines: Sequence[str], row: int, edits: Sequence[Edit], show: str
    ) -> list[ProposedEdit]:
        """Return what is due in the document at `path`, surest first, one edit a place.

        `show` is the setting; nothing less sure than it allows, nothing dismissed, no secret.
        `row` is the cursor's; distances count from the last edit where that is in this document.
        What other documents teach is due by itself in the very same lines only.
        """
        edits = _standing(edits, path, lines)
        if edits and edits[-1].path == path:
            row = edits[-1].row
        newest = {edit.path: edit for edit in edits}  # what may still be typed in other documents
        edits = [
            edit
            for edit in edits
            if not is_secret(edit, is_typed=edit.path != path and edit is newest[edit.path])
        ]
        least = self._confidence.thresholds.get(show, 2.0)
        best: dict[int, ProposedEdit] = {}
        for proposal in find_proposals(lines, path, row, edits):
            is_foreign = proposal.features["elsewhere"] and proposal.kind != "same line"
            if is_foreign and show != ASKED:
                continue
            probability = self._confidence.probability(proposal)
            known = best.get(proposal.row)
            if probability < least or not self.is_wanted(path, proposal):
                continue
            if known is None or probability > known.probability:
                best[proposal.row] = ProposedEdit(proposal, probability)
        ranked = sorted(best.values(), key=lambda edit: -edit.probability)
        return [edit for edit in ranked if not find_secrets("\n".join(edit.proposal.new))]

    def finish(
        self, path: str, lines: Sequence[str], place: tuple[int, int], begun: Begun, show: str
    ) -> str:
        """Return what is left to type at `place` (row, column), "" where nothing is sure.

        What is typed must be how the line begins when the edit is made, and what follows the cursor
        how it ends.
        """
        row, column = place
        line = lines[row]
        before = [*lines[:row], begun.line, *lines[row + 1 :]]
        head, tail = line[:column], line[column:]
        for found in self.propose(path, before, row, begun.edits, show):
            if found.proposal.row == row and len(found.proposal.new) == 1:
                new = found.proposal.new[0]
                if new.startswith(head) and new.endswith(tail) and len(new) > len(line):
                    return new[column : len(new) - len(tail)]
        return ""


def _standing(edits: Sequence[Edit], path: str, lines: Sequence[str]) -> list[Edit]:
    """Leave out what was taken back, by hand or by a text put in place: its old lines are back."""
    text = "\n".join(("", "", *lines, "", ""))

    def holds(edit: Edit, its: Sequence[str]) -> bool:
        return "\n".join(("", edit.before, *its, edit.after, "")) in text

    return [
        edit
        for edit in edits
        if edit.path != path or holds(edit, edit.new) or not holds(edit, edit.old)
    ]


@functools.lru_cache(maxsize=2 * MAX_EDITS)
def is_secret(edit: Edit, *, is_typed: bool) -> bool:
    """Say whether a key or password was put in, or, if it may still be typed, a part of one."""
    old, new = "\n".join(edit.old), "\n".join(edit.new)
    text = "\n".join((edit.before, new, edit.after))
    at = len(edit.before) + 1
    start, end = at + n_common(old, new), at + edited_at(old, new)
    if is_typed and open_secret(text, end) is not None:
        return True
    found = (item for item in find_secrets(text) if item.kind not in PERSONAL)
    return any(item.start < end and start < item.end for item in found)


def find_begun(path: str, row: int, line: str, edits: Sequence[Edit]) -> Begun | None:
    """Return what may be finished in `line`; None, quickly, where no other edit fits it."""
    was = line
    if edits and (edits[-1].path, edits[-1].row) == (path, row):
        if len(edits[-1].old) != 1 or len(edits[-1].new) != 1:
            return None
        was, edits = edits[-1].old[0], edits[:-1]
    changes = (change for edit in edits for change in line_changes(edit))
    if was.strip() and any(align(change, was) for change in changes):
        return Begun(was, edits)
    return None
