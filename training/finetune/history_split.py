"""Where a history is cut: trained on up to one commit, chosen by later ones, judged by the last.

The same commits never serve two purposes. First parents only. Knows commits by number and name,
and none of their contents.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from training.evaluation.replay.history import later_commits
from training.finetune.errors import TuneError

LATER_FRAC = 0.2  # of the commits: not trained on
MAX_LATER = 400  # commits; of a long history more would only make the model older
DEVELOPMENT_FRAC = 1 / 3  # of the later ones: for early stop and refit
MIN_COMMITS = 50  # that have a parent: 10 later ones, 3 to choose by and 7 to judge by


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HistorySplit:
    """Three stretches of a first-parent history, by the last commit of each."""

    trained_to: str  # T0: the newest commit whose tree is trained on
    developed_to: str  # T1
    judged_to: str  # HEAD, when the history was cut
    n_trained: int  # commits
    n_development: int
    n_judged: int

    @property
    def development(self) -> str:
        """The range of commits that choose: the epoch, the weights, the ranker."""
        return f"{self.trained_to}..{self.developed_to}"

    @property
    def judged(self) -> str:
        """The range of commits that decide."""
        return f"{self.developed_to}..{self.judged_to}"


def split_history(repository: Path) -> HistorySplit:
    """Cut a history; ReplayError or TuneError where there is none, or too little of it."""
    commits = later_commits(repository, "HEAD")
    if len(commits) < MIN_COMMITS:
        raise TuneError(
            f"{repository} has {len(commits)} commits after its first; {MIN_COMMITS} are needed, "
            "since later commits judge the model (until then the memory alone knows this code)"
        )
    n_later = min(MAX_LATER, math.ceil(LATER_FRAC * len(commits)))
    n_development = math.floor(DEVELOPMENT_FRAC * n_later)
    n_trained = len(commits) - n_later
    return HistorySplit(
        trained_to=commits[n_trained - 1].id,
        developed_to=commits[n_trained + n_development - 1].id,
        judged_to=commits[-1].id,
        n_trained=n_trained,
        n_development=n_development,
        n_judged=n_later - n_development,
    )
