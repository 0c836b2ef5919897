"""Tasks with everything the ranker may look at: the product's own proposals and scores.

Two kinds: cursors in the files of the newest commit, and in lines that later commits added,
with the tree as it was. The index never holds the file under test. Some cursors stand at the end of
a finished line, where nothing is right: the gate must know them.
"""

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from assistant.generate import prompt
from assistant.generate.backend import LocalBackend
from assistant.generate.lines import RankedLines, rank_lines
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.rank.candidates import Cursor, propose
from assistant.rank.ranker import RankerParameters
from assistant.rank.ranking import Ranking
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from assistant.source.languages import LANGUAGES, Language, language_of
from training.data.progress import say
from training.data.sources import open_source, refuse_namesakes
from training.evaluation.answers import make_job, make_request
from training.evaluation.held_out import Task, held_out_files, sample_tasks
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.systems import LongestMatch
from training.evaluation.replay.tasks import replay_tasks

_NEVER_SURE = 2.0
_SHARE_AT_END = 0.03  # of the cursors: about one typed character in thirty-five is a line's end

Files = Sequence[tuple[str, str]]  # path, text
GroupedTask = tuple[str, Task]  # with its file or commit


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RankingExample:
    """One cursor: what was proposed, as the ranker sees it, and what was right."""

    repository: str
    group: str  # what a bootstrap draws: a file, or a commit
    kind: str  # "head" or "history"
    truth: str
    ranking: Ranking
    greedy: str = ""  # the network's own line
    longest_match: str = ""  # its line, where that was asked for

    @property
    def label(self) -> int:
        """The position of the truth among the texts; -1 if it is not there."""
        texts = self.ranking.texts
        return texts.index(self.truth) if self.truth in texts else -1


class CollectSettings(NamedTuple):
    """Which tasks to collect."""

    tasks: int  # in each repository, of each kind
    kinds: tuple[str, ...]
    seed: int
    line_ends: bool = True  # now and then one more, at the end of the line of the one before
    longest_match: bool = False  # ask that, too


def collect(
    repositories: Sequence[Path],
    settings: CollectSettings,
    backends: Sequence[LocalBackend],
    parameters: RankerParameters | None,
) -> list[RankingExample]:
    """Return the examples of all tasks, judged by the first network that knows the language, too.

    With no network, by the index alone.
    """
    refuse_namesakes(open_source(repository).name for repository in repositories)
    examples: list[RankingExample] = []
    for repository, kind in product(repositories, settings.kinds):
        before, started_s = len(examples), time.monotonic()
        try:
            for files, tasks in draw_tasks(repository, kind, settings):
                match = LongestMatch(files) if settings.longest_match else None
                ranked = _rank_all(files, tasks, backends, parameters)
                for (group, task), found in zip(tasks, ranked, strict=True):
                    example = RankingExample(
                        repository=task.file.source,
                        group=group,
                        kind=kind,
                        truth=task.truth,
                        ranking=found.ranking,
                        greedy=found.greedy,
                        longest_match=match.answer(task).text if match else "",
                    )
                    examples.append(example)
        except ReplayError as error:
            say(str(error))
        n, seconds = len(examples) - before, time.monotonic() - started_s
        say(f"{repository.name} {kind}: {n} tasks, {1_000 * seconds / max(1, n):.0f} ms each")
    return examples


def draw_tasks(
    repository: Path, kind: str, settings: CollectSettings
) -> Iterator[tuple[Files, list[GroupedTask]]]:
    """Yield the files of an index, and the tasks that may use it.

    From the top of each file down: what a network has read of it need not be read again.
    """
    n, seed = settings.tasks, settings.seed
    if kind == "head":
        held_out = held_out_files(repository, languages=LANGUAGES)
        tasks = [(task.file.path, task) for task in sample_tasks(held_out, n, seed=seed)]
        tasks.sort(key=_place)
        yield [(file.path, file.text) for file in held_out], [*_with_line_ends(tasks, settings)]
        return
    for commit, its in groupby(replay_tasks(repository, n, seed), key=lambda each: each.commit):
        members = list(its)
        tasks = sorted(((commit, each.task) for each in members), key=_place)
        yield members[0].snapshot.files, [*_with_line_ends(tasks, settings)]


def _place(grouped: GroupedTask) -> tuple[str, int]:
    return grouped[1].file.path, grouped[1].offset


def _with_line_ends(
    tasks: Sequence[GroupedTask], settings: CollectSettings
) -> Iterator[GroupedTask]:
    for group, task in tasks:
        yield group, task
        draws = np.random.Generator(np.random.Philox(key=[settings.seed + task.offset, 7]))
        if settings.line_ends and draws.random() < _SHARE_AT_END:
            end = task.offset + len(task.truth)
            yield group, Task(file=task.file, offset=end, truth="")


def _rank_all(
    files: Files,
    tasks: Sequence[GroupedTask],
    backends: Sequence[LocalBackend],
    parameters: RankerParameters | None,
) -> Iterator[RankedLines]:
    """Ask as the engine would, with an index of `files`."""
    snippets = SnippetCache(is_waiting=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        build_from_texts(Path(folder), files)
        index = FolderIndex(Path(folder))
        for _, task in tasks:
            proposal = propose(Cursor.of(task.file.path, task.text, task.offset), index)
            language = language_of(task.file.path)
            if not backends:
                yield rank_lines(proposal, language, parameters)
                continue
            backend = _serving(backends, language)
            request = make_request(task)
            n_chars = prompt.snippet_chars(backend.info.snippet_tokens)
            shown = snippets.snippets_for(index, request, budget_chars=n_chars)
            job = make_job(backend, request, Settings().max_new_tokens, shown)
            yield rank_lines(proposal, language, parameters, backend, job, sure=_NEVER_SURE)


def _serving(backends: Sequence[LocalBackend], language: Language | None) -> LocalBackend:
    """Return the first that knows the language; one that names no language knows all."""
    for backend in backends:
        known = backend.info.languages
        if not known or (language is not None and language.name in known):
            return backend
    return backends[0]
