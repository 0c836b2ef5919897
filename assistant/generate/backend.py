"""The networks on this machine: each has one runtime, one lock, and the ids its cache holds.

A request rewinds the cache to what its prompt shares with the last one and appends the rest, so a
keystroke costs a token or two. Speaks ids below and text above; where a suggestion ends is its
consumer's business: each draft is a stream that is pulled.
"""

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ModelError
from assistant.generate.prompt import GenerationJob, build_prompt
from assistant.rank.ranker import RankerParameters, bundled, parse
from assistant.request import Cancel, CompletionRequest
from assistant.settings import Settings
from assistant.source.languages import PYTHON
from model.candidate_tree import NEVER, Scored, build_tree, score_tree
from model.config import ConfigError
from model.decode import Healed, Token, Utf8Stream, choices, decode, heal
from model.fim import Snippet
from model.folder import FolderInfo, ModelFolderError, bundled_for
from model.foreign import load_model
from model.healing import TokenTable
from model.prefix_cache import PrefixCache
from model.runtime import Logits, Runtime, open_runtime
from model.tokenizer import Tokenizer, TokenizerError

PREFILL_TOKENS = 128  # appended at a time, at most
LEAST_PREFILL_TOKENS = 32  # fewer cost nearly twice as much each: 8 of SmolLM2 6.0 ms, 32 3.3 ms
PREFILL_S = 0.05  # and about so long, after which a cancelled request is let go
WARM_UP_TOKENS = 8
TREE_TOKENS = 128  # room in the cache for branches; their positions stay within the trained context
BRANCHES_PER_DRAFT = 2  # first tokens tried for each text wanted; some lead to the same text
_LOCK_POLL_S = 0.002  # how soon a waiting request notices that it was cancelled
_numbers = itertools.count(1)


class Draft:
    """One continuation, generated while `pieces` is pulled; the other fields grow with it.

    `pieces` returns why it ended on its own: stop, length, deadline or cancelled.
    """

    def __init__(self, tokens: Iterator[Token], job: GenerationJob, end_id: int) -> None:
        self.pieces = self._pull(tokens, job, end_id)
        self.logprob = 0.0  # summed over the tokens that `pieces` came from
        self.visible_tokens = 0  # those tokens
        self.new_tokens = 0  # and those spent on healing
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self.first_token_at = 0.0  # time.monotonic() seconds; 0: no token came

    @property
    def mean_logprob(self) -> float:
        """Per token; -inf without any."""
        return self.logprob / self.visible_tokens if self.visible_tokens else float("-inf")

    def _pull(
        self, tokens: Iterator[Token], job: GenerationJob, end_id: int
    ) -> Generator[str, None, str]:
        stream = Utf8Stream()
        last_id = -1
        for token in tokens:
            self.first_token_at = self.first_token_at or time.monotonic()
            self.new_tokens += 1
            self.visible_tokens += 1
            self.logprob += token.logprob
            last_id = token.id
            if text := stream.feed(token.text):
                yield text
            if stream.broken:
                return "stop"
        if last_id == end_id:
            return "stop"
        if job.should_stop():
            return "cancelled" if job.cancel.is_set() else "deadline"
        return "length"


def open_backend(folder: str, *, label: str = "", **run_options: Any) -> "LocalBackend":
    """Load the model at `folder`; ModelError says what to mend.

    `label` is what people call it (default: its own name); the rest is `open_runtime`'s.
    """
    path = Path(folder).expanduser()
    try:
        model = load_model(path)
        size = model.info.block_size + TREE_TOKENS
        runtime = open_runtime(model, max_len=size, **run_options)
        parameters = parse(model.ranker) if model.ranker is not None else None
        if parameters is None and not model.info.languages:  # a network of others
            parameters = bundled()  # the index's part holds as it is; docs/models.md on the rest
        backend = LocalBackend(runtime, model.tokenizer(), model.info, parameters)
        backend.content_hash = model.content_hash
        backend.label = label or model.info.name
        backend.warm_up()
    except (ModelFolderError, TokenizerError, ConfigError) as error:
        raise ModelError(str(error)) from error
    except (OSError, RuntimeError, MemoryError) as error:
        raise ModelError(f"cannot run the model in {path}: {error}") from error
    return backend


class LocalBackend:
    """Owns a runtime; drafts for one job at a time, from any thread."""

    def __init__(
        self,
        runtime: Runtime,
        tokenizer: Tokenizer,
        info: FolderInfo,
        parameters: RankerParameters | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.info = info
        self.parameters = parameters  # how to rank with this model; None: not fitted
        self.number = next(_numbers)  # of this one alone, in this process
        self.label = info.name
        self.content_hash = ""
        self._table = TokenTable(tokenizer)
        self._transcript = PrefixCache(runtime)
        self._lock = threading.Lock()
        self._prefill_tokens = PREFILL_TOKENS

    def prepare(
        self,
        request: CompletionRequest,
        *,
        max_new_tokens: int,
        deadline: float,
        cancel: Cancel,
        snippets: Sequence[Snippet] = (),
    ) -> GenerationJob:
        """Return what to generate at the request's cursor: prompt and limits."""
        prompt = build_prompt(
            self.tokenizer, self.info, request, max_new_tokens=max_new_tokens, snippets=snippets
        )
        return GenerationJob(
            prompt=prompt,
            n=request.n,
            max_new_tokens=max_new_tokens,
            deadline=deadline,
            cancel=cancel,
        )

    def warm_up(self) -> None:
        """Run the network once: the first request must not pay for its first allocations.

        RuntimeError if what it says are no numbers.
        """
        ids = [self.tokenizer.end_id] * WARM_UP_TOKENS
        with self._lock:
            self._transcript.append(ids)
            started = time.perf_counter()
            scores = self._transcript.append([*ids, self.tokenizer.end_id])
            token_s = (time.perf_counter() - started) / len(ids)
            self._transcript.rewind(0)
        if np.isnan(scores).any():
            raise RuntimeError("it holds weights that are no numbers")
        fitting = int(PREFILL_S / max(token_s, 1e-9))
        self._prefill_tokens = max(LEAST_PREFILL_TOKENS, min(fitting, PREFILL_TOKENS))

    def keep_prompts(self, n: int) -> None:
        """Remember the caches of so many prompts, as far as there is room."""
        self._transcript.max_kept = n

    def drafts(self, job: GenerationJob) -> Generator[Draft, None, None]:
        """Yield drafts, the likeliest first token first; pull each before asking for the next.

        More than `job.n` may come, since two may end as the same text: stop when there are enough.
        The generator holds the model's lock: exhaust or close it on the thread that made it.
        Yields nothing when cancelled or out of time before the first token.
        """
        with self.turn(job) as turn:
            if turn is not None:
                yield from turn.drafts()

    @contextmanager
    def turn(self, job: GenerationJob) -> Iterator["PromptSession | None"]:
        """Read the prompt and hold the model for this thread; None if cancelled or out of time."""
        if not self._acquire(job):
            yield None
            return
        try:
            logits, n_reused = self._transcript.replace(
                job.prompt.ids, chunk_tokens=self._prefill_tokens, should_stop=job.should_stop
            )
            if logits is None:
                yield None
            else:
                yield PromptSession(self, job, logits, n_reused)
        finally:
            self._lock.release()

    def _acquire(self, job: GenerationJob) -> bool:
        while not job.should_stop():
            if self._lock.acquire(timeout=_LOCK_POLL_S):
                return True
        return False


class PromptSession:
    """The network with one prompt read: it scores texts and writes its own."""

    def __init__(
        self, backend: LocalBackend, job: GenerationJob, root: Logits, n_reused: int
    ) -> None:
        self.n_reused = n_reused  # tokens of the prompt that were in the cache
        self.n_nodes = 0  # of all scored trees
        self._tokenizer, self._job, self._root = backend.tokenizer, job, root.copy()
        self._transcript, self._table = backend._transcript, backend._table
        self._n_foreseen_before = self._transcript.n_foreseen

    @property
    def n_foreseen(self) -> int:
        """Tokens of drafts for which nothing had to be run: their scores were known."""
        return self._transcript.n_foreseen - self._n_foreseen_before

    def score(self, texts: Sequence[str], *, max_nodes: int, known: Scored | None = None) -> Scored:
        """Score continuations in one pass; those that do not fit into it have no score.

        `known` are scores of others at this cursor.
        """
        length = len(self._job.prompt.ids)
        if self._transcript.length > length:
            self._transcript.rewind(length)
        tail = self._job.prompt.tail
        room = min(max_nodes, self._transcript.room)
        branches = build_tree(self._tokenizer, tail, texts, max_nodes=room)
        least = known.tail_logprob if known is not None else NEVER
        found = score_tree(self._transcript, self._root, self._table, tail, branches, least)
        self.n_nodes += len(branches.ids)
        return found

    def drafts(self) -> Generator[Draft, None, None]:
        """Yield what the network writes itself; see `LocalBackend.drafts`."""
        job, table, steps = self._job, self._table, self._transcript
        healed = heal(steps, self._root, table, job.prompt.tail, job.should_stop)
        if healed is None:
            return
        n_branches = job.n if job.n == 1 else BRANCHES_PER_DRAFT * job.n
        for first in choices(healed.logits, table, healed.rest, n_branches):
            if job.should_stop():
                return
            draft = Draft(self._decode(healed, first), job, table.end_id)
            draft.new_tokens = healed.n_tokens
            draft.prompt_tokens = len(job.prompt.ids)
            draft.reused_tokens = self.n_reused
            yield draft

    def _decode(self, healed: Healed, first: Token) -> Iterator[Token]:
        if self._transcript.length > healed.length:  # an earlier draft went on from there
            self._transcript.rewind(healed.length)
        return decode(
            self._transcript,
            self._table,
            first,
            max_new_tokens=max(1, self._job.max_new_tokens - healed.n_tokens),
            should_stop=self._job.should_stop,
        )


OpenModel = Callable[[Settings, str], LocalBackend]  # for documents in a language


def open_from(settings: Settings, language: str = PYTHON.name) -> LocalBackend:
    """Open the model that `settings` name, else the bundled one for a language.

    ModelError says what to mend.
    """
    folder = settings.model or str(bundled_for(language))
    return open_backend(folder, **settings.run_options)


class BaseModels:
    """Holds them for one engine, whose settings decide; any thread may ask."""

    def __init__(self, open_model: OpenModel) -> None:
        self._open_model = open_model
        self._backends: dict[str, LocalBackend] = {}  # by folder; "": for all languages
        self._tried: set[str] = set()  # folders that are loaded, being loaded, or cannot be
        self._lock = threading.Lock()
        self._loading: threading.Thread | None = None
        self._fault: ModelError | None = None  # of the background

    @property
    def labels(self) -> list[str]:
        """What people call those that are loaded."""
        return [backend.label for backend in self._backends.values()]

    def load(self, settings: Settings, language: str) -> None:
        """Load the model for a language, blocking, unless it is; ModelError says what to mend."""
        place = _place(settings, language)
        self._tried.add(place)
        with self._lock:
            if place not in self._backends:
                self._backends[place] = self._open_model(settings, language)

    def loaded(self, settings: Settings, language: str) -> LocalBackend | None:
        """Return the model for a language, if it is loaded."""
        return self._backends.get(_place(settings, language))

    def find(self, settings: Settings, language: str) -> LocalBackend | None:
        """Return the model for a language; None where it is not there yet, or cannot be loaded.

        Raises once the ModelError of a load in the background.
        """
        if (fault := self._fault) is not None:
            self._fault = None
            raise fault
        place = _place(settings, language)
        if self._backends and place not in self._tried:
            self._tried.add(place)

            def load() -> None:
                try:
                    self.load(settings, language)
                except ModelError as error:
                    self._fault = error

            self._loading = threading.Thread(target=load, name="model-load", daemon=True)
            self._loading.start()
        return self.loaded(settings, language)

    def close(self, timeout_s: float) -> None:
        """Wait for the background at most so long."""
        if self._loading is not None:
            self._loading.join(timeout_s)


def _place(settings: Settings, language: str) -> str:
    return "" if settings.model else str(bundled_for(language))
