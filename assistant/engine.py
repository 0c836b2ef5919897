"""A completion from request to answer: the order of the stages, and nothing else.

refusal -> cache -> context -> memory and network -> judge -> rules -> gate -> cache -> answer.
Every threshold and every text rule belongs to a stage, not here.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable

from assistant import blocks_ahead, lines, offers, syntax
from assistant.cache import Generated, SuggestionCache
from assistant.cancel import Cancel
from assistant.completion import Completion, CompletionRequest
from assistant.config import Settings
from assistant.cost import Cost
from assistant.languages import language_of
from assistant.local import LocalBackend, open_backend
from assistant.memory.candidates import Cursor, propose
from assistant.memory.matches import Memory
from assistant.ranker import bundled
from assistant.refusal import refusal
from assistant.why import Why

log = logging.getLogger(__name__)

MemoryOf = Callable[[str], Memory | None]


def open_from(settings: Settings) -> LocalBackend:
    """Open the model that `settings` name; ModelError says what to mend."""
    return open_backend(settings.model, threads=settings.threads)


class Engine:
    """Answers requests from any thread; one at a time reaches the network, once that is loaded."""

    def __init__(
        self,
        settings: Settings,
        open_model: Callable[[Settings], LocalBackend] = open_from,
        memory: MemoryOf | None = None,
    ) -> None:
        """Take settings, how to open the model, and what finds the memory for a file's path."""
        self.settings = settings
        self._open_model = open_model
        self._memory_of = memory
        self._backend: LocalBackend | None = None
        self._load_lock = threading.Lock()
        self._cache = SuggestionCache()
        self._cache_lock = threading.Lock()
        self._n_requests = 0
        self.last = Why(outcome="nothing was asked yet")

    @property
    def ready(self) -> bool:
        """Whether the model is loaded; before that the memory answers alone."""
        return self._backend is not None

    def load(self) -> None:
        """Load the model, blocking; a second call does nothing. ModelError says what to mend."""
        with self._load_lock:
            if self._backend is None:
                self._backend = self._open_model(self.settings)
                with self._cache_lock:
                    self._cache.clear()  # it may hold what the memory said alone

    def complete(
        self, request: CompletionRequest, cancel: Cancel | None = None
    ) -> list[Completion]:
        """Return suggestions, best first; an empty list if there is nothing worth showing.

        Also empty when cancelled: the caller who set `cancel` knows why.
        """
        cost = Cost(started=time.monotonic())
        cancel = cancel or Cancel()
        why = Why()
        self._n_requests += 1
        reason = refusal(request, self.settings)
        if reason is None and self._backend is None and not self.settings.memory:
            reason = "model not loaded"
        if reason is not None:
            log.debug("no completion: %s", reason)
            why.outcome = reason
            self.last = why
            return []
        generated = self._known(request, cost)
        if generated is None:
            generated = self._generate(request, cancel, cost, why)
            if cancel.is_set():
                generated = ()
        answer = offers.answer(request, generated, cost)
        self._note(request, answer, cost, why, cancel)
        return answer

    def _known(self, request: CompletionRequest, cost: Cost) -> tuple[Generated, ...] | None:
        with self._cache_lock:
            known = self._cache.get(request)
        if known is not None:
            cost.source = "cache"
            cost.first_token_at = time.monotonic()
        return known

    def _generate(
        self, request: CompletionRequest, cancel: Cancel, cost: Cost, why: Why
    ) -> tuple[Generated, ...]:
        language = language_of(request.path, request.language)
        backend = self._backend
        ask = offers.Ask(
            request=request,
            language=language,
            settings=self.settings,
            cancel=cancel,
            cost=cost,
            why=why,
            is_familiar=backend is not None
            and language is not None
            and language.name in backend.info.languages,
        )
        multi_line = self.settings.multi_line == "auto" and syntax.opens_block(
            request.text, request.offset, language
        )
        if multi_line and backend is not None:
            kept = blocks_ahead.block(backend, ask)
        else:
            kept = self._line(backend, ask)
        if kept and not ask.should_stop():
            with self._cache_lock:
                self._cache.put(request, kept)
        return kept

    def _line(self, backend: LocalBackend | None, ask: offers.Ask) -> tuple[Generated, ...]:
        memory = None
        if self.settings.memory and self._memory_of is not None:
            memory = self._memory_of(ask.request.path)
        cursor = Cursor.of(ask.request.path, ask.request.text, ask.request.offset)
        proposal = propose(cursor, memory, use_document=self.settings.memory)
        offers.note_matches(ask.why, proposal)
        if backend is None:
            found = lines.by_memory(proposal, bundled())
        else:
            stop, job = offers.job(backend, ask)
            found = lines.judged(backend, backend.parameters, proposal, job, stop)
        return offers.line(ask, found)

    def _note(
        self,
        request: CompletionRequest,
        answer: list[Completion],
        cost: Cost,
        why: Why,
        cancel: Cancel,
    ) -> None:
        """Keep the record, and log one line per completion: the path as a hash, and never text."""
        why.source = cost.source
        why.total_ms = cost.ms(time.monotonic())
        if not why.outcome or answer:
            why.outcome = "shown" if answer else "cancelled" if cancel.is_set() else "not shown"
        self.last = why
        log.info(
            "completion %d document=%s source=%s n=%d prompt_tokens=%d new_tokens=%d "
            "reused_tokens=%d first_token_ms=%.1f total_ms=%.1f finish_reason=%s",
            self._n_requests,
            hashlib.blake2b(request.path.encode("utf-8", "replace"), digest_size=4).hexdigest(),
            cost.source,
            len(answer),
            cost.prompt_tokens,
            cost.new_tokens,
            cost.reused_tokens,
            cost.ms(cost.first_token_at or cost.started),
            why.total_ms,
            answer[0].finish_reason if answer else "none",
        )
