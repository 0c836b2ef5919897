"""What a recipe comes to: its stages in whole steps, their rates, and the schedule over all tokens.

Pure arithmetic. A run writes its plan into every checkpoint, so that a changed recipe can be held
against what was done so far.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from model.config import ConfigError, ModelConfig, from_table
from training.recipe import Recipe, StageTable, TrainTable

REFERENCE_BATCH = 2**19  # tokens; the batch for which recipes state their rates (modded-nanogpt's)
MOMENTUM = (0.85, 0.95)  # Muon's, at first and after the ramp
MOMENTUM_RAMP_STEPS = 200
SHARES_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Consecutive steps that read the same rows in batches of the same size."""

    shards: str
    block_size: int
    n_step: int
    rows_per_step: int
    micro_rows: int
    rate_factor: float  # on every rate that the recipe states

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one step reads."""
        return self.rows_per_step * self.block_size

    @property
    def tokens(self) -> int:
        """Tokens that the stage reads."""
        return self.n_step * self.tokens_per_step


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """All stages of a run, and the factor that its rates have at each token."""

    stages: tuple[Stage, ...]
    warmup_tokens: int
    warmdown_tokens: int
    final_lr: float
    final_momentum: float

    @property
    def n_step(self) -> int:
        """Steps in all."""
        return sum(stage.n_step for stage in self.stages)

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return sum(stage.tokens for stage in self.stages)

    def flops(self, config: ModelConfig, n_step: int | None = None) -> float:
        """Return the operations of the first `n_step` steps (None: of all).

        A stage of longer rows costs more a token.
        """
        stages = self.stages_until(self.n_step if n_step is None else n_step)
        return sum(s.tokens * config.flops_per_token(s.block_size) for s in stages)

    @property
    def warmdown_from(self) -> int:
        """Tokens after which the rates go down; until then the plan may still change."""
        return self.tokens - self.warmdown_tokens

    def stage_at(self, step: int) -> Stage:
        """Return the stage that step number `step` (from 0) belongs to."""
        for stage in self.stages:
            if step < stage.n_step:
                return stage
            step -= stage.n_step
        raise IndexError("the plan has no such step")

    def stages_until(self, step: int) -> list[Stage]:
        """Return the stages up to `step`, the last cut off there: what cannot change any more."""
        stages = []
        for stage in self.stages:
            if step <= 0:
                break
            stages.append(dataclasses.replace(stage, n_step=min(step, stage.n_step)))
            step -= stage.n_step
        return stages

    def warmdown_share(self, tokens: int) -> float:
        """Return how much of the warmdown is over after so many tokens, 0..1."""
        return min(1.0, max(0.0, (tokens - self.warmdown_from) / self.warmdown_tokens))

    def factor(self, tokens: int, step_tokens: int) -> float:
        """Return the factor on every rate of a step that begins after `tokens`.

        Up linearly, flat, down linearly to `final_lr`: WSD (Hu et al. 2024) with a long decay.
        """
        if tokens < self.warmup_tokens:
            return min(1.0, (tokens + step_tokens) / self.warmup_tokens)
        return 1.0 - (1.0 - self.final_lr) * self.warmdown_share(tokens)

    def momentum(self, step: int, tokens: int) -> float:
        """Return Muon's momentum: a short memory while the first gradients still turn quickly."""
        low, high = MOMENTUM
        risen = low + (high - low) * min(1.0, step / MOMENTUM_RAMP_STEPS)
        return risen + (self.final_momentum - high) * self.warmdown_share(tokens)


def make_plan(recipe: Recipe) -> Schedule:
    """Return a recipe's plan; ConfigError when its stages and its tokens do not fit."""
    block_size = recipe.network.config().block_size
    tables = recipe.stages or (StageTable(),)
    sizes = _stage_tokens(tables, recipe.train.tokens)
    stages = tuple(
        _stage(table, size, recipe.train, block_size)
        for table, size in zip(tables, sizes, strict=True)
    )
    if (longest := max(stage.block_size for stage in stages)) != block_size:
        raise ConfigError(
            f"the longest stages.block_size is {longest}, the network's is {block_size}: they must "
            "be the same"
        )
    made = {
        (stage.shards, stage.block_size, table.spm, table.psm, table.short, table.snippets)
        for table, stage in zip(tables, stages, strict=True)
    }
    if len({stage.shards for stage in stages}) != len(made):
        raise ConfigError(
            "stages that read the same shards must have the same block_size, spm, psm, short and "
            "snippets; give one of them another name of shards"
        )
    tokens = sum(stage.tokens for stage in stages)
    return Schedule(
        stages=stages,
        warmup_tokens=max(stages[0].tokens_per_step, round(tokens * recipe.train.warmup_share)),
        warmdown_tokens=max(
            stages[-1].tokens_per_step, round(tokens * recipe.train.warmdown_share)
        ),
        final_lr=recipe.train.final_lr,
        final_momentum=recipe.train.final_momentum,
    )


def _stage_tokens(tables: tuple[StageTable, ...], total: int) -> list[int]:
    """Return how many tokens each stage reads; they add up to `total`."""
    sizes = [table.tokens or round(table.share * total) for table in tables]
    rest = total - sum(sizes)
    if not sizes[-1]:
        sizes[-1] = rest
    elif abs(rest) > max(len(sizes), SHARES_TOLERANCE * total):
        raise ConfigError(
            f"the stages read {sum(sizes)} tokens, train.tokens is {total}; leave share and tokens "
            "out of the last stage and it takes the rest"
        )
    if min(sizes) <= 0:
        raise ConfigError(
            f"stage {sizes.index(min(sizes)) + 1} has {min(sizes)} tokens; each but the last needs "
            f"share or tokens, and together they may not reach train.tokens ({total})"
        )
    return sizes


def _stage(table: StageTable, tokens: int, train: TrainTable, network_block: int) -> Stage:
    block_size = table.block_size or network_block
    rows = max(1, (table.batch_tokens or train.batch_tokens) // block_size)
    scale = train.lr_scale * table.lr_scale
    return Stage(
        shards=table.shards,
        block_size=block_size,
        n_step=max(1, tokens // (rows * block_size)),
        rows_per_step=rows,
        micro_rows=min(rows, table.micro_rows or train.micro_rows),
        rate_factor=scale * math.sqrt(rows * block_size / REFERENCE_BATCH),
    )


def plan_problem(old: Mapping[str, Any], new: Schedule, step: int, tokens: int) -> str:
    """Say why a run planned as `old`, a table, cannot go on as `new`; "" when it can."""
    before = from_table(Schedule, old)
    if before == new:
        return ""
    if before.stages_until(step) != new.stages_until(step):
        return (
            f"the first {step} steps are done and would have been others; state the stages that "
            "are over in tokens"
        )
    if tokens > (last := min(before.warmdown_from, new.warmdown_from)):
        return (
            f"tokens and stages cannot change any more: {tokens} tokens are read, and one of the "
            f"plans lowers its rates after {last}"
        )
    return ""
