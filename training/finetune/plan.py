"""What one tuning will do, fixed before it begins: commits, models, options; kept as JSON.

The history is cut in three by first parents: trained on up to one commit, chosen by later ones,
judged by the last; no commit does two of these. A stopped run goes on with the plan that it began
with. Only looks at the repository and writes nothing: every refusal that needs no reading of code
is made here.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path

from assistant.git import GitError, git
from assistant.models.registry import Registry, repository_id
from model.config import ModelConfig
from model.folder import ModelFolder
from model.gguf_model import GgufModel, load_model
from training.data.shards import ids_dtype
from training.errors import TuneError
from training.evaluation.replay.history import later_commits
from training.finetune.request import TuneOptions, TuneRequest
from training.finetune.texts import pack_settings
from training.pretrain import checkpoint

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
    chosen = registry.find_entry(identity)
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
