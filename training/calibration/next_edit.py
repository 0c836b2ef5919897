"""Fits how sure a proposed next edit is: `foretype train fit-next-edit REPO ... --hold-out REPO`.

Logistic regression with a ridge penalty, on every proposal after each of a file's first edits. The
thresholds are the lowest probabilities from which on the offers of whole sessions, in repositories
that were not fitted, are right as often as each level asks.
"""

import functools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from assistant.cli.command import DONE, CommandParser, run_command
from assistant.edits import ASKED
from assistant.edits.history import MAX_EDITS, Edit
from assistant.edits.next_edit import BIAS, MAX_FEATURE, Confidence, NextEdits
from assistant.edits.proposals import Proposal, find_proposals
from model.publish import write_atomically
from training.cli import MISTAKES, count, existing_folder, report_file
from training.data.progress import say
from training.evaluation import next_edit
from training.evaluation.next_edit import EditedFile, Offer

# Share of the offers that is right in the held-out repositories. Elsewhere it comes out lower: at
# the threshold for 80% it was 73% in repositories that nothing was chosen by.
LEVELS = {"quiet": 0.92, "balanced": 0.85, "eager": 0.75}
LEAST_ASKED = 0.15  # for what a menu holds
LEAST = 0.4  # less likely than that nothing is shown, whatever the average
PENALTY = 1.0
N_EDITS = 5  # of a file
MAX_PROPOSALS = 60  # of a step
MAX_STEPS = 50  # of Newton's method
_Array = npt.NDArray[np.float64]
_Example = tuple[Proposal, bool, float]  # with its weight
_Replayed = tuple[EditedFile, list[Edit]]


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = CommandParser(prog="foretype train fit-next-edit", description=__doc__)
    option = functools.partial(parser.add_argument, metavar="REPO", type=existing_folder, nargs="+")
    option("repositories")
    option("--hold-out", required=True, help="repositories by which the thresholds are chosen")
    parser.add_argument("--commits", type=count, default=250, help="of each (default: 250)")
    help_ = "the parameters are written here"
    parser.add_argument("--out", type=report_file, required=True, help=help_)

    def work() -> int:
        args = parser.parse_args(argv)
        fitted = fit(_files(args.repositories, args.commits))
        held_out = list(_files(args.hold_out, args.commits))
        everything = Confidence(weights=fitted.weights, thresholds={"all": 0.0})
        sessions = [
            next_edit.Session(file, "all", made, NextEdits(everything)).replay()
            for file, made in held_out
        ]
        offers = [offer for session in sessions for offer in session.offers]
        thresholds = {level: choose_threshold(offers, share) for level, share in LEVELS.items()}
        thresholds[ASKED] = LEAST_ASKED
        weights = {
            kind: {name: round(value, 4) for name, value in its.items()}
            for kind, its in fitted.weights.items()
        }
        table = {"weights": weights, "thresholds": thresholds}
        write_atomically(args.out, (json.dumps(table, indent=1, sort_keys=True) + "\n").encode())
        sys.stdout.write(f"{len(held_out)} held-out files, {len(offers)} offers: {thresholds}\n")
        return DONE

    return run_command("train fit-next-edit", work, *MISTAKES)


def _files(repositories: Iterable[Path], n_commits: int) -> Iterator[_Replayed]:
    for repository in repositories:
        say(f"reading {repository}")
        yield from next_edit.edited_files(repository, n_commits)


def fit(files: Iterable[_Replayed]) -> Confidence:
    """Return the parameters fitted on these files; thresholds are not chosen yet."""
    by_kind: dict[str, list[_Example]] = {}
    for file, made in files:
        for example in _examples(file, made):
            by_kind.setdefault(example[0].kind, []).append(example)
    weights = {
        kind: _fit_kind(its) for kind, its in by_kind.items() if any(right for _, right, _ in its)
    }
    if not weights:
        raise ValueError("nothing to fit: no commit there repeats an edit; give more repositories")
    return Confidence(weights=weights, thresholds={})


def _fit_kind(examples: Sequence[_Example]) -> dict[str, float]:
    names = sorted({name for proposal, _, _ in examples for name in proposal.features})
    rows = [
        [min(proposal.features.get(name, 0.0), MAX_FEATURE) for name in names]
        for proposal, _, _ in examples
    ]
    labels = np.array([float(right) for _, right, _ in examples])
    bias, slopes = fit_logistic(np.array(rows), labels, np.array([its[2] for its in examples]))
    return {BIAS: bias, **dict(zip(names, slopes.tolist(), strict=True))}


def _examples(file: EditedFile, made: list[Edit]) -> Iterator[_Example]:
    """Yield what is proposed after each of the first edits; a step counts as one, not as many."""
    text = list(file.old)
    for edit in filter(next_edit.is_typed, next_edit.edits_by_hand(file, text, N_EDITS)):
        made.append(edit)
        found = find_proposals(text, file.path, edit.row, made[-MAX_EDITS:])[:MAX_PROPOSALS]
        n_differ = next_edit.count_differing(text, file.new)
        for proposal in found:
            right = next_edit.is_right(text, file.new, proposal, n_differ)
            yield proposal, right, len(found) ** -0.5


def fit_logistic(
    matrix: _Array, labels: _Array, weights: _Array, penalty: float = PENALTY
) -> tuple[float, _Array]:
    """Return bias and slopes by Newton's method; the penalty is on standardised slopes."""
    mean, scale = matrix.mean(0), matrix.std(0)
    scale[scale < 1e-9] = 1.0  # always the same, but for how a mean is rounded
    rows = np.hstack([np.ones((len(matrix), 1)), (matrix - mean) / scale])
    ridge = penalty * np.eye(rows.shape[1])
    ridge[0, 0] = 1e-3  # hardly any, but the bias of what is always right must end somewhere
    slopes = np.zeros(rows.shape[1])
    for _ in range(MAX_STEPS):
        probability = 1 / (1 + np.exp(-rows @ slopes))
        gradient = rows.T @ (weights * (probability - labels)) + ridge @ slopes
        curvature = (rows.T * (weights * probability * (1 - probability))) @ rows + ridge
        step = np.linalg.solve(curvature, gradient)
        slopes -= step
        if np.abs(step).max() < 1e-8:
            break
    plain = slopes[1:] / scale
    return float(slopes[0] - plain @ mean), plain


def choose_threshold(offers: Sequence[Offer], share: float) -> float:
    """Return the lowest probability from which on `share` of the offers is right."""
    best, n_right = 1.0, 0
    ranked = sorted(offers, key=lambda offer: -offer.probability)
    for number, offer in enumerate(ranked, start=1):
        n_right += offer.is_right
        if n_right >= share * number:
            best = offer.probability
    return round(max(best, LEAST), 3)
