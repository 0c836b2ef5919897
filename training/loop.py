"""The training loop: batches in, weights out. One optimizer step is one function.

Reads nothing but rows, writes nothing but the run folder: checkpoints, `log.jsonl`, one progress
line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch

from model.device import Device, choose_device
from model.gpt import GPT
from training import state
from training.batches import Batches, Rows
from training.config import Derived, Recipe, derive
from training.loss import cross_entropy
from training.optim import (
    AdamW,
    Muon,
    muon_momentum,
    schedule,
    split_parameters,
    warmdown_start,
)

MOMENTUM_RAMP_STEPS = 200


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


class Trainer:
    """Network and optimizers of one run, and the step that moves them."""

    def __init__(self, recipe: Recipe, rows: Rows, *, pad_id: int = -1) -> None:
        self.recipe = recipe
        self.derived: Derived = derive(recipe)
        self.device: Device = choose_device(recipe.train.device, recipe.train.dtype)
        torch.manual_seed(recipe.train.seed)
        self.network = GPT(recipe.network.config(), dtype=self.device.dtype).to(self.device.device)
        self.forward = (
            torch.compile(self.network.hidden) if self.device.compile else self.network.hidden
        )
        matrices, rest = split_parameters(self.network.named_parameters())
        self.muon = Muon(matrices)
        self.adamw = AdamW(rest, betas=(0.8, 0.95), eps=1e-10)
        self.batches = Batches(rows, seed=recipe.train.seed)
        self.pad_id = pad_id
        self.progress = state.Progress(recipe_hash=recipe_hash(recipe), n_step=self.derived.n_step)

    def step(self) -> float:
        """Take one optimizer step; return its mean loss in nats per token."""
        loss = self._accumulate()
        if not math.isfinite(loss):
            raise DivergedError(
                f"loss is {loss} at step {self.progress.step}; "
                "lower train.lr_scale and start another run"
            )
        self._update()
        derived, block_size = self.derived, self.network.config.block_size
        self.progress = dataclasses.replace(
            self.progress,
            step=self.progress.step + 1,
            tokens=self.progress.tokens + derived.rows_per_step * block_size,
        )
        return loss

    def _accumulate(self) -> float:
        """Sum gradients over the step's micro-batches; return the mean loss."""
        self.network.zero_grad(set_to_none=True)
        total, done = 0.0, 0
        first = self.progress.step * self.derived.rows_per_step
        while done < self.derived.rows_per_step:
            count = min(self.recipe.train.micro_rows, self.derived.rows_per_step - done)
            idx, targets = self.batches.take(first + done, count, self.pad_id)  # (count, T) each
            hidden = self.forward(idx.to(self.device.device))  # (count, T, C)
            share = count / self.derived.rows_per_step
            loss = (
                cross_entropy(hidden, self.network.head_weight, targets.to(self.device.device))
                * share
            )
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            done += count
        return total

    def _update(self) -> None:
        step, derived, train = self.progress.step, self.derived, self.recipe.train
        factor = schedule(
            step,
            n_step=derived.n_step,
            n_warmup=derived.n_warmup,
            warmdown_share=train.warmdown_share,
            floor=train.final_lr,
        )
        self.muon.step(
            lr=derived.matrix_lr * factor,
            momentum=muon_momentum(step, n_ramp=MOMENTUM_RAMP_STEPS),
            weight_decay=train.weight_decay * factor,
        )
        rates = {
            name: factor * (derived.embed_lr if parameter.dim() == 2 else derived.gain_lr)
            for name, parameter in self.adamw.parameters.items()
        }
        self.adamw.step(step=step + 1, lr=rates)

    def save(self, run: Path) -> Path:
        """Write a checkpoint."""
        return state.save(
            run, self.progress, self.network.state_dict(), self.muon.state() | self.adamw.state()
        )

    def resume(self, run: Path) -> bool:
        """Go on from the newest checkpoint below `run`; False when there is none.

        The number of tokens may differ from the run's so far while neither plan has begun to lower
        the rates: until then the schedule does not depend on it. Raises StateError otherwise, and
        when the recipe differs in anything else.
        """
        checkpoint = state.load_newest(run)
        if checkpoint is None:
            return False
        if checkpoint.progress.recipe_hash != recipe_hash(self.recipe):
            raise state.StateError(
                f"{run} was started with another recipe (see {run / 'recipe.json'}); "
                "use another --run folder"
            )
        if checkpoint.progress.n_step != self.derived.n_step:
            self._check_new_length(checkpoint.progress)
        self.network.load_state_dict(checkpoint.weights)
        self.muon.load(checkpoint.optimizer)
        self.adamw.load(checkpoint.optimizer)
        self.progress = dataclasses.replace(checkpoint.progress, n_step=self.derived.n_step)
        return True

    def _check_new_length(self, progress: state.Progress) -> None:
        share = self.recipe.train.warmdown_share
        shortest = min(progress.n_step, self.derived.n_step)
        if progress.step > (last := warmdown_start(shortest, share)):
            raise state.StateError(
                f"train.tokens cannot change any more: the run is at step {progress.step}, and one "
                f"of the plans lowers its rates from step {last} on"
            )


def recipe_hash(recipe: Recipe) -> str:
    """Return a hash of what decides the weights, but for the length of the run."""
    train = dataclasses.asdict(recipe.train)
    del train["tokens"]
    text = json.dumps([dataclasses.asdict(recipe.network), train], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def train(trainer: Trainer, run: Path, *, validate: Callable[[GPT], float] | None = None) -> None:
    """Run to the end of the schedule; SIGTERM and Ctrl-C stop it after a step, saved."""
    run.mkdir(parents=True, exist_ok=True)
    table = {
        "recipe": dataclasses.asdict(trainer.recipe),
        "derived": dataclasses.asdict(trainer.derived),
    }
    (run / "recipe.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    clock = _Clock(trainer)
    stopping = _StopRequest()
    saved_at = time.monotonic()
    n_step = trainer.derived.n_step
    while trainer.progress.step < n_step and not stopping.asked:
        loss = trainer.step()
        clock.tick(trainer)
        step, every = trainer.progress.step, trainer.recipe.train.validate_steps
        line = {"step": step, "tokens": trainer.progress.tokens, "loss": loss, **clock.figures()}
        if validate is not None and (step == n_step or (every and step % every == 0)):
            line["bits_per_byte"] = validate(trainer.network)
        _log(run, line)
        _show(line, clock.eta_s(trainer), n_step)
        if time.monotonic() - saved_at > trainer.recipe.train.checkpoint_s:
            trainer.save(run)
            saved_at = time.monotonic()
    trainer.save(run)
    sys.stderr.write("\n")


class _StopRequest:
    """Remembers that the user asked to stop, so that the step under way is finished and saved."""

    def __init__(self) -> None:
        self.asked = False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._ask)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True


class _Clock:
    """Wall and CPU seconds of a run over all its sessions, and its recent speed."""

    def __init__(self, trainer: Trainer) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._flops_per_token = trainer.network.config.flops_per_token(
            trainer.network.config.block_size
        )
        self._step_s = 0.0
        self._tokens_per_step = trainer.derived.rows_per_step * trainer.network.config.block_size

    def tick(self, trainer: Trainer) -> None:
        """Add the time since the last tick to the run's progress."""
        wall, cpu = time.monotonic(), time.process_time()
        passed = wall - self._wall
        trainer.progress = dataclasses.replace(
            trainer.progress,
            seconds=trainer.progress.seconds + passed,
            cpu_seconds=trainer.progress.cpu_seconds + cpu - self._cpu,
        )
        self._step_s = passed if self._step_s == 0.0 else 0.9 * self._step_s + 0.1 * passed
        self._wall, self._cpu = wall, cpu

    def figures(self) -> dict[str, float]:
        """Return tokens per second and GFLOPS of the last steps."""
        tokens_per_s = self._tokens_per_step / self._step_s
        gflops = tokens_per_s * self._flops_per_token / 1e9
        return {"tokens_per_s": round(tokens_per_s, 1), "gflops": round(gflops, 1)}

    def eta_s(self, trainer: Trainer) -> float:
        """Return the seconds left at the present speed."""
        return (trainer.derived.n_step - trainer.progress.step) * self._step_s


def _log(run: Path, line: dict[str, float]) -> None:
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _show(line: dict[str, float], eta_s: float, n_step: int) -> None:
    minutes, seconds = divmod(round(eta_s), 60)
    text = f"step {line['step']:.0f}/{n_step}  loss {line['loss']:.3f}  "
    text += f"{line['tokens_per_s']:.0f} tokens/s"
    if "bits_per_byte" in line:
        text += f"  bits/byte {line['bits_per_byte']:.4f}\n"
    sys.stderr.write(
        f"\r\x1b[K{text}  {minutes}:{seconds:02d} left"
        if not text.endswith("\n")
        else f"\r\x1b[K{text}"
    )
    sys.stderr.flush()
