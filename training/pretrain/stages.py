"""Which folder of shards belongs to which stage of a plan; opened when the stage begins.

So the rows of a later stage may still be packed while an earlier one runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.config import ConfigError
from training.data.shards import ShardError, ShardReader
from training.pretrain.schedule import Schedule, Stage

MAX_PASSES = 4  # over the same rows: a fifth is worth much less than new text


class ShardFolders:
    """Folders by the name that the stages give their rows."""

    def __init__(self, arguments: Sequence[str], plan: Schedule, *, vocab_size: int) -> None:
        """Read `[NAME=]FOLDER` arguments; those without a name are taken in the stages' order."""
        self._plan = plan
        self._vocab_size = vocab_size
        self._names = list(dict.fromkeys(stage.shards for stage in plan.stages))
        self._folders: dict[str, Path] = {}
        unnamed = []
        for argument in arguments:
            name, equals, folder = argument.partition("=")
            if equals and name in self._names:
                self._folders[name] = Path(folder)
            else:
                unnamed.append(Path(argument))
        free = [name for name in self._names if name not in self._folders]
        if len(unnamed) > len(free):
            raise ConfigError(
                f"--shards {unnamed[len(free)]} belongs to no stage; the recipe's stages read "
                f"{', '.join(self._names)}"
            )
        self._folders |= dict(zip(free, unnamed, strict=False))

    def open(self, stage: Stage) -> ShardReader:
        """Return a stage's rows; ShardError when they are not there, ConfigError if they misfit."""
        folder = self._folders.get(stage.shards)
        if folder is None:
            raise ShardError(
                f"the stage that begins now reads {stage.shards}; say --shards "
                f"{stage.shards}=FOLDER to go on"
            )
        rows = ShardReader(folder)
        if (rows.block_size, rows.vocab_size) != (stage.block_size, self._vocab_size):
            raise ConfigError(
                f"{folder} has rows of {rows.block_size} tokens and {rows.vocab_size} ids; the "
                f"recipe wants {stage.block_size} and {self._vocab_size}"
            )
        return rows

    def remarks(self) -> str:
        """Return lines on rows that are not there yet, and on those that will be read too often."""
        there = {name for name, folder in self._folders.items() if folder.is_dir()}
        absent = [name for name in self._names if name not in there]
        text = f"not there yet: the rows of {', '.join(absent)}\n" if absent else ""
        for name in self._names:
            if name in absent:
                continue
            wanted = [stage for stage in self._plan.stages if stage.shards == name]
            rows = self.open(wanted[0])
            n_read = sum(stage.tokens for stage in wanted) / (rows.n_rows * rows.block_size)
            n_passes = n_read * rows.index.get("epochs", 1)
            if n_passes > MAX_PASSES:
                text += (
                    f"the rows ({name}) are read {n_passes:.1f} times: above {MAX_PASSES} passes "
                    "little more is learnt; take more text, or lower train.tokens\n"
                )
        return text
