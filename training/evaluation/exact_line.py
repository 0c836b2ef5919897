"""Asks for the rest of a line: the network by itself, or the whole engine.

The engine's answer, with its stopping and post-processing, is what a user sees.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import PurePosixPath

from assistant.generate.backend import LocalBackend
from assistant.generate.engine import Engine
from assistant.generate.prompt import GenerationJob, snippet_chars
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.snippets.cache import choose_snippets
from assistant.snippets.search import SnippetSearch
from model.fim import Snippet
from training.evaluation.answers import Answer, Stopwatch
from training.evaluation.held_out import Task

DEADLINE_MS = 60_000  # quality is judged without a deadline; latency is measured elsewhere
MAX_NEW_TOKENS = 48


def ask_network(
    backend: LocalBackend, task: Task, neighbours: SnippetSearch | None = None
) -> Answer:
    """Ask the network by itself for the rest of the line, greedily.

    With `neighbours`, the files of the task's repository, it is shown snippets of them.
    """
    request, snippets = make_request(task), list[Snippet]()
    if neighbours is not None:
        snippets = choose_snippets(neighbours, request, snippet_chars(backend.info.snippet_tokens))
    job = make_job(backend, request, MAX_NEW_TOKENS, snippets)
    watch = Stopwatch()
    text = write_lines(backend, job, 1)
    return watch.answer(text.rstrip(), 1.0 if text else 0.0)


def make_job(
    backend: LocalBackend,
    request: CompletionRequest,
    max_new_tokens: int,
    snippets: Sequence[Snippet] = (),
) -> GenerationJob:
    """Return what the network is asked at a cursor."""
    return backend.prepare(
        request,
        max_new_tokens=min(max_new_tokens, backend.info.block_size // 3),
        deadline=time.monotonic() + DEADLINE_MS / 1_000,
        cancel=Cancel(),
        snippets=snippets,
    )


def write_lines(backend: LocalBackend, job: GenerationJob, n_lines: int) -> str:
    """Return what the network writes, greedily, up to a number of lines."""
    text = ""
    with closing(backend.drafts(job)) as drafts:
        for piece in (piece for draft in drafts for piece in draft.pieces):
            text += piece
            if text.count("\n") >= n_lines:
                break
    return "\n".join(text.split("\n")[:n_lines])


def ask_engine(engine: Engine, task: Task) -> Answer:
    """Ask the whole engine, as an editor would; only its call is timed."""
    request, cancel = make_request(task), Cancel()
    watch = Stopwatch()
    completions = engine.complete(request, cancel)
    if not completions:
        return watch.answer("", 0.0)
    return watch.answer(read_rest_of_line(task, completions[0]), completions[0].probability)


def make_request(task: Task) -> CompletionRequest:
    """Return what an editor would ask; the file's name says its language."""
    return CompletionRequest(
        path=task.file.path,
        repository=PurePosixPath(task.file.source).name,
        text=task.text,
        offset=task.offset,
        deadline_ms=DEADLINE_MS,
    )


def read_rest_of_line(task: Task, completion: Completion) -> str:
    """Return what stands after the cursor on its line once the completion is accepted."""
    text = task.text[: completion.start] + completion.text + task.text[completion.end :]
    return text[task.offset :].partition("\n")[0].rstrip()
