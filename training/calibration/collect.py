"""Tasks with everything the ranker may look at: the product's own proposals and scores.

Two kinds: cursors in the files of the newest commit, and in lines that later commits added,
with the tree as it was. The index never holds the file under test. Some cursors stand at the end of
a finished line, where nothing is right: the gate must know them.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from assistant.cancel import Cancel
from assistant.generate import prompt
from assistant.generate.backend import LocalBackend
from assistant.generate.single_line import RankedLines, rank_lines, rank_without_network
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.index.matches import SearchableIndex
from assistant.rank.candidates import Cursor, Proposal, propose
from assistant.rank.features import Rows
from assistant.rank.ranker import RankerParameters
from assistant.request import CompletionRequest
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from assistant.source.languages import language_of
from training.evaluation.held_out import HeldOutFile, Task, held_out_files, sample_tasks
from training.evaluation.longest_match import LongestMatch
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.tasks import replay_tasks

_NEVER_SURE = 2.0
_PATIENCE_S = 60.0  # quality is fitted without a deadline
_SHARE_AT_END = 0.03  # of the cursors: about one typed character in thirty-five is a line's end


@dataclasses.dataclass(kw_only=True, slots=True)
class RankingExample:
    """One cursor: what was proposed, as the ranker sees it, and what was right."""

    repository: str
    group: str  # what a bootstrap draws: a file, or a commit
    kind: str  # "head" or "history"
    truth: str
    texts: tuple[str, ...]
    rows: Rows
    names: tuple[str, ...]
    greedy: str = ""
    voted: str = ""  # the longest-match vote's line, where that was asked for

    @property
    def label(self) -> int:
        """The position of the truth among the texts; -1 if it is not there."""
        return self.texts.index(self.truth) if self.truth in self.texts else -1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationTask:
    """A cursor and the index it may use."""

    task: Task
    kind: str
    group: str
    index: SearchableIndex
    choice: SnippetCache
    files: Sequence[tuple[str, str]]  # that the index was built from


def draw_tasks(
    repository: Path, kind: str, n: int, seed: int, *, revisions: str | None = None
) -> Iterator[CalibrationTask]:
    """Draw tasks of one repository; each index lives until the next one is needed.

    `revisions` is a range of commits for tasks of the history; without one, the later commits.
    """
    if kind == "head":
        files = held_out_files(repository)
        yield from _with_index(
            [(file.path, file.text) for file in files],
            [(task, task.file.path) for task in sample_tasks(files, n, seed=seed)],
            kind,
        )
        return
    tasks = replay_tasks(repository, n, seed, revisions=revisions)
    for commit, its in groupby(tasks, key=lambda task: task.commit):
        members = list(its)
        yield from _with_index(
            members[0].snapshot.files, [(each.task, commit) for each in members], kind
        )


def _with_index(
    texts: Sequence[tuple[str, str]], tasks: Sequence[tuple[Task, str]], kind: str
) -> Iterator[CalibrationTask]:
    with tempfile.TemporaryDirectory() as folder:
        build_from_texts(Path(folder), texts)
        index, choice = FolderIndex(Path(folder)), SnippetCache(is_waiting=True)
        for task, group in tasks:
            yield CalibrationTask(
                task=task, kind=kind, group=group, index=index, choice=choice, files=texts
            )


def add_line_ends(tasks: Sequence[CalibrationTask], seed: int) -> Iterator[CalibrationTask]:
    """Yield the tasks, and now and then one more at the end of the task's own line."""
    draws = np.random.Generator(np.random.Philox(key=[seed, 7]))
    for each in tasks:
        yield each
        if draws.random() < _SHARE_AT_END:
            file, task = each.task.file, each.task
            end = task.offset + len(task.truth)
            whole = HeldOutFile(repository=file.repository, path=file.path, text=file.text)
            yield dataclasses.replace(each, task=Task(file=whole, offset=end, truth=""))


def rank_task(
    each: CalibrationTask, backend: LocalBackend | None, parameters: RankerParameters | None
) -> tuple[RankingExample, float]:
    """Ask as the engine would; return the example and the seconds it took."""
    task = each.task
    request = CompletionRequest(
        path=task.file.path, text=task.text, offset=task.offset, deadline_ms=60_000
    )
    started = time.monotonic()
    proposal = propose(Cursor.of(task.file.path, task.text, task.offset), each.index)
    found = _rank(request, proposal, backend, parameters, each)
    seconds = time.monotonic() - started
    ranking = found.ranking
    return RankingExample(
        repository=task.file.repository,
        group=each.group,
        kind=each.kind,
        truth=task.truth,
        texts=ranking.texts,
        rows=ranking.rows,
        names=ranking.names,
        greedy=found.greedy,
    ), seconds


def _rank(
    request: CompletionRequest,
    proposal: Proposal,
    backend: LocalBackend | None,
    parameters: RankerParameters | None,
    each: CalibrationTask,
) -> RankedLines:
    if backend is None:
        return rank_without_network(proposal, parameters)
    n_chars = prompt.snippet_chars(backend.info.snippet_tokens)
    job = backend.prepare(
        request,
        max_new_tokens=Settings().max_new_tokens,
        deadline=time.monotonic() + _PATIENCE_S,
        cancel=Cancel(),
        snippets=each.choice.snippets_for(each.index, request, budget_chars=n_chars),
    )
    language = language_of(request.path)
    return rank_lines(backend, proposal, job, language, parameters=parameters, sure=_NEVER_SURE)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CollectSettings:
    """Which tasks to collect."""

    tasks: int  # in each repository, of each kind
    kinds: tuple[str, ...]
    seed: int
    line_ends: bool = True
    vote: bool = False  # ask the longest-match vote too


class _Voter:
    """The baseline's line at tasks; builds a vote whenever the files change."""

    def __init__(self) -> None:
        self._files: Sequence[tuple[str, str]] | None = None
        self._vote = LongestMatch(())

    def line(self, each: CalibrationTask) -> str:
        if each.files is not self._files:
            self._files, self._vote = each.files, LongestMatch(each.files)
        text, offset = each.task.text, each.task.offset
        return self._vote.rest_of_line(text[:offset], text[offset:], path=each.task.file.path)[0]


def collect(
    repositories: Sequence[Path],
    settings: CollectSettings,
    backend: LocalBackend | None,
    parameters: RankerParameters | None,
    say: Callable[[str], object] = sys.stderr.write,
) -> list[RankingExample]:
    """Return the examples of all tasks; with `backend`, judged by the network too."""
    examples: list[RankingExample] = []
    voter = _Voter()
    for repository in repositories:
        for kind in settings.kinds:
            before, seconds = len(examples), 0.0
            try:
                for each in _draw(repository, kind, settings):
                    found, took = rank_task(each, backend, parameters)
                    if settings.vote:
                        found.voted = voter.line(each)
                    examples.append(found)
                    seconds += took
            except ReplayError as error:
                say(f"{error}\n")
            n = len(examples) - before
            say(f"{repository.name} {kind}: {n} tasks, {1_000 * seconds / max(1, n):.0f} ms each\n")
    return examples


def _draw(repository: Path, kind: str, settings: CollectSettings) -> Iterator[CalibrationTask]:
    tasks = draw_tasks(repository, kind, settings.tasks, settings.seed)
    if not settings.line_ends:
        yield from tasks
        return
    for each in tasks:  # one at a time: an index is gone once the next one is built
        yield from add_line_ends([each], settings.seed + each.task.offset)
