"""Cursors in lines that a repository's later commits added, with the tree as it was.

A task is a moment while a commit was being typed. Its document is the parent's file with one hunk
typed top-down: the hunk's lines above the cursor are there, the cursor's line ends at the cursor,
the rest of the hunk is not there, and below stands what the parent has below the hunk. Other hunks
and other files are as the parent has them. Nobody knows in which order an author worked; this is
the order that shows a system the least: nothing of the commit but what stands above the cursor in
one contiguous piece of text. The lines that the hunk replaces are gone, for they often are half the
answer. Deterministic: a seed and a history give the same tasks everywhere.
"""

import dataclasses
import difflib
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from assistant.git import GitError
from assistant.source.languages import language_of
from training.data.corpus import Document
from training.data.filters import path_reason, text_reason
from training.data.sources import open_source
from training.evaluation.held_out import Task
from training.evaluation.replay import history
from training.evaluation.replay.history import Commit, Hunk, ReplayError, Snapshot
from training.recipe import FilterSettings

Kind = Literal["line start", "mid-line", "mid-token"]

N_COMMITS = 20  # spread evenly over the range
MAX_CHANGED_FILES, MAX_TYPED_LINES = 300, 5_000  # of a commit: more was not typed
MAX_LINE_CHARS = 200  # nobody types a longer one
EDITED_RATIO = 0.7  # difflib's measure: with so much in common, the old line was changed
_MAX_PAIRS = 10_000  # old and new lines of one hunk: beyond this, nothing there counts as edited
_MIN_TYPED_CHARS = 40  # of a commit worth building an index for
_CHARS_PER_CURSOR = 8  # at most one cursor for so many characters: closer ones ask the same
_FILTERS = FilterSettings(min_bytes=1, test_keep_frac=1.0)  # all tests are kept


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TypedLine:
    """A line that a commit added; the document around it is put together when it is asked for."""

    path: str
    old: Sequence[str]  # all lines of the parent's file
    new: Sequence[str]  # all lines after the commit; those below the cursor are for labels only
    hunk: Hunk
    number: int  # of the line, in `new`

    @property
    def line(self) -> str:
        """The line with its indentation, without white space at its end."""
        return self.new[self.number].rstrip()

    @property
    def indent(self) -> int:
        """Characters before the first typed one."""
        return len(self.line) - len(self.line.lstrip())

    @property
    def n_typed(self) -> int:
        """Characters that the author typed."""
        return len(self.line) - self.indent

    @property
    def above(self) -> str:
        """The document above the line; ends with LF or is empty."""
        lines = [*self.old[: self.hunk.old_start], *self.new[self.hunk.new_start : self.number]]
        return "".join(line + "\n" for line in lines)

    @property
    def below(self) -> str:
        """The document below the line; begins with LF or is empty."""
        return "".join("\n" + line for line in self.old[self.hunk.old_end :])


class Stratum(NamedTuple):
    """Where a cursor stands: what figures are split by."""

    repository: str
    commit: str  # that is being typed
    language: str
    kind: Kind
    is_seen: bool  # the whole line stands verbatim in the tree or elsewhere in the document


class ReplayTask(NamedTuple):
    """One cursor, what the author wrote there, and what could be known."""

    task: Task
    snapshot: Snapshot  # shared by the tasks of a commit: build one index for each
    stratum: Stratum

    @property
    def commit(self) -> str:
        """The commit that is being typed."""
        return self.snapshot.commit

    @property
    def line_start(self) -> int:
        """Where the first typed character of the cursor's line stands, in code points."""
        start = self.task.text.rfind("\n", 0, self.task.offset) + 1
        line = self.task.file.text[start:].partition("\n")[0]
        return start + len(line) - len(line.lstrip())

    def cursors(self) -> list[Task]:
        """Return a task for each character of the cursor's line."""
        end, text = self.task.offset + len(self.task.truth), self.task.file.text
        return [
            Task(file=self.task.file, offset=offset, truth=text[offset:end])
            for offset in range(self.line_start, end)
        ]


def replay_tasks(
    repository: Path, n: int, seed: int, *, revisions: str | None = None, n_commits: int = N_COMMITS
) -> list[ReplayTask]:
    """Draw up to `n` cursors, uniform over the typed characters of each chosen commit.

    Every commit gets the same number, as far as it has enough characters. Oldest commit first.
    """
    commits = history.later_commits(repository, revisions)
    key = [seed, int(commits[-1].id[:16], 16)]
    draws = np.random.Generator(np.random.Philox(key=key))
    blobs = history.BlobTexts(repository)
    lines = _chosen_commits(repository, commits, n_commits, blobs, draws)
    if not lines:
        raise ReplayError(
            f"{repository}: the {len(commits)} commits looked at add no {history.CODE} that can be"
            " replayed; name an earlier range, or a repository of these languages"
        )
    parents = {commit.id: commit.parent for commit in commits if commit.id in lines}
    snapshots = history.read_snapshots(repository, parents, blobs)
    name = open_source(repository).name
    n_typed = (sum(line.n_typed for line in its) for its in lines.values())
    quotas = _quotas(n, [count // _CHARS_PER_CURSOR for count in n_typed])
    drawn = [
        (snapshots[commit], its[index], start)
        for (commit, its), quota in zip(lines.items(), quotas, strict=True)
        for index, start in _cursors(its, quota, draws)
    ]
    return _label(name, drawn)


def typed_lines(repository: Path, commit: Commit, blobs: history.BlobTexts) -> list[TypedLine]:
    """Return the lines of code that a commit added, in order; none of a commit of a mass change."""
    changed = [change for change in history.changes(repository, commit) if change.is_text]
    if len(changed) > MAX_CHANGED_FILES:
        return []
    code = [change for change in changed if history.is_code(change.path)]
    objects = {name for change in code for name in (change.old_object, change.new_object)}
    texts = blobs.read(sorted(name for name in objects if name.strip("0")))
    sides = []
    for change in code:  # split at LF only, as git counts lines
        old, new = (texts.get(name) or "" for name in (change.old_object, change.new_object))
        sides.append((change, old.split("\n"), new.split("\n")))
    gone = Counter(
        bare(line)
        for change, lines, _ in sides
        for hunk in change.hunks
        for line in lines[hunk.old_start : hunk.old_end]
    )
    found = [
        TypedLine(path=change.path, old=old, new=new, hunk=hunk, number=hunk.new_start + index)
        for change, old, new in sides
        if change.status in "AM" and _is_written(change.path, "\n".join(new))
        for hunk in change.hunks
        for index in find_typed(
            new[hunk.new_start : hunk.new_end], old[hunk.old_start : hunk.old_end], gone
        )
    ]
    return found if len(found) <= MAX_TYPED_LINES else []


def bare(line: str) -> str:
    """Return the line without any white space: lines equal in this differ in indentation only."""
    return "".join(line.split())


def find_typed(added: Sequence[str], removed: Sequence[str], gone: Counter[str]) -> list[int]:
    """Return the indices of the lines of a hunk that were typed.

    `removed` are the lines that the hunk replaces; `gone` counts the bare forms of all lines that
    the commit removes anywhere. Each explains one added line, and is used up by it.
    """
    kept, before = [], [line.strip() for line in removed]
    is_small = len(added) * len(removed) <= _MAX_PAIRS
    for index, line in enumerate(added):
        form = bare(line)
        if not form or len(line.strip()) > MAX_LINE_CHARS:
            continue
        if gone[form] > 0:
            gone[form] -= 1
            continue
        if not (is_small and difflib.get_close_matches(line.strip(), before, 1, EDITED_RATIO)):
            kept.append(index)
    return kept


def _is_written(path: str, text: str) -> bool:
    """Say whether people write this file: no vendored, generated, minified or huge one."""
    if path_reason(path, len(text.encode()), _FILTERS, ""):
        return False
    return text_reason(text, _FILTERS) is None


def _chosen_commits(
    repository: Path,
    commits: Sequence[Commit],
    n_commits: int,
    blobs: history.BlobTexts,
    draws: np.random.Generator,
) -> dict[str, list[TypedLine]]:
    """Return the typed lines of one random commit of each of `n_commits` equal spans of history."""
    chosen = {}
    for span in np.array_split(np.arange(len(commits)), min(n_commits, len(commits))):
        for index in draws.permutation(span):
            commit = commits[index]
            try:
                lines = typed_lines(repository, commit, blobs)
            except GitError:  # a part of the history is not there: partial clones lack large files
                continue
            if sum(line.n_typed for line in lines) >= _MIN_TYPED_CHARS:
                chosen[commit.id] = lines
                break
    return chosen


def _quotas(n: int, capacities: Sequence[int]) -> list[int]:
    """Share `n` out evenly; what one cannot take goes to the others.

    >>> _quotas(10, [2, 9, 9])
    [2, 4, 4]
    """
    quotas = [0] * len(capacities)
    order = sorted(range(len(capacities)), key=lambda i: capacities[i])
    for rank, i in enumerate(order):
        quotas[i] = min(capacities[i], n // (len(order) - rank))
        n -= quotas[i]
    return quotas


def _cursors(
    lines: Sequence[TypedLine], n: int, draws: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield (line, typed characters before the cursor), in order, no two alike."""
    ends = np.cumsum([line.n_typed for line in lines])
    for place in np.sort(draws.choice(int(ends[-1]), size=n, replace=False)):
        index = int(np.searchsorted(ends, place, side="right"))
        yield index, int(place - (ends[index - 1] if index else 0))


def _label(repository: str, drawn: Sequence[tuple[Snapshot, TypedLine, int]]) -> list[ReplayTask]:
    wanted = {line.line.strip() for _, line, _ in drawn}
    lines_of = functools.cache(lambda text: wanted.intersection(map(str.strip, text.split("\n"))))
    tasks = []
    for snapshot, line, n_before in drawn:
        above, below, path = line.above, line.below, line.path
        start = line.indent + n_before
        text = above + line.line + below
        task = Task(
            file=Document(source=repository, path=path, text=text),
            offset=len(above) + start,
            truth=line.line[start:],
        )
        kind: Kind = "mid-token" if task.is_mid_token else "mid-line"
        language = language_of(path)
        assert language is not None, path
        own = {other.strip() for other in (above + below).split("\n")}
        others = (lines_of(other) for name, other in snapshot.files if name != path)
        stratum = Stratum(
            repository=repository,
            commit=snapshot.commit,
            language=language.name,
            kind=kind if n_before else "line start",
            is_seen=any(line.line.strip() in lines for lines in (own, *others)),
        )
        tasks.append(ReplayTask(task=task, snapshot=snapshot, stratum=stratum))
    return tasks
