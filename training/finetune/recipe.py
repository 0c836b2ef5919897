"""From a model folder and its rows to a recipe that the trainer understands: gentle rates, epochs.

Rates are shares of those of pre-training, up over the first steps and down to nothing at the end.
Knows no text and no weight.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from model.config import ModelConfig
from model.folder import ModelFolder
from training.pretrain.recipe import FolderTable, NetworkTable, Recipe, StageTable, TrainTable

MATRIX_SHARE = 0.15  # of pre-training's peak rate, for what Muon moves
REST_SHARE = 0.25  # and for embeddings and gains, which AdamW moves
_SMALL_PARAMS = 30e6  # networks below were pre-trained at higher rates
_SMALL_SCALE = 3.0  # lr_scale of the bundled recipe
_BATCH_TOKENS = (2_048, 8_192)  # the least and the most of a step
_MIN_STEPS = 40  # an epoch: of little code, smaller batches
_MICRO_TOKENS = 8_192  # of a forward pass
_WARMUP_SHARE = 0.03


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FolderNetwork(NetworkTable):
    """[network] of a model folder: its shape, and how it is adapted."""

    hf_config: str = ""  # config.json
    lora_rank: int = 0

    def config(self) -> ModelConfig:
        """Return the folder's shape, with the context that its rows have."""
        shape = ModelConfig.from_hf(json.loads(self.hf_config))
        return dataclasses.replace(shape, block_size=self.block_size)


def tune_recipe(
    folder: ModelFolder, n_rows: Sequence[int], *, name: str, seed: int, lora_rank: int = 0
) -> Recipe:
    """Return the recipe of a tuning whose epochs have so many rows."""
    info, defaults = folder.info, TrainTable(tokens=1)
    tokens = [rows * info.block_size for rows in n_rows]
    batch_tokens = _batch(min(tokens), info.block_size)
    return Recipe(
        network=FolderNetwork(
            preset=info.name,
            block_size=info.block_size,
            hf_config=json.dumps(folder.config.to_hf(), sort_keys=True),
            lora_rank=lora_rank,
        ),
        train=TrainTable(
            tokens=sum(tokens),
            batch_tokens=batch_tokens,
            micro_rows=max(1, _MICRO_TOKENS // info.block_size),
            matrix_lr=MATRIX_SHARE * defaults.matrix_lr,
            embed_lr=REST_SHARE * defaults.embed_lr,
            gain_lr=REST_SHARE * defaults.gain_lr,
            lr_scale=_SMALL_SCALE if folder.config.n_params < _SMALL_PARAMS else 1.0,
            weight_decay=2 * defaults.weight_decay,
            warmup_share=_WARMUP_SHARE,
            warmdown_share=1.0 - _WARMUP_SHARE,
            final_lr=0.0,
            seed=seed + 1,
            checkpoint_s=60,
            validate_steps=0,
        ),
        folder=FolderTable(
            name=name,
            languages=info.languages,
            licence=info.licence,
            suffix_tokens=info.suffix_tokens,
            snippet_tokens=info.snippet_tokens,
        ),
        stages=tuple(
            StageTable(tokens=size, shards=f"epoch-{epoch}") for epoch, size in enumerate(tokens)
        ),
    )


def _batch(epoch_tokens: int, block_size: int) -> int:
    """Return the tokens of a step: whole rows, and enough steps in an epoch."""
    least, most = _BATCH_TOKENS
    wanted = min(most, max(least, epoch_tokens // _MIN_STEPS))
    return max(1, wanted // block_size) * block_size
