"""The refit as a step: the development commits fit what ranks and gates the tuned network.

Knows where the models are, not how they are fitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.finetune.judging.refit import Development, refit
from training.finetune.plan import TunePlan
from training.finetune.state import TuneState
from training.finetune.steps import CANDIDATE, REFITTED


def refit_candidate(state: TuneState, plan: TunePlan) -> dict[str, Any]:
    """Write the refitted model; return what was found out while doing so."""
    commits = Development(
        repository=Path(plan.root),
        revisions=plan.split.development,
        n_tasks=plan.options.n_tasks,
        seed=plan.options.seed,
    )
    report = refit(state.path(CANDIDATE), Path(plan.start.path), state.path(REFITTED), commits)
    return report.table()
