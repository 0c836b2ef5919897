"""A completion from request to response: the order of the stages, and nothing else.

exclusion -> cache -> snippets, prompt -> candidates -> network and ranking -> rules, secret check,
confidence -> a remote server's text, where one is configured -> response. Every threshold and every
text rule belongs to a stage, not here.
"""

import dataclasses
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from assistant.generate.backend import BaseModels, LocalBackend, OpenModel, open_from
from assistant.generate.cache import SuggestionCache
from assistant.generate.lines import rank_lines, write_blocks
from assistant.generate.prompt import GenerationJob, snippet_chars
from assistant.generate.response import (
    Proposed,
    RemoteSide,
    Response,
    Trace,
    build_completions,
    count_drafts,
    merge_remote,
    offer_lines,
    offer_suggestions,
)
from assistant.privacy.exclusion import why_refused
from assistant.rank.candidates import Cursor, propose
from assistant.rank.ranker import OTHERS, FittedRanker, bundled, threshold
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings
from assistant.source.blocks import opened_block
from assistant.source.languages import PYTHON, Language, language_of
from assistant.source.open_trees import OpenTrees
from model.fim import Snippet
from model.lru import LRU

if TYPE_CHECKING:
    from assistant.index.folder_index import FolderIndex
    from assistant.snippets.cache import SnippetCache

KEPT_TRACES = 8  # documents of which it is known how the last response came about

log = logging.getLogger(__name__)

IndexOf = Callable[[str], "FolderIndex | None"]  # of a request's document
BackendOf = Callable[[str], LocalBackend | None]


class _Asked(NamedTuple):
    """A request under way."""

    request: CompletionRequest
    language: Language | None
    backend: LocalBackend | None
    cancel: Cancel
    started: float  # time.monotonic() seconds

    @property
    def deadline(self) -> float:
        return self.started + self.request.deadline_ms / 1_000

    @property
    def number(self) -> int:
        return self.backend.number if self.backend else 0

    @property
    def label(self) -> str:
        return self.backend.label if self.backend else ""


class Engine:
    """Answers requests from any thread; one at a time reaches the network, once that is loaded."""

    def __init__(
        self,
        settings: Settings,
        open_model: OpenModel = open_from,
        index: IndexOf | None = None,
        remote: RemoteSide | None = None,
        snippets: "SnippetCache | None" = None,
    ) -> None:
        """Take settings, how to open the model, what finds a document's index, a remote side."""
        self._settings = settings
        self._index_of = index
        self.remote = remote
        self.tuned_for: BackendOf | None = None  # a document's own model, where it has one
        self.steps: Mapping[str, float] = {}  # by language, of the gate: `assistant.counts`
        self._snippets = snippets
        self._bases = BaseModels(open_model)
        self._trees = OpenTrees()
        self._cache = SuggestionCache()
        self._cache_lock = threading.Lock()
        self._n_requests = 0
        self._traces: LRU[str, Trace] = LRU(KEPT_TRACES)  # of each document's last response

    @property
    def settings(self) -> Settings:
        """The settings of now; what was kept under others is forgotten when they change."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self._settings:
            with self._cache_lock:
                self._settings = settings
                self._cache.clear()

    @property
    def base_name(self) -> str:
        """What the models for all documents are called; "" before one is loaded."""
        return ", ".join(self._bases.labels)

    def load(self, language: str = PYTHON.name) -> None:
        """Load the model for documents in a language, blocking; a second call does nothing.

        Others follow when they are asked for, in the background. ModelError says what to mend.
        """
        if self.remote is not None and self.remote.replaces_local:
            return
        self._bases.load(self.settings, language)

    def backend_of(self, language: str) -> LocalBackend | None:
        """Return the loaded model for all documents in a language."""
        return self._bases.loaded(self.settings, language)

    def changed(self, document: str) -> None:
        """Take note that a document has changed: what others were answered knows nothing of it."""
        with self._cache_lock:
            self._cache.keep_only(document)

    def close(self, timeout_s: float) -> None:
        """End what reads files or asks a server, waiting at most so long for each."""
        if self._snippets is not None:
            self._snippets.close(timeout_s)
        if self.remote is not None:
            self.remote.close(timeout_s)
        self._bases.close(timeout_s)

    def complete(
        self, request: CompletionRequest, cancel: Cancel | None = None
    ) -> Sequence[Completion]:
        """Return suggestions, best first; empty if there is nothing worth showing.

        Also empty when cancelled: the caller who set `cancel` knows why.
        """
        return self.respond(request, cancel).completions

    def respond(self, request: CompletionRequest, cancel: Cancel | None = None) -> Response:
        """Return suggestions, best first, and how they came about."""
        asked = self._take(request, cancel or Cancel())
        settings = self.settings
        remote = self.remote if settings.allow_remote and settings.show != "off" else None
        reason = why_refused(request, settings)
        if reason is None and asked.backend is None and remote is None and not settings.index:
            reason = "model not loaded"
        if reason is None and settings.silent_in:
            scope = self._trees.scope(request)
            reason = f"in a {scope}" if scope in settings.silent_in else None
        if reason is not None:
            log.debug("no completion: %s", reason)
            return self._respond(request, [], Trace(outcome=reason))

        blocks = settings.multi_line == "auto"
        handle = remote.before(request, blocks=blocks) if remote is not None else None
        proposed = Proposed()
        if remote is None or not remote.replaces_local:
            proposed = self._look_up(asked) or self._propose(asked)
        completions = build_completions(request, proposed.offers)
        trace = proposed.trace
        if remote is not None:
            found = remote.after(
                request,
                handle,
                confidence=completions[0].probability if completions else None,
                deadline=asked.deadline,
                cancel=asked.cancel,
            )
            if found is not None and not asked.cancel.is_set():
                # As sure as the network's own text must be.
                parameters = (asked.backend.parameters if asked.backend else None) or bundled()
                least = self._threshold(asked, parameters.both if parameters else None)
                completions, trace = merge_remote(found, request, proposed, least, self._trees)

        is_alone = remote is not None and remote.replaces_local
        outcome = trace.outcome or ("no answer" if is_alone else "no proposal")
        if completions or asked.cancel.is_set():
            outcome = "shown" if completions else "cancelled"
        total_ms = 1_000 * (time.monotonic() - asked.started)
        trace = dataclasses.replace(trace, outcome=outcome, total_ms=total_ms)
        _log_response(self._n_requests, request, completions, trace)
        return self._respond(request, completions, trace)

    def last_trace(self, document: str = "") -> Trace:
        """Return how the last response for a document (default: for any) came about."""
        last = next(reversed(self._traces), "")
        return self._traces.get(document or last) or Trace(outcome="nothing was asked yet")

    def _respond(
        self, request: CompletionRequest, completions: Sequence[Completion], trace: Trace
    ) -> Response:
        self._traces.put(request.document, trace)
        return Response(completions, trace)

    def _take(self, request: CompletionRequest, cancel: Cancel) -> _Asked:
        """Begin with a request, by its document's own model or the one for all.

        It keeps that. None until one is loaded, and where the index completes by text alone: no
        network has seen such code.
        """
        self._n_requests += 1
        started, backend = time.monotonic(), None
        language = language_of(request.path, request.language)
        if language is not None:
            backend = self.tuned_for(request.document) if self.tuned_for is not None else None
            if backend is None or not backend.info.serves(language.name):
                backend = self._bases.find(self.settings, language.name)
        return _Asked(request, language, backend, cancel, started)

    def _look_up(self, asked: _Asked) -> Proposed | None:
        """Return what the cache has for this cursor; None if it must be computed."""
        request = asked.request
        with self._cache_lock:
            kept = self._cache.get(request, model=asked.number)
        if kept is None:
            return None
        suggestions = [dataclasses.replace(item, source="cache") for item in kept]
        offers = offer_suggestions(request, suggestions)
        if not offers and any(item.is_shown for item in kept):
            return None  # hardly anything is left of it: the next part comes at once
        trace = Trace(
            outcome="not sure enough" if kept else "no proposal",
            source="cache",
            model=asked.label,
            probability=max((item.probability for item in kept), default=0.0),
        )
        return Proposed(offers=offers, trace=trace, suggestions=kept)

    def _propose(self, asked: _Asked) -> Proposed:
        """Compute what index and network propose, and let the cache keep it."""
        settings, request, language = self.settings, asked.request, asked.language
        job = proposed = None
        if (backend := asked.backend) is not None:
            job = backend.prepare(
                request,
                max_new_tokens=settings.max_new_tokens,
                deadline=asked.deadline,
                cancel=asked.cancel,
                snippets=self._find_snippets(request, backend),
            )
            if (
                settings.multi_line == "auto"
                and language is not None
                and language.name in backend.info.languages  # others it cannot judge
                and opened_block(request.text, request.offset, language) is not None
            ):
                proposed = self._propose_block(asked, backend, job)
        if proposed is None or (request.n == 1 and not proposed.has_several_lines):
            proposed = self._propose_line(asked, job)
        if asked.cancel.is_set():
            return Proposed(trace=proposed.trace)
        if proposed.suggestions and time.monotonic() < asked.deadline:
            with self._cache_lock:
                if settings is self._settings:  # else they changed meanwhile
                    self._cache.put(request, tuple(proposed.suggestions), model=asked.number)
        return proposed

    def _find_snippets(self, request: CompletionRequest, backend: LocalBackend) -> list[Snippet]:
        """Return code of other files for the prompt; none for a network that never saw any."""
        n_tokens, settings = backend.info.snippet_tokens, self.settings
        if not (n_tokens and settings.snippets and settings.index) or self._index_of is None:
            return []
        if self._snippets is None:
            from assistant.snippets.cache import SnippetCache

            self._snippets = SnippetCache()
        return self._snippets.snippets_for(
            self._index_of(request.document), request, budget_chars=snippet_chars(n_tokens)
        )

    def _propose_line(self, asked: _Asked, job: GenerationJob | None) -> Proposed:
        """Return the rest of the cursor's line: candidates, ranked, filtered."""
        use_index, request = self.settings.index, asked.request
        index = self._index_of(request.document) if use_index and self._index_of else None
        cursor = Cursor.of(request.path, request.text, request.offset, request.document)
        should_stop = asked.cancel.is_set
        proposal = propose(cursor, index, use_document=use_index, should_stop=should_stop)
        parameters = asked.backend.parameters if asked.backend else bundled()
        lines = rank_lines(proposal, asked.language, parameters, asked.backend, job)
        ranking = lines.ranking
        least = self._threshold(asked, ranking.fitted)
        offers = offer_lines(request, lines, least, self._trees)
        outcome = ""
        if not ranking.texts:
            outcome = "no proposal" if time.monotonic() < asked.deadline else "out of time"
        elif not offers:
            is_worth = request.n > 1 or ranking.fitted is None or bool(ranking.by_worth(least))
            outcome = "nothing that the rules let pass" if is_worth else "not worth a look"
        elif not any(offer.suggestion.is_shown for offer in offers):
            outcome = "not sure enough"
        best = offers[0] if offers else None
        trace = Trace(
            outcome=outcome,
            source=best.suggestion.source if best else "",
            model=asked.label,
            prompt=job.prompt.sizes if job is not None else {},
            network=lines.costs,
            matches={
                "document": [(level.length, level.count) for level in proposal.document],
                "repository": [(level.length, level.count) for level in proposal.repository],
            },
            candidates=ranking.summarize,
            rules=best.verdicts if best else (),
            probability=best.suggestion.probability if best else 0.0,
            threshold=least,
            step=self._step(asked),
            stage_ms=lines.stage_ms,
            **count_drafts(lines.drafts, asked.started),
        )
        suggestions = [offer.suggestion for offer in offers]
        return Proposed(offers=offers, trace=trace, suggestions=suggestions)

    def _propose_block(self, asked: _Asked, backend: LocalBackend, job: GenerationJob) -> Proposed:
        """Return several lines for an empty block, by the network alone."""
        request = asked.request
        least = self._threshold(asked, backend.parameters.both if backend.parameters else None)
        suggestions, drafts = write_blocks(backend, job, asked.language, least)
        offers = offer_suggestions(request, suggestions)
        trace = Trace(
            outcome="not sure enough" if suggestions else "no proposal",
            source="network",
            model=asked.label,
            prompt=job.prompt.sizes,
            rules=offers[0].verdicts if offers else (),
            probability=suggestions[0].probability if suggestions else 0.0,
            threshold=least,
            step=self._step(asked),
            **count_drafts(drafts, asked.started),
        )
        return Proposed(offers=offers, trace=trace, suggestions=suggestions)

    def _threshold(self, asked: _Asked, fitted: FittedRanker | None) -> float:
        points = fitted.points if fitted is not None else None
        return threshold(self.settings.show, points, n=asked.request.n, step=self._step(asked))

    def _step(self, asked: _Asked) -> float:
        language = asked.language.name if asked.language else OTHERS
        return self.steps.get(language, 0.0) if self.settings.statistics else 0.0


def _log_response(
    number: int, request: CompletionRequest, completions: Sequence[Completion], trace: Trace
) -> None:
    """Log one line per completion: the path as a hash, and never text."""
    path = request.path.encode("utf-8", "replace")
    log.info(
        "completion %d document=%s source=%s n=%d prompt_tokens=%d new_tokens=%d "
        "reused_tokens=%d first_token_ms=%.1f total_ms=%.1f finish_reason=%s",
        number,
        hashlib.blake2b(path, digest_size=4).hexdigest(),
        trace.source or "none",
        len(completions),
        trace.prompt_tokens,
        trace.new_tokens,
        trace.reused_tokens,
        trace.first_token_ms,
        trace.total_ms,
        completions[0].finish_reason if completions else "none",
    )
