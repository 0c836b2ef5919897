"""A completion from request to answer: the order of the stages, and nothing else.

refusal -> cache -> context -> prompt -> local -> stopping -> cache -> postprocess -> answer. Every
threshold and every text rule belongs to a stage, not here.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from assistant import context, postprocess, prompt, stopping, syntax
from assistant.cache import Generated, SuggestionCache
from assistant.cancel import Cancel
from assistant.completion import Completion, CompletionRequest
from assistant.config import Settings
from assistant.cost import Cost
from assistant.languages import language_of
from assistant.local import Draft, Job, LocalBackend, open_backend
from assistant.refusal import refusal

if TYPE_CHECKING:
    from assistant.memory.matches import Memory

log = logging.getLogger(__name__)

MemoryOf = Callable[[str], "Memory | None"]


def open_from(settings: Settings) -> LocalBackend:
    """Open the model that `settings` name; ModelError says what to mend."""
    return open_backend(settings.model, threads=settings.threads)


class Engine:
    """Answers requests from any thread, once loaded; one at a time reaches the network."""

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

    @property
    def ready(self) -> bool:
        """Whether the model is loaded; before that nothing is suggested."""
        return self._backend is not None

    def load(self) -> None:
        """Load the model, blocking; a second call does nothing. ModelError says what to mend."""
        with self._load_lock:
            if self._backend is None:
                self._backend = self._open_model(self.settings)

    def complete(
        self, request: CompletionRequest, cancel: Cancel | None = None
    ) -> list[Completion]:
        """Return suggestions, best first; an empty list if there is nothing worth showing.

        Also empty when cancelled: the caller who set `cancel` knows why.
        """
        cost = Cost(started=time.monotonic())
        cancel = cancel or Cancel()
        self._n_requests += 1
        reason = refusal(request, self.settings)
        if reason is not None or self._backend is None:
            log.debug("no completion: %s", reason or "model not loaded")
            return []
        generated = self._known(request, cost)
        if generated is None:
            generated = self._generate(self._backend, request, cancel, cost)
            if cancel.is_set():
                generated = ()
        answer = _answer(request, generated, cost)
        self._log(request, answer, cost)
        return answer

    def _known(self, request: CompletionRequest, cost: Cost) -> tuple[Generated, ...] | None:
        with self._cache_lock:
            known = self._cache.get(request)
        if known is not None:
            cost.source = "cache"
            cost.first_token_at = time.monotonic()
        return known

    def _generate(
        self, backend: LocalBackend, request: CompletionRequest, cancel: Cancel, cost: Cost
    ) -> tuple[Generated, ...]:
        language = language_of(request.path, request.language)
        budget = self._budget(backend)
        window = context.window(
            request,
            prefix_chars=budget.prefix_chars,
            suffix_chars=budget.suffix_chars,
            skeleton=False,  # the network has not been trained on folded code
        )
        multi_line = self.settings.multi_line == "auto" and syntax.opens_block(
            request.text, request.offset, language
        )
        asked = prompt.build(
            backend.tokenizer,
            budget,
            window,
            prefix_start=request.offset - len(window.prefix),
            layout=backend.info.fim_layout,
        )
        job = Job(
            prompt=asked,
            n=request.n,
            max_new_tokens=self.settings.max_new_tokens,
            deadline=cost.started + request.deadline_ms / 1_000,
            cancel=cancel,
        )
        distinct: dict[str, tuple[float, Generated]] = {}
        with closing(backend.drafts(job)) as drafts:
            for draft in drafts:
                stopped = stopping.stop(
                    language, window.prefix, window.suffix, draft.pieces, multi_line
                )
                cost.add(draft)
                distinct.setdefault(
                    stopped.text, (draft.mean_logprob, _keep(draft, stopped, multi_line))
                )
                if len(distinct) == request.n:
                    break
        ranked = sorted(distinct.values(), key=lambda pair: -pair[0])
        kept = tuple(item for _, item in ranked)
        if kept and not job.should_stop():
            with self._cache_lock:
                self._cache.put(request, kept)
        return kept

    def _budget(self, backend: LocalBackend) -> prompt.Budget:
        return prompt.Budget(
            block_size=backend.info.block_size,
            suffix_tokens=backend.info.suffix_tokens,
            max_new_tokens=self.settings.max_new_tokens,
        )

    def _log(self, request: CompletionRequest, answer: list[Completion], cost: Cost) -> None:
        """One line per completion; the path as a hash, and never text."""
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
            cost.ms(time.monotonic()),
            answer[0].finish_reason if answer else "none",
        )


def _keep(draft: Draft, stopped: stopping.Stopped, multi_line: bool) -> Generated:
    return Generated(
        text=stopped.text,
        finish_reason=stopped.finish_reason,
        logprob=draft.logprob,
        prompt_tokens=draft.prompt_tokens,
        new_tokens=draft.new_tokens,
        multi_line=multi_line,
    )


def _answer(
    request: CompletionRequest, generated: tuple[Generated, ...], cost: Cost
) -> list[Completion]:
    """Post-process each text; drop what is nothing or said already."""
    answer: dict[tuple[str, int, int], Completion] = {}
    for item in generated:
        edit = postprocess.apply(request, item.text, multi_line=item.multi_line)
        if edit is None:
            continue
        completion = Completion(
            text=edit.text,
            start=edit.start,
            end=edit.end,
            source=cost.source,
            finish_reason=item.finish_reason,
            logprob=item.logprob,
            prompt_tokens=item.prompt_tokens,
            new_tokens=item.new_tokens,
            reused_tokens=cost.reused_tokens,
            first_token_ms=cost.ms(cost.first_token_at or cost.started),
            total_ms=cost.ms(time.monotonic()),
        )
        answer.setdefault((edit.text, edit.start, edit.end), completion)
    return list(answer.values())[: request.n]
