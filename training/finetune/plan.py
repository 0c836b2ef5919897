"""What one tuning will do, fixed before it begins: commits, models, options; kept as JSON.

The history is cut in three by first parents: trained on up to one commit, chosen by later ones,
judged by the last; no commit does two of these. A stopped run goes on with the plan that it began
with. Planning only looks at the repository: every refusal that needs no reading of code is made
here.

The folder of a tuning has a lock, the plan, and what each step has left. A step's table is written
aside and renamed, as its folder is: after kill -9 it is there and whole, or absent, and the next
run does it again. Files hold parts of private code, so they are their owner's only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from assistant.git import GitError, git
from assistant.models.registry import Registry, repository_id
from model.config import ConfigError, ModelConfig, from_table
from model.files import read_regular
from model.folder import ModelFolder
from model.foreign import GgufModel, load_model
from model.publish import LEFTOVERS, delete, write_atomically
from training.data.shards import ids_dtype
from training.errors import TuneError
from training.evaluation.replay.history import later_commits
from training.finetune.request import TuneOptions, TuneRequest
from training.finetune.texts import pack_settings
from training.pretrain import checkpoint

PLAN = "plan"
_LOCK = "lock"
_OTHERS = 0o077  # permissions of everybody but the owner
_MAX_TABLE_BYTES = 1 << 30
LATER_FRAC = 0.2  # of the commits: not trained on
MAX_LATER = 400  # commits; of a long history more would only make the model older
DEVELOPMENT_FRAC = 1 / 3  # of the later ones: for early stop and the weights
MIN_COMMITS = 50  # that have a parent: 10 later ones, 3 to choose by and 7 to judge by
LORA_ABOVE = 100e6  # parameters: larger bases are tuned by adapters
LORA_RANK = 16  # unless one is given
_SPARE_BYTES = 200 << 20  # for the judge's indexes and the system


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """A model folder, and what was in it when the plan was made."""

    path: str
    content_hash: str


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
        """The range of commits that choose: the epoch, the weights."""
        return f"{self.trained_to}..{self.developed_to}"

    @property
    def judged(self) -> str:
        """The range of commits that decide."""
        return f"{self.developed_to}..{self.judged_to}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TunePlan:
    """One tuning from the first step to the last."""

    name: str  # of the model that may come of it
    repository_id: str
    root: str
    split: HistorySplit
    base: ModelRef  # the general model, whose weights it begins with
    serving: ModelRef  # what serves in the repository: to be beaten
    options: TuneOptions

    def is_same_work(self, other: TunePlan) -> bool:
        """Say whether a plan differs in the commits alone, which move while people work."""
        same_commits = dataclasses.replace(
            self, split=other.split, root=other.root, name=other.name
        )
        return same_commits == other

    def has_commits(self) -> bool:
        """Say whether its commits are still there, and in the history of HEAD."""
        try:
            found = git(Path(self.root), "rev-list", "--first-parent", "HEAD").decode().split()
        except GitError:
            return False
        return {self.split.trained_to, self.split.developed_to, self.split.judged_to} <= set(found)


def make_plan(request: TuneRequest, registry: Registry) -> TunePlan:
    """Return the plan for a repository as it is now; one-line errors say what is in the way."""
    root = request.repository
    split = split_history(root)
    identity = repository_id(root)
    base = open_folder(request.base)
    pack_settings(base.info, seed=0)  # TuneError if no row for this base can be packed
    chosen = registry.book().serving(identity)
    place = request.base if chosen is None else registry.place(chosen.name)
    serving = base if chosen is None else open_folder(place)
    day = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
    return TunePlan(
        name=registry.new_name(root, day),
        repository_id=identity,
        root=str(root),
        split=split,
        base=ModelRef(path=str(request.base), content_hash=base.content_hash),
        serving=ModelRef(path=str(place), content_hash=serving.content_hash),
        options=request.options,
    )


def open_folder(place: Path) -> ModelFolder:
    """Check a model folder, of ours or of others, or what refers to one; TuneError for GGUF."""
    found = load_model(place)
    if isinstance(found, GgufModel):
        raise TuneError(
            f"{found.info.name} is a GGUF file, which is neither tuned nor compared with a tuned"
            " model; take another base with --model, or `foretype models use base` first"
        )
    return found


def split_history(repository: Path) -> HistorySplit:
    """Cut a history; ReplayError or TuneError where there is none, or too little of it."""
    commits = later_commits(repository, "HEAD")
    if len(commits) < MIN_COMMITS:
        raise TuneError(
            f"{repository} has {len(commits)} commits after its first; {MIN_COMMITS} are needed, "
            "since later commits judge the model (until then the index alone knows this code)"
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


def lora_rank(options: TuneOptions, config: ModelConfig) -> int:
    """Return the rank of the adapters, 0 for a full fine-tune."""
    if options.lora_rank:
        return options.lora_rank
    return LORA_RANK if config.n_params > LORA_ABOVE else 0


def estimate_disk_bytes(config: ModelConfig, *, n_tokens: int, n_epochs: int, rank: int) -> int:
    """Return what a run needs on disk at most, an estimate from above.

    Checkpoints hold the weights in 4 bytes and, of those that learn, up to two numbers more for
    each; an epoch's weights are kept; model folders are in 2 bytes.
    """
    checkpoints = (checkpoint.KEEP + 2) * (6 if rank else 12) * config.n_params
    weights = n_epochs * 4 * config.n_params
    folders = 4 * 2 * config.n_params
    rows = n_epochs * 2 * ids_dtype(config.vocab_size).itemsize * n_tokens
    return checkpoints + weights + folders + rows + _SPARE_BYTES


class TuneState:
    """What is known of a tuning; a context manager that holds the lock."""

    def __init__(self, folder: Path) -> None:
        """Lock `folder`, made if needed; TuneError if another process tunes there."""
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        if os.name != "nt":
            folder.chmod(0o700)
        self.folder = folder
        self._lock = FileLock(folder / _LOCK, mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0.0)
        except Timeout:
            raise TuneError(
                "another `foretype tune` works on this repository; wait for it or stop it"
            ) from None
        for pattern in (*LEFTOVERS, "*.part"):  # of a killed run; .part: weights, indexes
            for path in folder.glob(pattern):
                delete(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def plan(self) -> TunePlan | None:
        """Return the plan that was begun last; None if there is none that can be read."""
        table = self.table(PLAN)
        try:
            return None if table is None else from_table(TunePlan, table)
        except ConfigError:  # of another version
            return None

    def begin(self, plan: TunePlan) -> None:
        """Forget what another plan has left, and keep this one."""
        self.clear()
        self.write_table(PLAN, dataclasses.asdict(plan))

    def clear(self, *, keep: tuple[str, ...] = ()) -> None:
        """Delete everything but the lock and the steps named; the plan goes first."""
        if PLAN not in keep:
            self._table_path(PLAN).unlink(missing_ok=True)
        kept = {_LOCK, *keep, *(f"{name}.json" for name in keep)}
        for path in sorted(self.folder.iterdir()):
            if path.name not in kept:
                delete(path)

    def table(self, name: str) -> dict[str, Any] | None:
        """Return what a step wrote under `name`; None if it did not, or if it cannot be read."""
        path = self._table_path(name)
        if not path.is_file():
            return None
        try:
            table = json.loads(read_regular(path, _MAX_TABLE_BYTES))
        except (OSError, ValueError):
            return None
        return table if isinstance(table, dict) else None

    def write_table(self, name: str, table: dict[str, Any]) -> None:
        """Write a step's table, all of it or nothing."""
        write_atomically(self._table_path(name), (json.dumps(table, indent=1) + "\n").encode())

    def do_once(self, name: str, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the table that a step gave, now or before; a step may leave a folder `name`."""
        if (table := self.table(name)) is None:
            self.write_table(name, table := step())
        return table

    def _table_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Let whatever this process makes be its owner's alone, until the block ends."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)
