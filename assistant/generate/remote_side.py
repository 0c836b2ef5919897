"""A completion server beside the local network, as the engine sees it, and whose text is shown."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from assistant.cancel import Cancel
from assistant.filter.postprocess import filter_text
from assistant.generate.cache import Suggestion
from assistant.generate.completion_trace import Trace
from assistant.generate.response import Offer, Proposed, build_completions
from assistant.request import Completion, CompletionRequest
from assistant.source.open_trees import OpenTrees


class RemoteSide(Protocol):
    """Asked only where the user has agreed to it."""

    @property
    def replaces_local(self) -> bool:
        """Whether the local network stays unused."""

    def before(self, request: CompletionRequest, *, blocks: bool) -> Any:
        """Begin with a request; the handle goes to `after`."""

    def after(
        self,
        request: CompletionRequest,
        handle: Any,
        *,
        confidence: float | None,
        deadline: float,
        cancel: Cancel,
    ) -> Any:
        """Return the server's text, or None; `confidence` is the local answer's probability."""

    def close(self, timeout_s: float) -> None:
        """Stop what is under way, waiting at most so long for it."""


def merge_remote(
    found: Any, request: CompletionRequest, proposed: Proposed, least: float, trees: OpenTrees
) -> tuple[list[Completion], Trace]:
    """Return what is shown of both sides: the remote text where it is sure enough, and surer."""
    offers = list(proposed.offers)
    is_block = not found.single_line
    text = trees.valid(request, found.text)
    result = filter_text(request, text, multi_line=is_block)
    probability = 0.0
    if result.edit is not None:
        beliefs = proposed.suggestions[0].beliefs if proposed.suggestions else ()
        if not beliefs:  # of a block
            beliefs = tuple((item.text, item.probability) for item in proposed.suggestions)
        probability = found.weigh(result.edit.text, request, beliefs)
        suggestion = Suggestion(
            text=text,
            source="remote",
            finish_reason=found.finish_reason,
            logprob=found.logprob(len(text)) or 0.0,
            multi_line=is_block,
            probability=probability,
            is_shown=probability >= least,
        )
        offers.append(Offer(suggestion, result.edit, result.verdicts))
    offers.sort(key=lambda o: (-o.suggestion.probability, o.suggestion.source != "remote"))
    completions = build_completions(request, offers)
    weighed = {"probability": probability, "threshold": least}
    trace = dataclasses.replace(proposed.trace, remote=weighed)
    if completions and completions[0].source == "remote":
        return completions, dataclasses.replace(
            trace, source="remote", probability=probability, threshold=least
        )
    return completions, dataclasses.replace(trace, outcome=trace.outcome or "not sure enough")
