"""A run from its first step or its last checkpoint to its end: logs, checkpoints, the guard.

Writes nothing but the run folder (checkpoints, `log.jsonl`, `recipe.json`) and one progress line.
Below: how many threads a run should use, how fast the machine's products are, and what a run looks
at from time to time: bits per byte of held-out files, and a line that it completes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from assistant.source.languages import language_name
from model import fim
from model.config import ConfigError
from model.gpt import GPT
from model.tokenizer import Tokenizer
from training.data.corpus import Document, Split
from training.data.filters import hash_frac
from training.data.progress import Progress
from training.errors import TrainingError
from training.evaluation.bits_per_byte import (
    ByteCost,
    bits_per_byte,
    measure_cost,
    network_scorer,
    whole_file,
)
from training.pretrain.schedule import Stage
from training.pretrain.trainer import Trainer
from training.recipe import Recipe

LOG = "log.jsonl"
STABLE = "stable"  # below the run folder: the last checkpoint at the full rates, as a run folder
VALIDATION_BYTES = 60_000  # of held-out text, about, that are read at each validation
MEASURED = "bits_per_byte"  # in the log; "bits_per_byte.python" of one language
_SAMPLE_TOKENS = 24
_ROUNDS = 3
_CPU_PRODUCT, _GPU_PRODUCT = (2_048, 512), (8_192, 8_192)  # rows, width
_WORTH = 0.9  # fewer threads than there are must take less than this share of the time


def train(
    trainer: Trainer,
    run: Path,
    *,
    validate: Callable[[GPT], Mapping[str, Any]] | None = None,
    until: int | None = None,
    deadline: float = math.inf,
) -> None:
    """Run to step `until` (None: to the end); SIGTERM and Ctrl-C stop it after a step, saved.

    So does `deadline`, a time of the monotonic clock, but after a first step.

    `validate` returns figures for the log, `bits_per_byte` among them.

    Raises TrainingError when going back to a checkpoint no longer helps, and it or ConfigError,
    after saving, when a stage begins whose rows are not there or do not fit.
    """
    if trainer.group.is_first:
        _describe(trainer, run)
    with _stop_requests() as asked:
        end = trainer.plan.n_step if until is None else until
        _steps(trainer, run, validate, end, asked, deadline)
        trainer.save(run)


def _steps(
    trainer: Trainer,
    run: Path,
    validate: Callable[[GPT], Mapping[str, Any]] | None,
    end: int,
    asked: list[int],
    deadline: float,
) -> None:
    clock, screen = _Clock(trainer), Progress("step", trainer.plan.n_step)
    table, saved_at, device = trainer.recipe.train, time.monotonic(), trainer.device.device
    while trainer.progress.step < end and not trainer.group.any(bool(asked), device):
        try:
            line = _step(trainer, clock)
        except (TrainingError, ConfigError):
            trainer.save(run)
            raise
        step, every = trainer.progress.step, table.validate_steps
        is_due = step == trainer.plan.n_step or (every and step % every == 0)
        if validate is not None and is_due and (trainer.group.is_first or trainer.group.is_sharded):
            line |= validate(trainer.network)  # of a sharded network all have a part
        if trainer.group.is_first:
            _log(run, line)
            is_kept = clock.is_first or MEASURED in line
            screen.show(step, _note(line), keep=is_kept, left_s=clock.left_s)
        if trainer.is_ill:
            trainer.roll_back(run)
            if trainer.group.is_first:
                _log(run, {"went_back_to_step": trainer.progress.step})
        elif (
            trainer.group.any(time.monotonic() - saved_at > table.checkpoint_s, device)
            and not trainer.progress.n_high_in_row  # the last good states are kept
        ):
            trainer.save(run)
            saved_at = time.monotonic()
        _keep_stable(trainer, run)
        if time.monotonic() >= deadline:
            asked.append(0)  # so that all processes stop: their clocks differ
    screen.end()


def _describe(trainer: Trainer, run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    peak = product_flops(trainer.device.device, getattr(torch, trainer.progress.dtype))
    table = {
        "peak_gflops": round(peak / 1e9, 1),
        "recipe": dataclasses.asdict(trainer.recipe),
        "plan": dataclasses.asdict(trainer.plan),
        "threads": torch.get_num_threads() if trainer.device.device.type == "cpu" else 0,
    }
    (run / "recipe.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    log = run / LOG
    if log.is_file() and not log.read_bytes().endswith(b"\n"):  # a line that a kill has cut off
        with log.open("a", encoding="utf-8") as file:
            file.write("\n")


def _step(trainer: Trainer, clock: _Clock) -> dict[str, Any]:
    """Take a step; return its line of the log."""
    stage, n_skipped = trainer.stage, trainer.progress.n_skipped
    loss = trainer.step()
    speed = clock.tick(trainer, stage)
    line: dict[str, Any] = {"step": trainer.progress.step, "tokens": trainer.progress.tokens}
    line |= {"seconds": round(trainer.progress.seconds, 1), "loss": loss}
    line |= {"grad_norm": round(trainer.grad_norm, 4), **speed}
    return line | ({"skipped": 1} if trainer.progress.n_skipped > n_skipped else {})


def _note(line: Mapping[str, Any]) -> str:
    """Return what the progress line says of a step."""
    note = f" loss {line['loss']:.3f}  {line['tokens_per_s']:.0f} tokens/s"
    if MEASURED in line:
        note += f"  bits/byte {line[MEASURED]:.4f}"
        parts = {name: value for name, value in line.items() if name.startswith(f"{MEASURED}.")}
        each = (f"{name.partition('.')[2]} {value:.3f}" for name, value in parts.items())
        note += f" ({', '.join(each)})" if len(parts) > 1 else ""
        note += "\n  wrote: {}|{}".format(*line["sample"]) if "sample" in line else ""
    return note


def _keep_stable(trainer: Trainer, run: Path) -> None:
    """Keep the last state before the rates go down: from there a run can still be made longer."""
    progress, plan = trainer.progress, trainer.plan
    if progress.step < plan.n_step and not progress.n_skipped_in_row + progress.n_high_in_row:
        after = progress.tokens + trainer.stage.tokens_per_step
        if progress.tokens <= plan.warmdown_from < after:
            trainer.save(run / STABLE)


@contextlib.contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Give a list that has something in it when the user asked to stop: a step is then finished."""
    asked: list[int] = []
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {each: signal.signal(each, lambda signum, _: asked.append(signum)) for each in signals}
    try:
        yield asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class _Clock:
    """Wall and CPU seconds of a run over all its sessions, and its recent speed."""

    def __init__(self, trainer: Trainer) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._config = trainer.network.config
        self._stage: Stage | None = None
        self._token_s = math.inf  # running mean, without first steps
        self.is_first = True  # of the session or a stage: may have been compiled, speed says little
        self.left_s = math.inf  # seconds to the end at the present speed

    def tick(self, trainer: Trainer, stage: Stage) -> dict[str, Any]:
        """Add the time of a step to the run's progress; return its tokens a second and GFLOPS."""
        wall, cpu = time.monotonic(), time.process_time()
        passed = wall - self._wall
        trainer.progress.seconds += passed
        trainer.progress.cpu_seconds += cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        token_s = passed / stage.tokens_per_step
        self.is_first, self._stage = stage != self._stage, stage
        if self.is_first:
            self._token_s = math.inf
        else:
            is_known = math.isfinite(self._token_s)
            token_s = 0.9 * self._token_s + 0.1 * token_s if is_known else token_s
            self._token_s = token_s
        self.left_s = (trainer.plan.tokens - trainer.progress.tokens) * self._token_s
        gflops = self._config.flops_per_token(stage.block_size) / token_s / 1e9
        return {"tokens_per_s": round(1 / token_s, 1), "gflops": round(gflops, 1)}


def _log(run: Path, line: dict[str, Any]) -> None:
    with (run / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def choose_threads(
    work: Callable[[], None], most: int, *, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return how many threads, at most `most`, do the work fastest; torch has so many from here."""
    tried = sorted({most, max(1, most // 2), 1}, reverse=True)
    seconds = dict.fromkeys(tried, 0.0)
    if len(tried) > 1:
        work()  # the first time pays for memory
        for n in tried * _ROUNDS:  # in turns, and the sum of all: what else runs is a part of it
            torch.set_num_threads(n)
            start = clock()
            work()
            seconds[n] += clock() - start
    fastest = min(tried, key=seconds.__getitem__)
    chosen = fastest if seconds[fastest] < _WORTH * seconds[most] else most
    torch.set_num_threads(chosen)
    return chosen


def product_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of large matrix products: what a step is held against."""
    rows, width = _GPU_PRODUCT if device.type == "cuda" else _CPU_PRODUCT
    dice = torch.Generator(device).manual_seed(0)
    a = torch.randn(rows, width, dtype=dtype, device=device, generator=dice)
    b = torch.randn(width, width, dtype=dtype, device=device, generator=dice)
    seconds = []
    for _ in range(2 * _ROUNDS):
        start = time.perf_counter()
        float((a @ b)[0, 0])  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 2 * rows * width * width / min(seconds)


class Validator:
    """Called with the network, returns figures for the log."""

    def __init__(self, corpus: Path, tokenizer: Tokenizer, recipe: Recipe) -> None:
        self._documents = draw_files(Split(corpus, "validation"))
        if not self._documents:
            raise TrainingError(
                f"{corpus} holds no validation split; leave --corpus out or name repositories"
            )
        self._tokenizer = tokenizer
        self._block_size = recipe.network.config().block_size
        self._suffix_tokens = recipe.folder.suffix_tokens

    def __call__(self, network: GPT) -> dict[str, Any]:
        """Return bits per byte, over all files and by language, and what it makes of a line."""
        scorer = network_scorer(network, self._tokenizer, self._block_size)
        costs: dict[str, list[ByteCost]] = defaultdict(list)
        for document in self._documents:
            passage = whole_file(document.path, document.text)
            costs[language_name(document.path) or "text"].append(measure_cost(scorer, passage))
        everything = [cost for each in costs.values() for cost in each]
        by_language = {f"{MEASURED}.{name}": bits_per_byte(costs[name]) for name in sorted(costs)}
        return {MEASURED: bits_per_byte(everything), **by_language, "sample": self.sample(network)}

    def sample(self, network: GPT) -> tuple[str, str]:
        """Return the beginning of a line of a held-out file, and how the network goes on."""
        document = max(self._documents, key=lambda document: len(document.text))
        lines = [line for line in document.text.split("\n") if " " in line.strip()]
        line = lines[len(lines) // 2].rstrip() if lines else ""
        start = document.text.index(line)
        shown = line[: max(0, line.rfind(" "))]  # tokens begin with a space, so one ends here
        header = fim.header(self._tokenizer, document.path)
        suffix = self._tokenizer.encode(document.text[start + len(line) :])[: self._suffix_tokens]
        room = self._block_size - len(header) - len(suffix) - _SAMPLE_TOKENS - 3
        prefix = self._tokenizer.encode(document.text[:start] + shown)[-max(1, room) :]
        ids, written = fim.prompt(self._tokenizer, header, prefix, suffix), b""
        for _ in range(_SAMPLE_TOKENS):
            with torch.inference_mode():
                scores = network(torch.tensor([ids], device=network.head_weight.device))[0, -1]
            ids.append(int(scores.argmax()))
            if ids[-1] == self._tokenizer.end_id or b"\n" in written:
                break
            written += self._tokenizer.token_bytes(ids[-1])
        return shown, written.partition(b"\n")[0].decode("utf-8", "replace")


def draw_files(split: Split) -> list[Document]:
    """Return as much of each language, whole files chosen by hash."""
    files: dict[str, list[Document]] = defaultdict(list)
    for document in split:
        if document.text:  # corpora had empty ones until 2026-11-30
            files[language_name(document.path) or "text"].append(document)
    chosen = []
    for documents in files.values():
        left = VALIDATION_BYTES / len(files)
        for document in sorted(documents, key=lambda file: hash_frac(f"{file.source} {file.path}")):
            if left > 0:
                chosen.append(document)
                left -= len(document.text)
    return chosen
