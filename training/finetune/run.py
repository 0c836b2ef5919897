"""The training itself: epoch after epoch until the bits per byte of later lines grow.

Drives the trainer and its loop, which save and go on to the same last bit; here is only what an
epoch's end means, and the recipe: rates are shares of those of pre-training, up over the first
steps and down to nothing at the end. After each epoch, bits per byte of the development commits'
lines; the best epoch's weights are kept. Knows no repository and no registry.
"""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from model.config import ModelConfig
from model.device import choose_device
from model.folder import ModelFolder
from model.publish import write_atomically
from training.data.progress import say
from training.data.shards import ShardReader
from training.errors import TuneStoppedError
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.state import TuneState
from training.finetune.weights import adapt, adapted_weights, base_weights, plain_weights
from training.pretrain import loop
from training.pretrain.trainer import Trainer
from training.recipe import FolderTable, NetworkTable, Recipe, StageTable, TrainTable

RUN, EPOCHS = "run", "epochs"  # names in the state folder
MATRIX_SHARE = 0.15  # of pre-training's peak rate, for what Muon moves
REST_SHARE = 0.25  # and for embeddings and gains, which AdamW moves
ADAPTER_RATE = 8e-3  # of AdamW, at schedule.REFERENCE_BATCH: 0.0005 in a step of 2,048 tokens
_SMALL_PARAMS = 30e6  # networks below were pre-trained at higher rates
_SMALL_SCALE = 3.0  # lr_scale of the bundled recipe
_BATCH_TOKENS = (2_048, 8_192)  # the least and the most of a step
_MIN_STEPS = 40  # an epoch: of little code, smaller batches
_MICRO_TOKENS = 8_192  # of a forward pass at most
_MICRO_BYTES = 1 << 30  # of activations that it keeps, unless one row has more
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
            micro_rows=micro_rows(folder),
            optimiser="adamw" if lora_rank else "muon",
            matrix_lr=ADAPTER_RATE if lora_rank else MATRIX_SHARE * defaults.matrix_lr,
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


def micro_rows(folder: ModelFolder) -> int:
    """Return the rows of a forward pass: what it keeps for the way back is the most of memory."""
    config = folder.config
    token_bytes = 4 * config.n_layer * (8 * config.n_embd + 5 * config.n_inner)
    return max(1, min(_MICRO_TOKENS, _MICRO_BYTES // token_bytes) // folder.info.block_size)


def _batch(epoch_tokens: int, block_size: int) -> int:
    """Return the tokens of a step: whole rows, and enough steps in an epoch."""
    least, most = _BATCH_TOKENS
    wanted = min(most, max(least, epoch_tokens // _MIN_STEPS))
    return max(1, wanted // block_size) * block_size


#: bits per byte before the first epoch and after each (`bits`), and what it took, as JSON
TrainingLog = dict[str, Any]


def train(
    state: TuneState, base: ModelFolder, recipe: Recipe, rows: Path, passages: Sequence[Passage]
) -> TrainingLog:
    """Train to the end or until it gets worse; TuneStoppedError after Ctrl-C or SIGTERM.

    `rows` is the folder of all epochs; `passages` are of the development commits.
    """
    assert isinstance(recipe.network, FolderNetwork)
    rank = recipe.network.lora_rank
    trainer = _open_trainer(base, recipe, rows, rank)
    scorer = network_scorer(trainer.network, base.tokenizer(), base.info.block_size)
    run, n_epochs = state.folder / RUN, len(recipe.stages)

    def measure_bits() -> float:
        return bits_per_byte(measure_cost(scorer, passage) for passage in passages)

    if not trainer.resume(run):
        weights = base_weights(base)
        if rank:
            weights = adapted_weights(trainer.network, weights)
        trainer.begin_with(weights, base.content_hash)
        del weights  # as large as the network
    if not (bits := _read_bits(state)):
        bits.append(measure_bits())
        state.write_table(EPOCHS, {"bits": bits})
    say(f"before: {bits[0]:.4f} bits/byte of later lines")
    ends = itertools.accumulate(stage.n_step for stage in trainer.plan.stages)
    for epoch, end in enumerate(ends, 1):
        if epoch < len(bits):
            continue
        if is_over(bits):
            say("the last epoch was no better: stopping early")
            break
        loop.train(trainer, run, until=end)
        if trainer.progress.step < end:
            raise TuneStoppedError(f"stopped and saved in epoch {epoch} of {n_epochs}")
        weights = {n: each.cpu().contiguous() for n, each in plain_weights(trainer.network).items()}
        write_atomically(_weights_file(state, epoch), save(weights))
        bits.append(measure_bits())
        state.write_table(EPOCHS, {"bits": bits})
        say(f"epoch {epoch} of {n_epochs}: {bits[-1]:.4f} bits/byte of later lines")
    done = trainer.progress
    return {"bits": bits} | {
        name: getattr(done, name) for name in ("tokens", "seconds", "cpu_seconds")
    }


def best_epoch(bits: Sequence[float]) -> int:
    """Return the epoch with the fewest bits, from 1."""
    return min(range(1, len(bits)), key=bits.__getitem__)


def is_over(bits: Sequence[float]) -> bool:
    """Say whether another epoch is not worth it: the last one was worse than one before."""
    return len(bits) > 2 and bits[-1] > min(bits[1:-1])


def epoch_weights(state: TuneState, epoch: int) -> dict[str, Tensor]:
    """Return the weights after an epoch, from 1."""
    return load_file(_weights_file(state, epoch))


def _open_trainer(base: ModelFolder, recipe: Recipe, rows: Path, rank: int) -> Trainer:
    tokenizer, dtype, pad = base.tokenizer(), choose_device().dtype, "<|fim_pad|>"
    return Trainer(
        recipe,
        lambda stage: ShardReader(rows / stage.shards),
        pad_id=tokenizer.special_id(pad) if tokenizer.has_special(pad) else -1,
        adapt=(lambda network: adapt(network, rank, dtype)) if rank else None,
    )


def _read_bits(state: TuneState) -> list[float]:
    """Return what an earlier session recorded, as far as its weights are there."""
    bits: list[float] = (state.table(EPOCHS) or {"bits": []})["bits"]
    while len(bits) > 1 and not all(_weights_file(state, n).is_file() for n in range(1, len(bits))):
        bits.pop()
    return bits


def _weights_file(state: TuneState, epoch: int) -> Path:
    return state.folder / f"epoch-{epoch}.safetensors"
