"""What a system offers at a cursor, how it is judged, and what typing with its help comes to.

The model of acceptance: before each key the system is asked once. If what it shows is right (a
beginning of what is about to be typed on this line, of two characters or more, or all of it), the
author takes the whole of it with one key. Otherwise the next character is typed. Nothing wrong is
ever taken, nothing is taken in part, reading costs nothing, indentation and line ends are not
counted. So this is the most that suggestions could save on such lines, not a forecast.

Asked is the network by itself, or the whole engine: its answer, with its stopping and
post-processing, is what a user sees.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import PurePosixPath
from typing import NamedTuple

from assistant.generate.backend import LocalBackend
from assistant.generate.engine import Engine
from assistant.generate.prompt import GenerationJob, snippet_chars
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.snippets.cache import choose_snippets
from assistant.snippets.search import SnippetSearch
from model.fim import Snippet
from training.evaluation.held_out import Task

DEADLINE_MS = 60_000  # quality is judged without a deadline; latency is measured elsewhere
MAX_NEW_TOKENS = 48
MIN_RIGHT_CHARS = 2  # a shorter right beginning saves nobody a keystroke
ACCEPT_KEYS = 1


class Answer(NamedTuple):
    """A system's offer for the rest of the cursor's line."""

    text: str  # no newline, no white space at its end; empty: nothing is offered
    probability: float  # what the system says of it, 0..1; if uncalibrated, only the order counts
    ms: float  # of the call, and nothing else
    cpu_ms: float  # CPU time of it: what a busy machine cannot inflate


class Stopwatch:
    """Times one call, from here to its answer."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def answer(self, text: str, probability: float) -> Answer:
        """Return the answer with its times."""
        wall_s, cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        return Answer(text=text, probability=probability, ms=1_000 * wall_s, cpu_ms=1_000 * cpu_s)


class Judged(NamedTuple):
    """An answer, and what it is worth."""

    answer: Answer
    is_exact: bool  # the whole rest of the line
    is_right: bool  # a beginning of it, of two characters or more, or all of it

    @property
    def is_offered(self) -> bool:
        """Say whether there is anything that could be shown."""
        return bool(self.answer.text)


def judge(answer: Answer, truth: str) -> Judged:
    """Compare an answer with what was written there."""
    right = is_right(answer.text, truth)
    return Judged(answer=answer, is_exact=answer.text == truth, is_right=right)


def is_right(text: str, truth: str) -> bool:
    """Say whether an author about to write `truth` could take `text` as it is.

    >>> is_right("fo", "foo()"), is_right("f", "foo()"), is_right(")", ")"), is_right("fob", "foo")
    (True, False, True, False)
    """
    wanted = min(MIN_RIGHT_CHARS, len(truth))
    return bool(text) and len(text) >= wanted and truth.startswith(text)


class Keystrokes(NamedTuple):
    """What typing one line came to."""

    n_chars: int  # of the line
    n_saved: int  # characters that were taken, less the keys that took them
    n_wrong: int  # times that a suggestion appeared and could not be taken

    @property
    def saved(self) -> float:
        """The share of characters saved."""
        return self.n_saved / self.n_chars


def type_line(line: str, answers: Sequence[Answer], threshold: float) -> Keystrokes:
    """Type `line`; `answers` has what is offered before each of its characters.

    Shown is what has at least the probability `threshold`. A wrong suggestion that stays the same
    while it is typed over appears once.
    """
    place = n_saved = n_wrong = 0
    last_wrong = ""  # what would stand there if the wrong suggestion shown last were taken
    while place < len(line):
        answer = answers[place]
        is_shown = bool(answer.text) and answer.probability >= threshold
        if is_shown and is_right(answer.text, line[place:]):
            n_saved += len(answer.text) - ACCEPT_KEYS
            place += len(answer.text)
            continue
        whole = line[:place] + answer.text if is_shown else ""
        n_wrong += bool(whole) and whole != last_wrong
        last_wrong = whole
        place += 1
    return Keystrokes(n_chars=len(line), n_saved=n_saved, n_wrong=n_wrong)


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
