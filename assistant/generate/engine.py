"""A completion from request to answer: the order of the stages, and nothing else.

refusal -> cache -> context -> memory and network -> judge -> rules -> gate -> cache -> answer.
Every threshold and every text rule belongs to a stage, not here.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.cancel import Cancel
from assistant.generate import multi_line as blocks_ahead
from assistant.generate import prompt
from assistant.generate import response as offers
from assistant.generate import single_line as lines
from assistant.generate.backend import LocalBackend, open_backend
from assistant.generate.cache import Suggestion, SuggestionCache
from assistant.generate.completion_trace import Trace
from assistant.generate.timing import Timing
from assistant.index.matches import SearchableIndex
from assistant.privacy.exclusion import refusal
from assistant.rank.candidates import Cursor, propose
from assistant.rank.ranker import bundled
from assistant.request import Completion, CompletionRequest
from assistant.settings import Settings
from assistant.source import syntax
from assistant.source.languages import language_of
from model.fim import Snippet

if TYPE_CHECKING:
    from assistant.remote.policy import Remote, Ticket
    from assistant.snippets.cache import SnippetCache

log = logging.getLogger(__name__)

MemoryOf = Callable[[str], SearchableIndex | None]
BackendOf = Callable[[str], LocalBackend | None]


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
        remote: "Remote | None" = None,
        snippets: "SnippetCache | None" = None,
    ) -> None:
        """Take settings, how to open the model, what finds a path's memory, and a remote side."""
        self.settings = settings
        self._open_model = open_model
        self._memory_of = memory
        self.remote = remote
        self.tuned_for: BackendOf | None = None  # a document's own model, where it has one
        self._snippets = snippets
        self._backend: LocalBackend | None = None
        self._load_lock = threading.Lock()
        self._cache = SuggestionCache()
        self._cache_lock = threading.Lock()
        self._n_requests = 0
        self.last = Trace(outcome="nothing was asked yet")

    @property
    def ready(self) -> bool:
        """Whether the model is loaded; before that the memory answers alone."""
        return self._backend is not None

    @property
    def base_name(self) -> str:
        """What the model for all documents is called; "" before it is loaded."""
        return self._backend.label if self._backend is not None else ""

    def load(self) -> None:
        """Load the model, blocking; a second call does nothing. ModelError says what to mend."""
        if self.remote is not None:
            self.remote.warm_up()
            if self.remote.replaces_local:
                return
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
        asked = _Asked(
            request=request,
            backend=self._backend_for(request.path),
            cancel=cancel or Cancel(),
            cost=Timing(started=time.monotonic()),
            why=Trace(),
        )
        self._n_requests += 1
        remote = self.remote if self.settings.allow_remote and self.settings.show != "off" else None
        reason = refusal(request, self.settings)
        answers = asked.backend is not None or self.settings.index or remote is not None
        if reason is None and not answers:
            reason = "model not loaded"
        if reason is not None:
            log.debug("no completion: %s", reason)
            asked.why.outcome = reason
            self.last = asked.why
            return []
        ticket = remote.before(request, blocks=self._blocks) if remote is not None else None
        generated: tuple[Suggestion, ...] = ()
        if remote is None or not remote.replaces_local:
            asked.why.model = asked.backend.label if asked.backend is not None else ""
            generated = self._local(asked)
        answer = offers.answer(request, generated, asked.cost)
        if remote is not None:
            least = self._least_remote(asked)
            answer = _or_remote(remote, ticket, generated, answer, asked, least)
        self._note(asked, answer)
        return answer

    def _backend_for(self, path: str) -> LocalBackend | None:
        """Return the model of a document: its own, or the one for all; a request keeps it."""
        tuned = self.tuned_for(path) if self.tuned_for is not None else None
        return tuned if tuned is not None else self._backend

    @property
    def _blocks(self) -> bool:
        return self.settings.multi_line == "auto"

    def _local(self, asked: "_Asked") -> tuple[Suggestion, ...]:
        generated = self._kept(asked)
        if generated is None:
            generated = self._generate(asked)
            if asked.cancel.is_set():
                generated = ()
        return generated

    def _least_remote(self, asked: "_Asked") -> float:
        """Return how sure a server's text must be: as sure as the network's own."""
        parameters = (asked.backend.parameters if asked.backend is not None else None) or bundled()
        fitted = parameters.both if parameters else None
        return offers.least_of(self.settings, asked.request, fitted, is_familiar=True)

    def _kept(self, asked: "_Asked") -> tuple[Suggestion, ...] | None:
        with self._cache_lock:
            kept = self._cache.get(asked.request, model=asked.number)
        if kept is not None:
            asked.cost.source = "cache"
            asked.cost.first_token_at = time.monotonic()
        return kept

    def _generate(self, asked: "_Asked") -> tuple[Suggestion, ...]:
        request, backend = asked.request, asked.backend
        language = language_of(request.path, request.language)
        ask = offers.Ask(
            request=request,
            language=language,
            settings=self.settings,
            cancel=asked.cancel,
            cost=asked.cost,
            why=asked.why,
            is_familiar=backend is not None
            and language is not None
            and language.name in backend.info.languages,
            snippets=self._shown(request, backend),
        )
        multi_line = self._blocks and syntax.opens_block(request.text, request.offset, language)
        if multi_line and backend is not None:
            made = blocks_ahead.block(backend, ask)
        else:
            made = self._line(backend, ask)
        if made and not ask.should_stop():
            with self._cache_lock:
                self._cache.put(request, made, model=asked.number)
        return made

    def _shown(self, request: CompletionRequest, backend: LocalBackend | None) -> list[Snippet]:
        """Return code of other files for the prompt; none for a network that never saw any."""
        n_tokens = backend.info.snippet_tokens if backend is not None else 0
        settings = self.settings
        if not (n_tokens and settings.snippets and settings.index) or self._memory_of is None:
            return []
        if self._snippets is None:
            from assistant.snippets.cache import SnippetCache

            self._snippets = SnippetCache()
        return self._snippets.snippets_for(
            self._memory_of(request.path), request, budget_chars=prompt.snippet_chars(n_tokens)
        )

    def _line(self, backend: LocalBackend | None, ask: offers.Ask) -> tuple[Suggestion, ...]:
        memory = None
        if self.settings.index and self._memory_of is not None:
            memory = self._memory_of(ask.request.path)
        cursor = Cursor.of(ask.request.path, ask.request.text, ask.request.offset)
        proposal = propose(cursor, memory, use_document=self.settings.index)
        offers.note_matches(ask.why, proposal)
        if backend is None:
            found = lines.by_memory(proposal, bundled())
        else:
            stop, job = offers.job(backend, ask)
            found = lines.judged(backend, backend.parameters, proposal, job, stop)
        return offers.line(ask, found)

    def _note(self, asked: "_Asked", answer: list[Completion]) -> None:
        """Keep the record, and log one line per completion: the path as a hash, and never text."""
        cost, why = asked.cost, asked.why
        why.source = cost.source
        why.total_ms = cost.ms(time.monotonic())
        if not why.outcome or answer:
            is_over = asked.cancel.is_set()
            why.outcome = "shown" if answer else "cancelled" if is_over else "not shown"
        self.last = why
        log.info(
            "completion %d document=%s source=%s n=%d prompt_tokens=%d new_tokens=%d "
            "reused_tokens=%d first_token_ms=%.1f total_ms=%.1f finish_reason=%s",
            self._n_requests,
            hashlib.blake2b(
                asked.request.path.encode("utf-8", "replace"), digest_size=4
            ).hexdigest(),
            cost.source,
            len(answer),
            cost.prompt_tokens,
            cost.new_tokens,
            cost.reused_tokens,
            cost.ms(cost.first_token_at or cost.started),
            why.total_ms,
            answer[0].finish_reason if answer else "none",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """One request on its way through the stages, and the record that grows with it."""

    request: CompletionRequest
    backend: LocalBackend | None  # the document's model, from now to the end; None: none is loaded
    cancel: Cancel
    cost: Timing
    why: Trace

    @property
    def number(self) -> int:
        """Which model's words the cache may hold for this."""
        return self.backend.number if self.backend is not None else 0


def _or_remote(
    remote: "Remote",
    ticket: "Ticket | None",
    generated: tuple[Suggestion, ...],
    answer: list[Completion],
    asked: _Asked,
    least: float,
) -> list[Completion]:
    """Return what is shown of both sides: the remote one where it is sure enough, and surer."""
    request, cost, why = asked.request, asked.cost, asked.why
    found = remote.after(
        ticket,
        confidence=answer[0].probability if answer else None,
        deadline=cost.started + request.deadline_ms / 1_000,
        cancel=asked.cancel,
    )
    if found is None or asked.cancel.is_set():
        return answer
    beliefs = generated[0].beliefs if generated else ()
    beliefs = beliefs or tuple((item.text, item.probability) for item in generated)  # of a block
    judged = remote.judged(found, request, beliefs, least=least)
    why.remote = {"probability": judged.probability, "threshold": least}
    local, cost.source = cost.source, "remote"
    offered = offers.answer(request, (judged,), cost)
    distinct: dict[tuple[str, int, int], Completion] = {}
    for item in sorted([*offered, *answer], key=lambda item: -item.probability):
        distinct.setdefault((item.text, item.start, item.end), item)
    shown = list(distinct.values())
    if not offered or shown[0] is not offered[0]:
        cost.source = local
        why.outcome = why.outcome or "not sure enough"  # unless something is shown
    else:
        why.probability, why.threshold = judged.probability, least
    return shown[: request.n]
