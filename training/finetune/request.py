"""What one asks of a tuning. Imports nothing of the `train` extra, so that --help needs none."""

import dataclasses
from pathlib import Path

MIN_TASKS = 100  # cursors: by fewer nothing is promoted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """What a user may choose and the outcome depends on."""

    n_epochs: int = 3
    lora_rank: int = 0  # 0: by the base's size
    general: str = ""  # folder of general code; "": the standard library
    n_tasks: int = 600  # cursors that judge
    seed: int = 0
    exclude: tuple[str, ...] = ()  # patterns of files that are not read


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuneRequest:
    """What the user asked for."""

    repository: Path
    base: Path  # model folder
    options: TuneOptions
