"""Network and optimizers of one run, and the step that moves them: batches in, weights out.

Rows become batches in an order that is a function of (seed, position): to resume is to know one
number. Knows rows and checkpoints, not where rows come from, nor logs and progress lines.
"""

import dataclasses
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config import ConfigError
from model.device import Device, choose_device
from model.gpt import GPT
from training.data.shards import ShardReader, TokenIds
from training.errors import TrainingError
from training.pretrain import checkpoint, distributed
from training.pretrain.checkpoint import Checkpoint, RunProgress
from training.pretrain.distributed import Group
from training.pretrain.gpt2 import GPT2
from training.pretrain.loss import IGNORE, cross_entropy, load_teacher
from training.pretrain.optim import AdamW, Average, Muon, split_parameters
from training.pretrain.schedule import Schedule, Stage, make_plan, plan_problem
from training.recipe import Recipe, recipe_hash

# A CPU compiles for a minute or two; a run of so many operations takes twenty or more.
LONG_RUN_FLOPS = 2e14
Rows = ShardReader | TokenIds  # of T + 1 token ids each


class Batches:
    """Draw rows in a fresh random order each epoch; targets equal to `pad_id` carry no loss."""

    def __init__(
        self, rows: Rows, *, seed: int, pad_id: int = -1, device: torch.device | str = "cpu"
    ) -> None:
        if len(rows) == 0:
            raise ValueError("the shards hold no row: pack the corpus first")
        self._rows = rows
        self._seed = seed
        self._pad_id = pad_id
        self._device = torch.device(device)
        self._ready: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def row_index(self, position: int) -> int:
        """Return which row is the `position`-th ever drawn."""
        epoch, offset = divmod(position, len(self._rows))
        if epoch != self._epoch:
            draws = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
            self._order = draws.permutation(len(self._rows))
            self._epoch = epoch
        return int(self._order[offset])

    def take(self, position: int, count: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, both (count, T), of the rows from `position` on."""
        ready, self._ready = self._ready.get((position, count)), {}
        return ready or self._upload(position, count)

    def prepare(self, position: int, count: int) -> None:
        """Begin to copy what is taken next, while a GPU still computes."""
        self._ready = {(position, count): self._upload(position, count)}

    def _upload(self, position: int, count: int) -> tuple[Tensor, Tensor]:
        rows = [self._rows[self.row_index(position + i)] for i in range(count)]
        ids = torch.from_numpy(np.stack(rows).astype(np.int64))  # (count, T + 1)
        targets = ids[:, 1:].clone()
        targets[targets == self._pad_id] = IGNORE
        return self._copy(ids[:, :-1].contiguous()), self._copy(targets)

    def _copy(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)


class Trainer:
    """One run; `open_rows` gives a stage's rows when the stage begins."""

    def __init__(
        self,
        recipe: Recipe,
        open_rows: Callable[[Stage], Rows],
        *,
        pad_id: int = -1,
        group: Group | None = None,
        adapt: Callable[[GPT], None] | None = None,
    ) -> None:
        """Make the network; `adapt` may change which of its parameters there are, and learn."""
        self.recipe = recipe
        self.plan: Schedule = make_plan(recipe)
        rows = [stage.rows_per_step for stage in self.plan.stages]
        self.group = distributed.take_place(Group() if group is None else group, recipe, rows)
        self.device: Device = choose_device(
            recipe.train.device, recipe.train.dtype, index=self.group.local_rank
        )
        torch.manual_seed(recipe.train.seed)
        kind = GPT2 if recipe.network.block == "gpt2" else GPT
        self.network = kind(recipe.network.config())
        if adapt is not None:
            adapt(self.network)
        self.network.to(self.device.device)
        is_bf16 = self._agree(self.device.dtype == torch.bfloat16)
        if recipe.train.recompute:
            distributed.recompute_layers(self.network)
        dtype = torch.bfloat16 if is_bf16 else torch.float32
        self.gradient_sum = distributed.spread(self.network, self.group, self.device.device, dtype)
        named = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self._share_out(named)
        self.average = Average(named if recipe.train.average_tokens else {})
        self.pad_id = pad_id  # its targets carry no loss
        self.grad_norm = 0.0  # of the last step
        self.teacher = load_teacher(recipe, self.device.device)
        self.progress = RunProgress(
            recipe_hash=recipe_hash(recipe),
            plan=dataclasses.asdict(self.plan),
            teacher=self.teacher.name if self.teacher else "",
        )
        compiled = self._agree(self.should_compile(is_plain=adapt is None))
        self._compute_as("bfloat16" if is_bf16 else "float32", compiled=compiled)
        self._open_rows = open_rows
        self._batches: Batches | None = None  # of the shards that are read now
        self._shards = ""

    def _share_out(self, named: dict[str, nn.Parameter]) -> None:
        """Give each parameter to its optimizer; "adamw" takes all, with its usual constants."""
        train = self.recipe.train
        matrices, rest = split_parameters(named.items())
        self._matrices = frozenset(matrices)
        self._plain = train.optimiser == "adamw"
        if self._plain:
            matrices, rest = {}, named
        self.muon = Muon(matrices, orthogonaliser=train.orthogonaliser, beta2=train.normuon_beta2)
        betas, eps = ((0.9, 0.95), 1e-8) if self._plain else ((0.8, 0.95), 1e-10)
        self.adamw = AdamW(rest, betas=betas, eps=eps)

    @property
    def stage(self) -> Stage:
        """The stage of the next step."""
        return self.plan.stage_at(self.progress.step)

    def should_compile(self, *, is_plain: bool) -> bool:
        """Say whether to compile the step, a minute or two at its start.

        Raises ConfigError when the recipe wants it and torch would stop with a traceback.
        """
        if self.device.compile:
            return self.recipe.train.compile is not False
        has_compiler = self._has_compiler()
        if self.recipe.train.compile and not has_compiler:
            raise ConfigError(
                "train.compile needs a C++ compiler (CXX, g++ or clang++), and there is none; "
                "install one or leave train.compile out"
            )
        is_long = self.plan.flops(self.network.config) >= LONG_RUN_FLOPS
        chosen = self.recipe.train.compile
        return is_plain and is_long and has_compiler if chosen is None else chosen

    def _has_compiler(self) -> bool:
        names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
        return self.device.device.type != "cpu" or any(map(shutil.which, names))

    def _agree(self, condition: bool) -> bool:
        """Say whether it holds in all processes: each has measured and looked for itself."""
        return not self.group.any(not condition, self.device.device)

    def _compute_as(self, dtype: str, *, compiled: bool) -> None:
        """Take a precision, "float32" or "bfloat16", and compile or not; both go with the run."""
        self.network.dtype = self.muon.dtype = getattr(torch, dtype)
        hidden = self.network.hidden
        self.forward = torch.compile(hidden, dynamic=False) if compiled else hidden
        if self.teacher is not None:
            self.teacher.compute_as(self.muon.dtype, compiled=compiled)
        self.progress.dtype, self.progress.compiled = dtype, compiled

    def step(self) -> float:
        """Take one optimizer step; return its mean loss in nats per token.

        When the loss or its gradient is no number, the weights stay as they are and the step is
        counted as skipped; a loss that is too high is counted too. Whoever drives the run asks
        `is_ill` when that is too often.
        """
        stage, progress = self.stage, self.progress
        if self._batches is None or self._shards != stage.shards:
            seed, device = self.recipe.train.seed, self.device.device
            rows, self._shards = self._open_rows(stage), stage.shards
            self._batches = Batches(rows, seed=seed, pad_id=self.pad_id, device=device)
        first = progress.rows.get(stage.shards, 0)
        total = self._accumulate(self._batches, first, stage)
        grads = [p.grad for p in self.network.parameters() if p.grad is not None]
        if self.group.is_sharded:
            norm = self.group.add(distributed.squared_norm(grads, self.group.size)).sqrt()
        else:
            norm = torch.nn.utils.get_total_norm(grads)
        # Both at once: the only time in a step that the processor waits for a GPU.
        loss: float
        loss, self.grad_norm = torch.stack([total, norm]).tolist()
        if math.isfinite(loss) and math.isfinite(self.grad_norm):
            self._update(stage)
            is_new = progress.step > 0 and self.plan.stage_at(progress.step - 1) != stage
            guess = math.log(self.network.config.vocab_size)
            is_warm = progress.tokens >= self.plan.warmup_tokens
            progress.watch_loss(loss, guess if is_warm else math.inf, is_new_stage=is_new)
            progress.n_skipped_in_row = 0
        else:
            progress.n_skipped += 1
            progress.n_skipped_in_row += 1
        progress.step += 1
        progress.tokens += stage.tokens_per_step
        progress.rows[stage.shards] = first + stage.rows_per_step
        return loss

    def rehearse(self) -> None:
        """Do the work of a micro-batch of made-up ids, uncompiled; nothing is learnt from it."""
        rows, size = self.stage.micro_rows, self.stage.block_size
        ids = torch.arange(rows * size, device=self.device.device).view(rows, size)
        ids = ids % self.network.config.vocab_size
        hidden = self.network.hidden(ids)
        loss = cross_entropy(hidden, self.network.head_weight, ids)
        loss.backward()  # type: ignore[no-untyped-call]
        loss.item()  # waits for a GPU
        self.network.zero_grad(set_to_none=True)

    @property
    def is_ill(self) -> bool:
        """Say whether too many steps in a row were bad: time to go back."""
        n_skipped, n_high = self.progress.n_skipped_in_row, self.progress.n_high_in_row
        return n_skipped >= self.recipe.train.max_skips or n_high >= checkpoint.HIGH_STEPS

    def _accumulate(self, batches: Batches, first: int, stage: Stage) -> Tensor:
        """Sum gradients over the step's micro-batches and processes; return the mean loss, ()."""
        self.network.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device.device)
        ours = self.group.share(stage.rows_per_step)
        for start in ours[:: stage.micro_rows]:
            count = min(stage.micro_rows, ours.stop - start)
            idx, targets = batches.take(first + start, count)  # (count, T) each
            hidden = self.forward(idx)  # (count, T, C)
            share = count / stage.rows_per_step
            teaching = self.teacher.answer(idx) if self.teacher else None
            head = self.network.head_weight
            if self.gradient_sum:
                self.gradient_sum.is_last = start + count == ours.stop
            loss = cross_entropy(hidden, head, targets, teaching=teaching) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach() / self.group.tensor_parallel  # neighbours have the same
        if self.plan.stage_at(min(self.progress.step + 1, self.plan.n_step - 1)) == stage:
            count = min(stage.micro_rows, len(ours))
            batches.prepare(first + stage.rows_per_step + ours.start, count)
        if self.gradient_sum:
            self.gradient_sum.finish()
        return self.group.add(total)

    def _update(self, stage: Stage) -> None:
        progress, train = self.progress, self.recipe.train
        factor = self.plan.factor(progress.tokens, stage.tokens_per_step)
        rate = factor * stage.rate_factor
        self.muon.step(
            lr=train.matrix_lr * rate,
            momentum=self.plan.momentum(progress.step, progress.tokens),
            weight_decay=train.weight_decay * factor,
        )
        rates = {
            name: rate * (train.embed_lr if parameter.dim() == 2 else train.gain_lr)
            for name, parameter in self.adamw.parameters.items()
        }
        rates |= dict.fromkeys(self._matrices & rates.keys(), rate * train.matrix_lr)
        decay = train.weight_decay if self._plain else 0.0
        self.adamw.step(step=progress.step + 1, lr=rates, weight_decay=decay)
        if train.average_tokens:
            self.average.step(math.exp(-stage.tokens_per_step / train.average_tokens))

    def begin_with(self, weights: Mapping[str, Tensor], parent: str) -> None:
        """Take another model's weights, `parent` being its name; before the first step only."""
        assert self.progress.step == 0, "begin_with() in the middle of a run"
        own = self.network.state_dict()
        differing = sorted(
            name
            for name in own.keys() | weights.keys()
            if name not in own or name not in weights or own[name].shape != weights[name].shape
        )
        if differing:
            raise ConfigError(
                f"the weights to begin with do not fit the recipe's network: {differing[0]} "
                f"and {len(differing) - 1} others are missing or of another shape"
            )
        if self.group.is_sharded:
            distributed.load_whole(self.network, weights)
        else:
            self.network.load_state_dict(dict(weights))
        self.average = Average(self.average.parameters)
        self.progress.parent = parent

    def save(self, run: Path) -> None:
        """Write a checkpoint; of several processes the first does, or each its share."""
        if self.group.is_first or self.group.is_sharded:
            distributed.gather_again(self.network)
            shares = self.group if self.group.is_sharded else None
            checkpoint.save(
                run, self.progress, self.network.state_dict(), self._optimizer(), shares=shares
            )

    def _optimizer(self) -> dict[str, Tensor]:
        return self.muon.state | self.adamw.state | self.average.state

    def resume(self, run: Path) -> bool:
        """Go on from the newest checkpoint below `run`; False when there is none.

        Tokens and stages may differ from the run's so far where that changes nothing that is done,
        and while no plan has begun to lower the rates. Raises TrainingError otherwise, and when the
        recipe differs in anything else.
        """
        saved = checkpoint.load_newest(run)
        if saved is None:
            return False
        progress = saved.progress
        if progress.recipe_hash != recipe_hash(self.recipe):
            raise TrainingError(
                f"{run} was started with another recipe (see {run / 'recipe.json'}); "
                "use another --run folder"
            )
        if progress.teacher != self.progress.teacher:
            raise TrainingError(
                f"{run} was taught by {progress.teacher[:12] or 'none'}, train.teacher is "
                f"{self.progress.teacher[:12] or 'none'}; use another --run folder"
            )
        if problem := plan_problem(progress.plan, self.plan, progress.step, progress.tokens):
            raise TrainingError(f"{run} cannot go on with this recipe: {problem}")
        compiled = progress.compiled
        if self.recipe.train.compile is not None:
            compiled = self.progress.compiled
        elif compiled and not self._has_compiler():
            raise TrainingError(
                f"{run} was compiled, and there is no C++ compiler (CXX, g++ or clang++); install "
                "one, or go on with --set train.compile=false, to other last bits"
            )
        # Sharded, weights are gathered as that.
        if self.group.is_sharded and progress.dtype != self.progress.dtype:
            raise TrainingError(
                f"{run} computes in {progress.dtype}, this machine in {self.progress.dtype}; go on "
                "with --set train.shard=false --set train.tensor_parallel=1"
            )
        self._compute_as(progress.dtype, compiled=compiled)
        self._load(saved)
        return True

    def roll_back(self, run: Path) -> None:
        """Return to the last checkpoint with good steps; what was read since is left out for good.

        Raises TrainingError when there is none or the run went back often enough.
        """
        bad = self.progress
        where = f"the loss or its gradient is no number at step {bad.step}"
        if bad.n_high_in_row >= checkpoint.HIGH_STEPS:
            where = f"the loss has grown far too high by step {bad.step}"
        advice = "lower train.lr_scale and start another run"
        if bad.n_rollback >= self.recipe.train.max_rollbacks:
            raise TrainingError(
                f"{where}, after {bad.n_rollback} returns to a checkpoint; {advice}"
            )
        saved = checkpoint.load_newest(run, accept=lambda progress: progress.is_healthy)
        if saved is None:
            raise TrainingError(f"{where}, before the first checkpoint; {advice}")
        self._load(saved)
        self.group.wait()  # until all have read it
        if self.group.is_first:
            checkpoint.discard_after(run, saved.progress.step)
        kept = ("rows", "n_skipped", "seconds", "cpu_seconds")
        left = {name: getattr(bad, name) for name in kept}
        self.progress = dataclasses.replace(self.progress, **left, n_rollback=bad.n_rollback + 1)
        self.save(run)

    def _load(self, saved: Checkpoint) -> None:
        if self.group.is_sharded:
            distributed.gather_again(self.network)
            checkpoint.load_shares(saved.folder, self.network.state_dict() | self._optimizer())
        else:
            self.network.load_state_dict(saved.weights)
            for name, tensor in self._optimizer().items():
                tensor.copy_(saved.optimizer[name])
        plan, compiled = dataclasses.asdict(self.plan), self.progress.compiled
        self.progress = dataclasses.replace(saved.progress, plan=plan, compiled=compiled)
