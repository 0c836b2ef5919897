"""Exact rest-of-line: the share of cursors at which the system writes the line as its author did.

Two views of one model on the same tasks: the network alone (healed and not), and the whole engine
with its stopping and post-processing, which is what a user sees.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import closing

from assistant.cancel import Cancel
from assistant.generate.backend import GenerationJob, LocalBackend
from assistant.generate.engine import Engine
from assistant.generate.prompt import snippet_chars
from assistant.request import Completion, CompletionRequest
from assistant.snippets.cache import chosen_from
from assistant.snippets.search import SnippetSearch
from model.fim import Snippet
from training.evaluation.held_out import Task

DEADLINE_MS = 60_000  # quality is judged without a deadline; latency is measured elsewhere
MAX_NEW_TOKENS = 48
MIN_SHOWN_CHARS = 2  # a shown text that is right for fewer characters saves nobody a keystroke


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a system wrote for one task."""

    task: Task
    text: str  # the rest of the line; empty: nothing offered
    is_exact: bool
    is_shown: bool
    is_right: bool  # shown, and a right beginning of the truth
    total_ms: float


def network_answer(
    backend: LocalBackend, task: Task, *, heal: bool, neighbours: SnippetSearch | None = None
) -> Answer:
    """Ask the network alone for the rest of the line, greedily.

    With `neighbours`, the files of the task's repository, it is shown snippets of them.
    """
    job = make_job(backend, request_of(task), MAX_NEW_TOKENS, neighbours)
    if not heal:  # the cursor's token as a tokenizer would cut it, and no constraint
        ids = job.prompt.ids + backend.tokenizer.encode_bytes(job.prompt.tail)
        job = dataclasses.replace(job, prompt=dataclasses.replace(job.prompt, ids=ids, tail=b""))
    started = time.monotonic()
    with closing(backend.drafts(job)) as drafts:
        text = "".join(_first_line(piece for draft in drafts for piece in draft.pieces))
    return _judged(task, text.rstrip(), 1_000 * (time.monotonic() - started))


def make_job(
    backend: LocalBackend,
    request: CompletionRequest,
    max_new_tokens: int,
    neighbours: SnippetSearch | None = None,
) -> GenerationJob:
    """Return what the network is asked at a cursor for its one likeliest text."""
    info = backend.info
    snippets: list[Snippet] = []
    if neighbours is not None:
        snippets = chosen_from(neighbours, request, snippet_chars(info.snippet_tokens))
    return backend.prepare(
        request,
        max_new_tokens=min(max_new_tokens, info.block_size // 3),
        deadline=time.monotonic() + DEADLINE_MS / 1_000,
        cancel=Cancel(),
        snippets=snippets,
    )


def _first_line(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        head, newline, _ = piece.partition("\n")
        yield head
        if newline:
            return


def engine_answer(engine: Engine, task: Task) -> Answer:
    """Ask the whole engine, as an editor would."""
    started = time.monotonic()
    completions = engine.complete(request_of(task), Cancel())
    total_ms = 1_000 * (time.monotonic() - started)
    if not completions:
        return _judged(task, "", total_ms)
    return _judged(task, rest_of_line(task, completions[0]), total_ms)


def request_of(task: Task) -> CompletionRequest:
    """Return what an editor would ask; the file's name says its language."""
    return CompletionRequest(
        path=task.file.path, text=task.text, offset=task.offset, deadline_ms=DEADLINE_MS
    )


def rest_of_line(task: Task, completion: Completion) -> str:
    """Return what stands after the cursor on its line once the completion is accepted."""
    text = task.text[: completion.start] + completion.text + task.text[completion.end :]
    return text[task.offset :].partition("\n")[0].rstrip()


def _judged(task: Task, text: str, total_ms: float) -> Answer:
    is_shown = bool(text)
    wanted = min(MIN_SHOWN_CHARS, len(task.truth))
    return Answer(
        task=task,
        text=text,
        is_exact=text == task.truth,
        is_shown=is_shown,
        is_right=is_shown and len(text) >= wanted and task.truth.startswith(text),
        total_ms=total_ms,
    )
