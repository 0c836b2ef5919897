"""HumanEval-Infilling: a function with a hole, filled through the serving path, judged by tests.

Three kinds of holes, told apart by the names of the tasks: one line, several lines, any span of
characters. What is served is measured: prompt layout, token healing and greedy decoding are the
assistant's own. Knows the tasks' format (bring your own files); running code is `sandbox`'s matter.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import time
import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from assistant.cancel import Cancel
from assistant.generate import context, prompt
from assistant.generate.backend import GenerationJob, LocalBackend
from assistant.request import CompletionRequest
from training.evaluation.sandbox import Exercise

PATH = "solution.py"  # what the model is told; the benchmark names no file
# How a task's name begins -> what its hole is called, and the most tokens that may fill it.
KINDS = {
    "SingleLineInfilling": ("single-line", 64),
    "MultiLineInfilling": ("multi-line", 192),
    "RandomSpanInfilling": ("random-span", 192),
    "RandomSpanInfillingLight": ("random-span-light", 192),
}
DEADLINE_S = 600.0  # quality is judged without a deadline
_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")


class BenchmarkError(ValueError):
    """A file is not a benchmark of the kind; the message says where and why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One hole; field names are the benchmark's."""

    task_id: str  # Kind/HumanEval/problem/hole
    entry_point: str
    prompt: str  # the code before the hole
    suffix: str  # the code after it
    canonical_solution: str  # what stood in it
    test: str

    @property
    def kind(self) -> str:
        """What kind of hole it is."""
        return KINDS[self.task_id.partition("/")[0]][0]

    @property
    def problem(self) -> str:
        """The function that the hole is in; its tasks pass and fail together."""
        return "/".join(self.task_id.split("/")[1:3])

    @property
    def is_whole_lines(self) -> bool:
        """Say whether the hole ends where a line does."""
        return self.kind in ("single-line", "multi-line")

    @property
    def n_newline(self) -> int:
        """Newlines in what stood in the hole: what fills it is cut before it has more."""
        return self.canonical_solution.count("\n")

    def exercise(self, text: str) -> Exercise:
        """Return the function with `text` in the hole, to be judged."""
        return Exercise(
            program=self.prompt + text + self.suffix,
            entry_point=self.entry_point,
            reference=self.prompt + self.canonical_solution + self.suffix,
            test=self.test,
        )

    def is_exact(self, text: str) -> bool:
        """Say whether `text` is what stood there; white space at line ends aside."""
        if not self.is_whole_lines:
            return text == self.canonical_solution
        return _without_trailing(text) == _without_trailing(self.canonical_solution)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """What the model wrote into a hole."""

    text: str
    finish_reason: str  # stop: by itself; lines: cut; length, deadline: never came to an end
    new_tokens: int


def load_tasks(path: Path) -> list[Task]:
    """Read a file of tasks, one JSON object a line, gzipped or not; BenchmarkError if it is not."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BenchmarkError(f"cannot read {path}: {error}") from error
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise BenchmarkError(f"{path} holds no task")
    return [_task(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _task(line: str, place: str) -> Task:
    try:
        table: Any = json.loads(line)
        values = {name: table[name] for name in _FIELDS}
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{place} is not a task ({error!r})") from error
    if wrong := [name for name, value in values.items() if not isinstance(value, str)]:
        raise BenchmarkError(f"{place}: {wrong[0]} must be a text")
    task = Task(**values)
    kind, _, problem = task.task_id.partition("/")
    if kind not in KINDS or not problem:
        raise BenchmarkError(
            f"{place}: {task.task_id!r} should begin with one of {', '.join(KINDS)} and a slash"
        )
    return task


def sample(tasks: Sequence[Task], limit: int | None, *, seed: int) -> list[Task]:
    """Return `limit` of the tasks (None: all), in their order; a function of seed and names."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    kind = hashlib.sha256(tasks[0].kind.encode()).digest()
    draws = np.random.Generator(np.random.Philox(key=[seed, int.from_bytes(kind[:8], "little")]))
    return [tasks[index] for index in sorted(draws.choice(len(tasks), limit, replace=False))]


def fill(backend: LocalBackend, task: Task) -> Filling:
    """Ask the network for what is missing, greedily."""
    max_new_tokens = min(_max_new_tokens(task), backend.info.block_size // 3)
    budget = prompt.Budget(
        block_size=backend.info.block_size,
        suffix_tokens=backend.info.suffix_tokens,
        max_new_tokens=max_new_tokens,
    )
    request = CompletionRequest(
        path=PATH,
        text=task.prompt + task.suffix,
        offset=len(task.prompt),
        language="python",
    )
    window = context.window(
        request, prefix_chars=budget.prefix_chars, suffix_chars=budget.suffix_chars, skeleton=False
    )
    asked = prompt.build(
        backend.tokenizer,
        budget,
        window,
        prefix_start=request.offset - len(window.prefix),
        layout=backend.info.fim_layout,
    )
    job = GenerationJob(
        prompt=asked,
        n=1,
        max_new_tokens=max_new_tokens,
        deadline=time.monotonic() + DEADLINE_S,
        cancel=Cancel(),
    )
    with closing(backend.drafts(job)) as drafts:
        for draft in drafts:
            text, finish_reason = _read(draft.pieces, task)
            return Filling(text=text, finish_reason=finish_reason, new_tokens=draft.new_tokens)
    return Filling(text="", finish_reason="deadline", new_tokens=0)


def _max_new_tokens(task: Task) -> int:
    return KINDS[task.task_id.partition("/")[0]][1]


def _read(pieces: Generator[str, None, str], task: Task) -> tuple[str, str]:
    """Pull text until the hole's lines are full or the model ends; return it, and why it ended."""
    # A hole of whole lines is full with its last newline, another one before one more.
    last_newline = task.n_newline if task.is_whole_lines else task.n_newline + 1
    text = ""
    while text.count("\n") < last_newline:
        try:
            text += next(pieces)
        except StopIteration as end:
            if task.is_whole_lines and text and not text.endswith("\n"):
                text += "\n"  # the suffix begins a line of its own
            return text, str(end.value)
    lines = text.split("\n")[:last_newline]
    return "\n".join(lines) + ("\n" if task.is_whole_lines else ""), "lines"


def _without_trailing(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
