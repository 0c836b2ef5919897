"""The training itself: epoch after epoch until the bits per byte of later lines grow.

Drives the trainer and its loop, which save and go on to the same last bit; here is only what an
epoch's end means, and the recipe: rates are shares of those of pre-training, up over the first
steps and down to nothing at the end. After each epoch, bits per byte of the development commits'
lines; the best epoch's weights are kept. Knows no repository and no registry.

Adapters (Hu et al. 2021, arXiv:2106.09685) learn W + s B A, with W as it was, on the linear layers
of all blocks: for bases that are too large to be moved whole, those of others among them. The
merged weights are a plain network again. Shapes: W (out, in), A (r, in), B (out, r).

Weights between two networks that share their beginning keep most of what each knows (Wortsman et
al. 2021, arXiv:2109.01903). Of the points that keep general code, the one with the fewest bits per
byte of the development commits' lines is taken.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from model.config import ModelConfig
from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import GPT
from model.publish import write_atomically
from training.data.progress import count_shown, say
from training.data.shards import ShardReader
from training.errors import TuneStoppedError
from training.evaluation.bits_per_byte import Passage, bits_per_byte, measure_cost, network_scorer
from training.finetune.judge import MAX_GENERAL_LOSS
from training.finetune.plan import TuneState
from training.pretrain import loop
from training.pretrain.trainer import Trainer
from training.recipe import FolderTable, NetworkTable, Recipe, StageTable, TrainTable

ALPHA = 2.0  # s = alpha / r with alpha = 2 r
SHARES = (1.0, 0.85, 0.7, 0.5)  # of the way from the base to the tuned weights
_INSIDE = ".plain."  # in the names of adapted layers
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


class LowRank(nn.Module):
    """A linear layer that stays as it is and the change of it; none at first, since B is zero."""

    def __init__(self, plain: nn.Linear, rank: int) -> None:
        super().__init__()
        out, inside = plain.weight.shape
        rank = min(rank, out, inside)
        bound = math.sqrt(3.0 / inside)
        self.plain = plain
        self.a = nn.Parameter(torch.empty(rank, inside).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(out, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + s (x A^T) B^T: no matrix of W's size is made, nor its gradient."""
        change = x @ self.a.to(x.dtype).T @ (ALPHA * self.b).to(x.dtype).T
        out: Tensor = self.plain(x) + change
        return out

    def merge(self) -> Tensor:
        """Return W + s B A."""
        return self.plain.weight.float() + ALPHA * (self.b @ self.a)


def adapt(network: GPT, rank: int, dtype: torch.dtype = torch.float32) -> None:
    """Put adapters beside the linear layers of all blocks and let nothing else learn.

    What does not learn is held in `dtype`, that of the activations.
    """
    network.to(dtype).requires_grad_(False)
    for module in list(network.model.layers.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LowRank(child, rank))


def adapted_weights(network: GPT, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return plain weights under the names that an adapted network has, adapters as they are."""
    return {
        name: weights.get(name.replace(_INSIDE, "."), own)
        for name, own in network.state_dict().items()
    }


def plain_weights(network: GPT) -> dict[str, Tensor]:
    """Return the weights of a network under its plain names, adapters merged in."""
    merged = {
        f"{name}.weight": module.merge()
        for name, module in network.named_modules()
        if isinstance(module, LowRank)
    }
    adapters = {f"{name.removesuffix('.weight')}.{part}" for name in merged for part in "ab"}
    plain = {
        name.replace(_INSIDE, "."): tensor
        for name, tensor in network.state_dict().items()
        if name not in adapters
    }
    return {
        name: tensor.detach().to(torch.float32, copy=True)
        for name, tensor in (plain | merged).items()
    }


class InterpolationPoint(NamedTuple):
    """One point of the way and its bits per byte; the base is at 0."""

    share: float
    later: float  # of lines that the development commits added
    general: float


def interpolate(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return base + share * (tuned - base), each tensor in float32."""
    return {
        name: torch.lerp(tensor.float(), tuned[name].float(), share)
        for name, tensor in base.items()
    }


def measure_points(
    base: ModelFolder,
    tuned: Mapping[str, Tensor],
    later: Sequence[Passage],
    general: Sequence[Passage],
) -> list[InterpolationPoint]:
    """Measure the base and each point; the base is first."""
    device = choose_device()
    network = GPT(base.config, dtype=device.dtype).to(device.device)
    scorer = network_scorer(network, base.tokenizer(), base.info.block_size)
    weights = base_weights(base)
    points = []
    for share in count_shown("points of the way", (0.0, *SHARES), 1 + len(SHARES)):
        network.load_state_dict(interpolate(weights, tuned, share))
        bits = [
            bits_per_byte(measure_cost(scorer, passage) for passage in passages)
            for passages in (later, general)
        ]
        points.append(InterpolationPoint(share=share, later=bits[0], general=bits[1]))
    return points


def choose_point(points: Sequence[InterpolationPoint]) -> InterpolationPoint:
    """Return the point with the fewest bits of later lines among those that keep general code.

    Without one, the point that keeps most of it: the judge will say no. The base is the first
    point and is never chosen.
    """
    base, *others = points
    limit = base.general * (1 + MAX_GENERAL_LOSS)
    if keeping := [point for point in others if point.general <= limit]:
        return min(keeping, key=lambda point: point.later)
    return min(others, key=lambda point: point.general)


def base_weights(folder: ModelFolder) -> dict[str, Tensor]:
    """Return a folder's weights as tensors, by their Hugging Face names."""
    return {name: torch.from_numpy(array) for name, array in folder.tensors().items()}


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
        folder=FolderTable(name=name),
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
    trainer = open_trainer(base, recipe, rows)
    scorer = network_scorer(trainer.network, base.tokenizer(), base.info.block_size)
    run, n_epochs = state.folder / RUN, len(recipe.stages)

    def measure_bits() -> float:
        return bits_per_byte(measure_cost(scorer, passage) for passage in passages)

    if not trainer.resume(run):
        weights = base_weights(base)
        if recipe.network.lora_rank:
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


def open_trainer(base: ModelFolder, recipe: Recipe, rows: Path = Path()) -> Trainer:
    """Return the trainer of a tuning whose epochs' rows are below `rows`."""
    assert isinstance(recipe.network, FolderNetwork)
    rank, tokenizer, dtype = recipe.network.lora_rank, base.tokenizer(), choose_device().dtype
    pad = "<|fim_pad|>"
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
