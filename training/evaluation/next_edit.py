"""`foretype eval --next-edit`: a repository's commits edited again, the next edits foretold.

A session is one file of one commit. Its hunks are made one after the other, from the top or, in
half of the files, from a hunk drawn by lot, since nobody knows an author's order. After each edit
the product may offer one. An offer is right if its lines are just the commit's at that place: it is
taken, and the next may be offered at once. A wrong one is passed over and does not come back. What
was changed in the commit's earlier files is remembered. A line changed by hand is typed in two
halves: after the first the product may offer the rest.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assistant.edits.history import MAX_EDITS, Edit, line_changes
from assistant.edits.next_edit import NextEdits, find_begun
from assistant.edits.proposals import Proposal
from assistant.git import GitError
from assistant.source.blocks import n_common
from assistant.source.languages import language_name
from training.evaluation.intervals import format_percent, macro_mean
from training.evaluation.replay import history
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.report_tables import format_range, format_table

MAX_LINES = 3_000  # of a file: comparing longer ones with each other takes seconds
MAX_HUNK_LINES = 40
HUNKS = range(2, 41)  # of a file worth replaying; more is a tool's work
MAX_FILES = 8  # of a commit
MAX_BY_HAND = 8  # edits made in a session before it ends
MAX_OFFERS = 40

Lines = Sequence[str]


class EditedFile(NamedTuple):
    """A file before and after a commit."""

    commit: str
    path: str
    old: tuple[str, ...]
    new: tuple[str, ...]


class Offer(NamedTuple):
    """One edit that was offered, and whether it was the commit's."""

    proposal: Proposal
    probability: float
    is_right: bool


def edited_files(
    repository: Path, n_commits: int, *, seed: int = 0
) -> Iterator[tuple[EditedFile, list[Edit]]]:
    """Yield files that commits drawn by lot changed in more than one place.

    With each comes a list for the edits of its commit. ReplayError if there is no history.
    """
    commits = history.later_commits(repository, "HEAD")
    random.Random(seed).shuffle(commits)
    blobs = history.BlobTexts(repository)
    for commit in commits[:n_commits]:
        try:
            changed = [
                item
                for item in history.changes(repository, commit)
                if item.status == "M" and item.is_text and len(item.hunks) in HUNKS
                if history.is_code(item.path)
            ]
        except GitError:
            continue  # a part of the history is not there
        if len(changed) > MAX_FILES:
            continue
        texts = blobs.read(name for item in changed for name in (item.old_object, item.new_object))
        made: list[Edit] = []
        for item in changed:
            old, new = texts[item.old_object], texts[item.new_object]
            if old and new and max(old.count("\n"), new.count("\n")) <= MAX_LINES:
                before, after = tuple(old.split("\n")), tuple(new.split("\n"))
                yield EditedFile(commit=commit.id, path=item.path, old=before, new=after), made


class Session:
    """One file's edits made again, with what was offered after each; `show` is the setting.

    `made` has the edits of the commit's earlier files, and gets this file's.
    """

    def __init__(
        self, file: EditedFile, show: str, made: list[Edit], edits: NextEdits | None = None
    ) -> None:
        self.file = file
        self.offers: list[Offer] = []
        self.n_repeated = 0  # lines changed as a line had been before, by hand or by an offer taken
        self.n_found = 0  # of these, those offered
        written = (file.new[start:end] for _, _, start, end in _hunks(file.old, file.new))
        self.n_chars = _count_typed(line for lines in written for line in lines)
        self.n_saved = 0  # of the characters that the commit wrote, those offered
        self.milliseconds: list[float] = []  # each time that it was asked
        self.finished: list[bool] = []  # whether the offered rest of a line begun was right
        self._show, self._made, self._product = show, made, edits or NextEdits()
        self._text = list(file.old)

    def replay(self) -> "Session":
        """Make the edits, asking after each; return the session."""
        for edit in edits_by_hand(self.file, self._text, MAX_BY_HAND):
            self._finish_line(edit)
            self._count_repeated(edit, is_offered=False)
            if is_typed(edit):
                self._made.append(edit)
                self._take_offers()
        return self

    def _finish_line(self, edit: Edit) -> None:
        """Ask for the rest of an edit when half of it is typed, where it is in one line."""
        if len(edit.old) != 1 or len(edit.new) != 1:
            return
        begun, column, rest = begin_line(edit.old[0], edit.new[0])
        lines = [*self._text[: edit.row], begun, *self._text[edit.row + 1 :]]
        known = [*self._made[-MAX_EDITS:], edit._replace(new=(begun,))]
        may_be = find_begun(edit.path, edit.row, begun, known)
        if may_be:
            cursor = (edit.row, column)
            if offered := self._product.finish(edit.path, lines, cursor, may_be, self._show):
                self.finished.append(offered == rest)

    def _take_offers(self) -> None:
        """Ask until nothing is offered, or something wrong."""
        path, text, made, final = self.file.path, self._text, self._made, self.file.new
        while len(self.milliseconds) < MAX_OFFERS:
            started_s = time.perf_counter()
            found = self._product.propose(path, text, made[-1].row, made[-MAX_EDITS:], self._show)
            self.milliseconds.append(1_000 * (time.perf_counter() - started_s))
            if not found:
                return
            proposal = found[0].proposal
            right = is_right(text, final, proposal, count_differing(text, final))
            self.offers.append(Offer(proposal, found[0].probability, right))
            if not right:
                self._product.offered(path, found[0])
                self._product.dismiss()
                return
            end = proposal.row + len(proposal.old)
            edit = _make_edit(path, text, proposal.row, end, proposal.new)
            self._count_repeated(edit, is_offered=True)
            self.n_saved += _count_typed(proposal.new)
            made.append(edit)

    def _count_repeated(self, edit: Edit, *, is_offered: bool) -> None:
        its = [item for item in self._made if item.path == edit.path]
        before = {(change.old, change.new) for item in its for change in line_changes(item)}
        n_repeated = sum((item.old, item.new) in before for item in line_changes(edit))
        self.n_repeated += n_repeated
        self.n_found += n_repeated * is_offered


def _count_typed(lines: Iterable[str]) -> int:
    return sum(len(line.strip()) for line in lines)


def begin_line(old: str, new: str) -> tuple[str, int, str]:
    """Return the line with half of its change typed, the cursor's column, and the rest to type."""
    head = n_common(old, new)
    end = len(new) - n_common(old[head:][::-1], new[head:][::-1])
    column = head + (end - head) // 2
    return new[:column] + new[end:], column, new[column:end]


def edits_by_hand(file: EditedFile, text: list[str], most: int) -> Iterator[Edit]:
    """Make the commit's edits in `text`, from a row drawn by lot on; yield each when it is made."""
    draw = random.Random(f"{file.commit}:{file.path}")
    start = draw.randrange(len(file.old)) if draw.random() < 0.5 else 0
    for _ in range(most):
        hunks = _hunks(text, file.new)
        hunk = next((hunk for hunk in hunks if hunk[0] >= start), hunks[0] if hunks else None)
        if hunk is None:
            return
        old_start, old_end, new_start, new_end = hunk
        start = old_start + new_end - new_start
        yield _make_edit(file.path, text, old_start, old_end, file.new[new_start:new_end])


def is_typed(edit: Edit) -> bool:
    """Say whether a person made the edit; a larger one is a tool's."""
    return max(len(edit.old), len(edit.new)) <= MAX_HUNK_LINES


def is_right(text: Lines, final: Lines, proposal: Proposal, n_differ: int) -> bool:
    """Say whether `proposal` brings `text` nearer to `final`, its lines being just those there.

    `n_differ` is `count_differing(text, final)`, which many proposals share.
    """
    if not set(proposal.new) <= set(final):
        return False
    end = proposal.row + len(proposal.old)
    changed = [*text[: proposal.row], *proposal.new, *text[end:]]
    hunks = _hunks(changed, final)
    new_rows = range(proposal.row, proposal.row + len(proposal.new))
    if any(start < new_rows.stop and new_rows.start < stop for start, stop, _, _ in hunks):
        return False
    return _size(hunks) < n_differ


def count_differing(text: Lines, final: Lines) -> int:
    """Return how many lines the two differ in."""
    return _size(_hunks(text, final))


def _size(hunks: Sequence[tuple[int, int, int, int]]) -> int:
    return sum(max(hunk[1] - hunk[0], hunk[3] - hunk[2]) for hunk in hunks)


def _hunks(text: Lines, final: Lines) -> list[tuple[int, int, int, int]]:
    matcher = SequenceMatcher(None, text, final, autojunk=False)
    return [(a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def _make_edit(path: str, text: list[str], start: int, end: int, new: Lines) -> Edit:
    """Change `text` in place; return the edit."""
    edit = Edit(
        path=path,
        row=start,
        old=tuple(text[start:end]),
        new=tuple(new),
        before=text[start - 1] if start else "",
        after=text[end] if end < len(text) else "",
    )
    text[start:end] = new
    return edit


def evaluate(
    repositories: Sequence[Path], n_commits: int, *, show: str, seed: int = 0
) -> dict[str, Any]:
    """Replay commits of these repositories; return the figures, all together and by language."""
    sessions = [
        Session(file, show, made).replay()
        for repository in repositories
        for file, made in edited_files(repository, n_commits, seed=seed)
    ]
    if not sessions:
        raise ReplayError(
            f"no commit there changed {history.CODE} in more than one place of a file: nothing to"
            " replay"
        )
    by_language: dict[str, list[Session]] = defaultdict(list)
    for session in sessions:
        by_language[language_name(session.file.path)].append(session)
    languages = {name: summarize(its) for name, its in sorted(by_language.items())}
    return {"show": show, "all": summarize(sessions), "languages": languages}


def summarize(sessions: Sequence[Session]) -> dict[str, Any]:
    """Return the figures of sessions; shares of offers have 95% intervals over files."""
    offers = [(session.file, offer) for session in sessions for offer in session.offers]
    n_chars = sum(session.n_chars for session in sessions)
    n_repeated = sum(session.n_repeated for session in sessions)
    times = [ms for session in sessions for ms in session.milliseconds]
    p50, p95 = np.percentile(times or [0.0], [50, 95])
    kinds: dict[str, list[tuple[EditedFile, Offer]]] = defaultdict(list)
    for file, offer in sorted(offers, key=lambda pair: pair[1].proposal.kind):
        kinds[offer.proposal.kind].append((file, offer))
    finished = [right for session in sessions for right in session.finished]
    return {
        "files": len(sessions),
        "offers": len(offers),
        "right": _share_right(offers),
        "kinds": {
            kind: {"offers": len(its), "right": _share_right(its)} for kind, its in kinds.items()
        },
        "repeated": n_repeated,
        "found": sum(session.n_found for session in sessions) / max(1, n_repeated),
        "saved": sum(session.n_saved for session in sessions) / max(1, n_chars),
        "finished": len(finished),
        "finished_right": sum(finished) / max(1, len(finished)),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
    }


def _share_right(offers: Sequence[tuple[EditedFile, Offer]]) -> dict[str, float] | None:
    # One group: a repository with few offers must not count as much as one with many.
    rows = [("all", f"{file.commit}:{file.path}", float(offer.is_right)) for file, offer in offers]
    return macro_mean(rows) if rows else None


def format_report(report: dict[str, Any]) -> str:
    """Return the figures as text of at most 80 columns."""
    rows = []
    for name, its in (("all", report["all"]), *report["languages"].items()):
        shares = [format_percent(its[key]) for key in ("found", "saved")]
        counts = [str(its[key]) for key in ("files", "offers", "repeated")]
        rows.append([name, *counts[:2], format_range(its["right"]), counts[2], *shares])
    kinds = [
        [kind, str(its["offers"]), format_range(its["right"])]
        for kind, its in report["all"]["kinds"].items()
    ]
    title = f"Next edits offered while commits were made again (show = {report['show']})"
    head = ("", "files", "offers", "right", "repeated", "found", "saved")
    p50, p95 = (report["all"][key] for key in ("p50_ms", "p95_ms"))
    n_finished, finished_right = (report["all"][key] for key in ("finished", "finished_right"))
    lines = [
        *format_table(title, head, rows),
        "",
        *format_table("by kind", ("", "offers", "right"), kinds),
        "",
        "right: offers that were just what the commit holds there. repeated: lines",
        "changed as another line of the file had been; found: those that were offered.",
        "saved: characters of the commits' lines that came from an offer.",
        f"Lines begun that it finished: {n_finished}; right: {format_percent(finished_right)}.",
        f"An offer took {p50:.1f} ms (95%: {p95:.1f} ms).",
    ]
    return "\n".join(lines) + "\n"
