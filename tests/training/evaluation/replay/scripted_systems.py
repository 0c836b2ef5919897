"""Systems that say what a test wants, and remember all that they were given to read."""

from collections.abc import Callable

from training.evaluation.answers import Answer, Judged, judge
from training.evaluation.held_out import Task
from training.evaluation.replay.history import Snapshot
from training.evaluation.replay.systems import EAGER, System
from training.evaluation.replay.tasks import Stratum


def answer(text: str, probability: float = 0.5) -> Answer:
    """An answer that took no time."""
    return Answer(text=text, probability=probability, ms=0.0, cpu_ms=0.0)


def judged(text: str, truth: str, probability: float = 0.5) -> Judged:
    """An answer, judged."""
    return judge(answer(text, probability), truth)


def stratum(repository: str = "r", commit: str = "c") -> Stratum:
    """A cursor's place, of which only these two matter."""
    return Stratum(
        repository=repository,
        commit=commit,
        language="python",
        kind="mid-line",
        is_seen=False,
    )


class ScriptedSystem(System):
    """Answers by a function of the task."""

    def __init__(self, name: str, say: Callable[[Task], str], probability: float = 0.5) -> None:
        self.name = name
        self.is_calibrated = True
        self.snapshots: list[Snapshot] = []
        self.tasks: list[Task] = []
        self._say = say
        self._probability = probability

    def least(self, level: str) -> float:
        """Quiet shows what is surer than even."""
        return {"eager": 0.0, "balanced": 0.5, "quiet": 0.6}[level]

    def open(self, snapshot: Snapshot) -> None:
        """Remember the tree."""
        self.snapshots.append(snapshot)

    def answer(self, task: Task, show: str = EAGER) -> Answer:
        """Remember the task; say what the test wants."""
        self.tasks.append(task)
        return answer(self._say(task), self._probability)
