"""Tasks with everything the ranker may look at: the product's own proposals and scores.

Two kinds: cursors in the files of the newest commit, and in lines that later commits added,
with the tree as it was. The index never holds the file under test. Some cursors stand at the end of
a finished line, where nothing is right: the gate must know them.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from pathlib import Path

import numpy as np

from assistant.generate import prompt
from assistant.generate.backend import LocalBackend
from assistant.generate.single_line import RankedLines, rank_lines, rank_without_network
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.index.matches import SearchableIndex
from assistant.rank.candidates import Cursor, Proposal, propose
from assistant.rank.features import Rows
from assistant.rank.ranker import RankerParameters
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from assistant.source.languages import LANGUAGES, language_of
from model.candidate_tree import Score
from training.data.progress import say
from training.evaluation.exact_line import make_job, make_request
from training.evaluation.held_out import Task, held_out_files, sample_tasks
from training.evaluation.longest_match import LongestMatch
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.tasks import replay_tasks

_NEVER_SURE = 2.0
_SHARE_AT_END = 0.03  # of the cursors: about one typed character in thirty-five is a line's end

Files = Sequence[tuple[str, str]]  # path, text


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
    scores: tuple[Score | None, ...] = ()  # what the network said of each text; () without it
    line: str = ""  # left of the cursor
    language: str = ""
    greedy: str = ""
    longest_match: str = ""  # its line, where that was asked for
    path: str = ""  # the file

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
    files: Files  # that the index was built from


def draw_tasks(
    repository: Path,
    kind: str,
    n: int,
    seed: int,
    *,
    revisions: str | None = None,
    has_line_ends: bool = True,
) -> Iterator[CalibrationTask]:
    """Draw tasks of one repository; each index lives until the next one is needed.

    `revisions` is a range of commits for tasks of the history; without one, the later commits.
    With `has_line_ends`, now and then one more task, at the end of the line of the one before.
    """
    for files, tasks in _group_tasks(repository, kind, n, seed, revisions):
        with tempfile.TemporaryDirectory() as folder:
            build_from_texts(Path(folder), files)
            index, choice = FolderIndex(Path(folder)), SnippetCache(is_waiting=True)
            for group, task in tasks:
                each = CalibrationTask(
                    task=task, kind=kind, group=group, index=index, choice=choice, files=files
                )
                yield each
                draws = np.random.Generator(np.random.Philox(key=[seed + task.offset, 7]))
                if has_line_ends and draws.random() < _SHARE_AT_END:
                    end = Task(file=task.file, offset=task.offset + len(task.truth), truth="")
                    yield dataclasses.replace(each, task=end)


def _group_tasks(
    repository: Path, kind: str, n: int, seed: int, revisions: str | None
) -> Iterator[tuple[Files, list[tuple[str, Task]]]]:
    """Yield the (path, text) of an index, and the (group, task) that may use it."""
    if kind == "head":
        held_out = held_out_files(repository, languages=LANGUAGES)
        tasks = [(task.file.path, task) for task in sample_tasks(held_out, n, seed=seed)]
        yield [(file.path, file.text) for file in held_out], tasks
        return
    replayed = replay_tasks(repository, n, seed, revisions=revisions)
    for commit, its in groupby(replayed, key=lambda each: each.commit):
        members = list(its)
        yield members[0].snapshot.files, [(commit, each.task) for each in members]


def rank_task(
    each: CalibrationTask, backend: LocalBackend | None, parameters: RankerParameters | None
) -> RankingExample:
    """Ask as the engine would; without `backend` the index alone."""
    task = each.task
    proposal = propose(Cursor.of(task.file.path, task.text, task.offset), each.index)
    if backend is None:
        found = rank_without_network(proposal, parameters, language_of(task.file.path))
    else:
        found = _rank_with_network(each, proposal, backend, parameters)
    ranking = found.ranking
    return RankingExample(
        repository=task.file.repository,
        group=each.group,
        kind=each.kind,
        truth=task.truth,
        texts=ranking.texts,
        rows=ranking.rows,
        names=ranking.names,
        scores=ranking.scores,
        line=ranking.line,
        language=ranking.language,
        greedy=found.greedy,
        path=task.file.path,
    )


def _rank_with_network(
    each: CalibrationTask,
    proposal: Proposal,
    backend: LocalBackend,
    parameters: RankerParameters | None,
) -> RankedLines:
    request = make_request(each.task)
    n_chars = prompt.snippet_chars(backend.info.snippet_tokens)
    snippets = each.choice.snippets_for(each.index, request, budget_chars=n_chars)
    job = make_job(backend, request, Settings().max_new_tokens, snippets)
    language = language_of(request.path)
    return rank_lines(backend, proposal, job, language, parameters=parameters, sure=_NEVER_SURE)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CollectSettings:
    """Which tasks to collect."""

    tasks: int  # in each repository, of each kind
    kinds: tuple[str, ...]
    seed: int
    line_ends: bool = True
    longest_match: bool = False  # ask that, too


def collect(
    repositories: Sequence[Path],
    settings: CollectSettings,
    backend: LocalBackend | None,
    parameters: RankerParameters | None,
) -> list[RankingExample]:
    """Return the examples of all tasks; with `backend`, judged by the network too."""
    examples: list[RankingExample] = []
    files, match = None, LongestMatch(())
    for repository, kind in product(repositories, settings.kinds):
        before, seconds = len(examples), 0.0
        tasks = draw_tasks(
            repository, kind, settings.tasks, settings.seed, has_line_ends=settings.line_ends
        )
        try:
            for each in tasks:
                started = time.monotonic()
                examples.append(rank_task(each, backend, parameters))
                seconds += time.monotonic() - started
                if settings.longest_match:
                    if each.files is not files:
                        files, match = each.files, LongestMatch(each.files)
                    text, at = each.task.text, each.task.offset
                    line, _ = match.rest_of_line(text[:at], text[at:], path=each.task.file.path)
                    examples[-1].longest_match = line
        except ReplayError as error:
            say(str(error))
        n = len(examples) - before
        say(f"{repository.name} {kind}: {n} tasks, {1_000 * seconds / max(1, n):.0f} ms each")
    return examples
