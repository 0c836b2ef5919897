"""A larger network that teaches: what it would answer is learnt beside the text itself.

It reads the same rows as the pupil, in the same step; nothing of it is stored.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from model.config import ConfigError
from model.folder import ModelFolder, load_folder
from model.gpt import GPT
from training.pretrain.loss import Teaching
from training.pretrain.recipe import Recipe


class Teacher:
    """The network of a model folder with the pupil's tokenizer; `name` is its content hash."""

    def __init__(self, folder: ModelFolder, *, share: float, device: torch.device) -> None:
        """Load it onto a device; `share` is what counts of its answers."""
        with torch.device("meta"):  # no random numbers: every weight is replaced
            self._network = GPT(folder.config)
        weights = {name: torch.tensor(array) for name, array in folder.tensors().items()}
        self._network.load_state_dict(weights, assign=True)
        self._network.to(device).requires_grad_(requires_grad=False)
        self._share = share
        self.name = folder.content_hash

    def compute_as(self, dtype: torch.dtype, *, compiled: bool) -> None:
        """Take the pupil's precision, and compile or not."""
        self._network.dtype = dtype
        hidden = self._network.hidden
        self._forward = torch.compile(hidden, dynamic=False) if compiled else hidden

    @torch.no_grad()
    def answer(self, idx: Tensor) -> Teaching:
        """Return what it says to ids (B, T)."""
        states = self._forward(idx)  # (B, T, C)
        return Teaching(states, self._network.head_weight.to(states.dtype), self._share)


def load_teacher(recipe: Recipe, device: torch.device) -> Teacher | None:
    """Return a recipe's teacher, if it names one; ConfigError when that cannot teach it."""
    path, pupil = recipe.train.teacher, recipe.network.config()
    if not path:
        return None
    folder = load_folder(Path(path))
    config = folder.config
    if config.vocab_size != pupil.vocab_size or config.block_size < pupil.block_size:
        raise ConfigError(
            f"{path} cannot teach this network: it has {config.vocab_size} ids and "
            f"{config.block_size} tokens of context; {pupil.vocab_size} and at least "
            f"{pupil.block_size} are wanted"
        )
    return Teacher(folder, share=recipe.train.teacher_share, device=device)
