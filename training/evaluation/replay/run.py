"""The replay itself: every system at every cursor, a commit's tree indexed once.

Systems take turns at each cursor, so that a busy machine slows all of them alike. Repositories take
turns commit by commit, so that what was measured when somebody stops it is spread over all of them.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.data.corpus import Document
from training.data.progress import Progress
from training.data.sources import refuse_namesakes
from training.evaluation.answers import Answer, Judged, Keystrokes, judge, type_line
from training.evaluation.held_out import Task
from training.evaluation.replay.systems import EAGER, System
from training.evaluation.replay.tasks import N_COMMITS, ReplayTask, Stratum, replay_tasks

INTERRUPTED, OUT_OF_TIME = "interrupted", "the time was over"
_WARM_UP = Document(source="", path="warm_up.py", text="def first(items):\n    return items[0]\n")


class Plan(NamedTuple):
    """How much to measure, of each repository."""

    n_tasks: int
    n_lines: int  # typed from left to right
    n_commits: int = N_COMMITS
    seed: int = 0
    revisions: str | None = None
    limit_s: float | None = None  # for asking; what was measured by then counts


class Work(NamedTuple):
    """All cursors of one commit."""

    tasks: tuple[ReplayTask, ...]
    lines: tuple[ReplayTask, ...]  # of which the whole line is typed

    @property
    def n_cursors(self) -> int:
        """How often each system is asked."""
        return len(self.tasks) + sum(len(task.cursors()) for task in self.lines)


class Asked(NamedTuple):
    """One cursor and each system's judged answer."""

    stratum: Stratum
    judged: Mapping[str, Judged]

    def value(self, system: str, metric: str) -> float:
        """Return 1 or 0 by what an answer is: "exact", "right" or "offered"."""
        return float(getattr(self.judged[system], f"is_{metric}"))

    def is_shown(self, system: str, least: float) -> bool:
        """Say whether there is something, and it has at least this probability."""
        judged = self.judged[system]
        return judged.is_offered and judged.answer.probability >= least


class Line(NamedTuple):
    """One line and each system's answers before each of its characters."""

    stratum: Stratum
    text: str
    answers: Mapping[str, Sequence[Answer]]

    def type_with(self, system: str, least: float = 0.0) -> Keystrokes:
        """Type it with one system's help."""
        return type_line(self.text, self.answers[system], least)


@dataclasses.dataclass(kw_only=True, slots=True)
class Measured:
    """All answers so far."""

    asked: list[Asked] = dataclasses.field(default_factory=list)
    lines: list[Line] = dataclasses.field(default_factory=list)
    stopped: str = ""  # why it ended early; empty: it did not


def plan_work(repositories: Sequence[Path], plan: Plan) -> list[Work]:
    """Draw the tasks of all repositories; ReplayError names the one that cannot be replayed."""
    queues = [_work_of(repository, plan) for repository in repositories]
    refuse_namesakes(queue[0].tasks[0].stratum.repository for queue in queues if queue)
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _work_of(repository: Path, plan: Plan) -> list[Work]:
    tasks = replay_tasks(
        repository, plan.n_tasks, plan.seed, revisions=plan.revisions, n_commits=plan.n_commits
    )
    draws = np.random.Generator(np.random.Philox(key=[plan.seed, 1]))
    lines: dict[tuple[str, str, int], ReplayTask] = {}
    for index in draws.permutation(len(tasks)):
        task = tasks[index]
        if len(lines) < plan.n_lines:
            lines.setdefault((task.commit, task.task.file.path, task.line_start), task)
    commits = list(dict.fromkeys(task.commit for task in tasks))
    return [
        Work(
            tasks=tuple(task for task in tasks if task.commit == commits[index]),
            lines=tuple(task for task in lines.values() if task.commit == commits[index]),
        )
        for index in draws.permutation(len(commits))
    ]


def measure(
    work: Sequence[Work],
    systems: Sequence[System],
    *,
    limit_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Ask all systems at all cursors; an interrupt or the time limit ends it with what there is.

    An interrupt before there is anything is raised.
    """
    measured, total, done = Measured(), sum(part.n_cursors for part in work), 0
    progress, started_s = Progress("cursors", total), clock()
    limit_s = math.inf if limit_s is None else limit_s
    try:
        for system in systems:  # what is loaded on first use is not a suggestion's time
            system.answer(Task(file=_WARM_UP, offset=len(_WARM_UP.text) - 4, truth="[0]"))
        for part in work:
            for n_cursors in _measure_part(part, systems, measured):
                done += n_cursors
                spent_s = clock() - started_s
                left_s = min(spent_s * (total - done) / done, limit_s - spent_s)
                progress.show(done, left_s=max(0.0, left_s))
                if spent_s > limit_s:
                    measured.stopped = OUT_OF_TIME
                    return measured
    except KeyboardInterrupt:
        if not measured.asked:
            raise
        measured.stopped = INTERRUPTED
    return measured


def _measure_part(part: Work, systems: Sequence[System], measured: Measured) -> Iterator[int]:
    """Measure one commit; yield the number of cursors after each step."""
    for system in systems:
        system.open((*part.tasks, *part.lines)[0].snapshot)
    ways = [(system, show) for system in systems for show in (EAGER, *system.stricter)]
    for task in part.tasks:
        judged = {
            system.name_at(show): judge(system.answer(task.task, show), task.task.truth)
            for system, show in ways
        }
        measured.asked.append(Asked(stratum=task.stratum, judged=judged))
        yield 1
    for task in part.lines:
        places = task.cursors()
        answers = {
            system.name_at(show): [system.answer(place, show) for place in places]
            for system, show in ways
        }
        measured.lines.append(Line(stratum=task.stratum, text=places[0].truth, answers=answers))
        yield len(places)
