"""The run: its log, its checkpoints, and what it does when the loss is no number."""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.pretrain.test_trainer import (
    STAGES,
    RepeatingRows,
    assert_same,
    open_rows,
    small_recipe,
    trainer,
    weights,
)
from training.data import progress
from training.errors import TrainingError
from training.pretrain import checkpoint as state
from training.pretrain import loop
from training.pretrain.schedule import Stage
from training.pretrain.trainer import Trainer


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back what a run does with signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def measure(network: torch.nn.Module) -> dict[str, float]:
    return {"bits_per_byte": 1.5, "bits_per_byte.go": 1.4, "bits_per_byte.python": 1.6}


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def newest(run: Path) -> state.Checkpoint:
    checkpoint = state.load_newest(run)
    assert checkpoint is not None
    return checkpoint


def test_train_writes_a_log_and_a_last_checkpoint(tmp_path: Path) -> None:
    loop.train(trainer(validate_steps=10), tmp_path, validate=measure)
    lines = log(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["step"] for line in lines if "bits_per_byte" in line] == [10, 20]
    assert all(line["grad_norm"] > 0 for line in lines)
    done = newest(tmp_path).progress
    assert (done.step, done.tokens) == (20, 20 * 128)
    assert done.seconds > 0


def test_progress_in_a_file_is_a_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 3_600.0)  # on a slow machine, too
    loop.train(trainer(validate_steps=10), tmp_path, validate=measure)
    shown = capsys.readouterr().err.splitlines()
    steps = [line.split(" (")[0] for line in shown]
    assert steps == ["step 1/20", "step 10/20", "step 20/20"]
    assert "left" not in shown[0]
    assert shown[1].endswith("bits/byte 1.5000 (go 1.400, python 1.600)")
    assert " took " in shown[2]
    assert all(line.isprintable() for line in shown)


def test_progress_in_a_terminal_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    loop.train(trainer(), tmp_path)
    shown = terminal.getvalue()
    first, *others = shown.split("\n")
    assert first.startswith("\r\x1b[Kstep 1/20 (5%)  loss ")
    assert len(others) <= 2
    assert shown.endswith("\n") or len(others) == 1


class ScriptedTime:
    """A clock that the steps move."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    process_time = monotonic
    perf_counter = staticmethod(time.perf_counter)  # how fast the machine is, is measured


class SlowStart(Trainer):
    """Its first step takes a minute, as if it were compiled, the others a second."""

    clock = ScriptedTime()

    def step(self) -> float:
        self.clock.now_s += 60.0 if self.progress.step == 0 else 1.0
        return super().step()


def test_speed_leaves_the_first_step_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Past failure (2026-11-29): the running mean began with minutes of compilation."""
    monkeypatch.setattr(loop, "time", SlowStart.clock)
    loop.train(SlowStart(small_recipe(validate_steps=3), open_rows), tmp_path, validate=measure)
    assert [line["tokens_per_s"] for line in log(tmp_path)][:3] == [2.1, 128.0, 128.0]
    assert "step 3/20 (15%) left 17 s  loss" in capsys.readouterr().err


def test_terminated_run_is_saved_after_its_step(tmp_path: Path) -> None:
    def stop(network: torch.nn.Module) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return measure(network)

    loop.train(trainer(validate_steps=3), tmp_path, validate=stop)
    assert newest(tmp_path).progress.step == 3


def test_run_ends_at_the_step_asked_for_and_goes_on_alike(tmp_path: Path) -> None:
    whole, parts = trainer(), trainer()
    loop.train(whole, tmp_path / "whole")
    loop.train(parts, tmp_path / "parts", until=7)
    assert (parts.progress.step, newest(tmp_path / "parts").progress.step) == (7, 7)
    loop.train(parts, tmp_path / "parts")
    assert_same(weights(parts), weights(whole))


def test_last_state_at_full_rates_is_kept_and_can_be_made_longer(tmp_path: Path) -> None:
    loop.train(trainer(), tmp_path)
    assert newest(tmp_path / loop.STABLE).progress.step == 8  # of 20, 60% warmdown
    longer = trainer(tokens=32 * 4 * 30)
    assert longer.resume(tmp_path / loop.STABLE)
    assert longer.progress.step == 8


def test_stage_without_rows_ends_the_run_saved(tmp_path: Path) -> None:
    def open_short(stage: Stage) -> RepeatingRows:
        if stage.shards == "long":
            raise TrainingError("no rows yet")
        return open_rows(stage)

    recipe = small_recipe(*STAGES, tokens=18 * 128)
    run = Trainer(recipe, open_short)
    with pytest.raises(TrainingError, match="no rows yet"):
        loop.train(run, tmp_path)
    again = Trainer(recipe, open_rows)
    assert again.resume(tmp_path)
    assert again.progress.step == 6
    loop.train(again, tmp_path)
    straight = Trainer(recipe, open_rows)
    for _ in range(straight.plan.n_step):
        straight.step()
    assert_same(weights(again), weights(straight))


class PoisonedTrainer(Trainer):
    """Its loss is no number for some rows: those whose place in the reading order is bad."""

    bad: frozenset[int] = frozenset()

    def _accumulate(self, batches: object, first: int, stage: Stage) -> torch.Tensor:
        loss = super()._accumulate(batches, first, stage)  # type: ignore[arg-type]
        return loss * float("nan") if first // stage.rows_per_step in self.bad else loss


def poisoned(*bad: int, **train: object) -> PoisonedTrainer:
    run = PoisonedTrainer(small_recipe(**train), open_rows)
    run.bad = frozenset(bad)
    return run


def test_single_bad_batch_is_skipped_and_logged(tmp_path: Path) -> None:
    run = poisoned(5)
    loop.train(run, tmp_path)
    assert [line["step"] for line in log(tmp_path) if "skipped" in line] == [6]
    assert run.progress.n_skipped == 1
    assert run.progress.n_skipped_in_row == 0
    assert run.progress.step == 20


def test_bad_batches_in_a_row_take_the_run_back_and_past_them(tmp_path: Path) -> None:
    first = poisoned(5, 6, 7)
    for _ in range(4):
        first.step()
    first.save(tmp_path)
    loop.train(first, tmp_path)
    assert [line for line in log(tmp_path) if "went_back_to_step" in line] == [
        {"went_back_to_step": 4}
    ]
    assert (first.progress.n_skipped, first.progress.n_rollback) == (3, 1)
    assert first.progress.step == 20
    # Steps 5 to 20 were made with the rows after the bad ones: those of places 8 to 23.
    assert first.progress.rows == {"rows": 24 * 4}
    straight = trainer()
    for _ in range(4):
        straight.step()
    straight.progress.rows["rows"] = 8 * 4
    for _ in range(16):
        straight.step()
    assert_same(weights(first), weights(straight))


@pytest.mark.parametrize("stop_at", [6, 7])
def test_guard_is_the_same_over_a_resume(tmp_path: Path, stop_at: int) -> None:
    straight, first = poisoned(5, 6, 7), poisoned(5, 6, 7)
    for run, folder in ((straight, tmp_path / "straight"), (first, tmp_path / "stopped")):
        for _ in range(4):
            run.step()
        run.save(folder)
    loop.train(straight, tmp_path / "straight")
    while first.progress.step < stop_at:  # in the middle of the bad batches
        first.step()
    first.save(tmp_path / "stopped")
    second = poisoned(5, 6, 7)
    assert second.resume(tmp_path / "stopped")
    loop.train(second, tmp_path / "stopped")
    assert_same(weights(second), weights(straight))
    assert second.progress.n_rollback == 1


def test_run_killed_after_going_back_does_not_read_the_bad_rows_again(tmp_path: Path) -> None:
    run = poisoned(5, 6, 7)
    for _ in range(4):
        run.step()
    run.save(tmp_path)
    for _ in range(4):
        run.step()
    run.save(tmp_path)  # of step 8, bad
    run.roll_back(tmp_path)
    again = poisoned(5, 6, 7)
    assert again.resume(tmp_path)
    assert (again.progress.step, again.progress.rows, again.progress.n_rollback) == (
        4,
        {"rows": 32},
        1,
    )


def test_run_that_went_back_too_often_stops(tmp_path: Path) -> None:
    run = poisoned(*range(5, 100), max_rollbacks=2)
    for _ in range(4):
        run.step()
    run.save(tmp_path)
    with pytest.raises(TrainingError, match=r"after 2 returns to a checkpoint; lower train\.lr"):
        loop.train(run, tmp_path)
    assert newest(tmp_path).progress.step == 4


def test_rates_far_too_high_end_the_run_with_an_error(tmp_path: Path) -> None:
    run = trainer(lr_scale=6_000.0, tokens=128 * 60)
    with pytest.raises(TrainingError, match=r"far too high by step \d+.*; lower train\.lr_scale"):
        loop.train(run, tmp_path)
    assert run.progress.step < 30


class JumpingTrainer(Trainer):
    """Its loss is five nats higher for some rows, by their place in the reading order."""

    jump: range = range(0)

    def _accumulate(self, batches: object, first: int, stage: Stage) -> torch.Tensor:
        loss = super()._accumulate(batches, first, stage)  # type: ignore[arg-type]
        return loss + 5.0 * (first // stage.rows_per_step in self.jump)


def jumping(jump: range) -> JumpingTrainer:
    run = JumpingTrainer(small_recipe(tokens=128 * 50), open_rows)
    run.jump = jump
    return run


def test_high_loss_takes_the_run_back_and_past_its_rows(tmp_path: Path) -> None:
    run = jumping(range(40, 48))
    for _ in range(38):
        run.step()
    run.save(tmp_path)
    loop.train(run, tmp_path)
    assert [line for line in log(tmp_path) if "went_back_to_step" in line] == [
        {"went_back_to_step": 38}
    ]
    assert (run.progress.step, run.progress.n_high_in_row, run.progress.n_rollback) == (50, 0, 1)


def test_short_rise_of_the_loss_changes_nothing(tmp_path: Path) -> None:
    run, plain = jumping(range(40, 44)), jumping(range(0))
    loop.train(run, tmp_path / "run")
    loop.train(plain, tmp_path / "plain")
    assert_same(weights(run), weights(plain))


def test_run_bad_from_its_start_stops(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="before the first checkpoint"):
        loop.train(poisoned(*range(50)), tmp_path)
