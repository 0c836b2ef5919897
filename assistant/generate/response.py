"""From ranked texts to completions: text rules and secret check, confidence, the edit.

A ranked text is offered if the rules leave something of it and it is sure enough for the setting;
what is not sure enough is kept all the same, so that the same cursor is not computed twice. A
remote server's text is shown where it is surer than the local one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from assistant.filter.postprocess import FilterResult, RuleVerdict, TextEdit, filter_text
from assistant.generate.cache import Suggestion
from assistant.generate.completion_trace import Trace
from assistant.generate.lines import RankedLines
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.source.open_trees import OpenTrees

MAX_TRIED = 4  # texts beyond those wanted that go through the rules
MAX_BELIEFS = 8  # proposals that are remembered with their shares


class Response(NamedTuple):
    """What a request gets, best first, and how it came about."""

    completions: Sequence[Completion]
    trace: Trace


class Offer(NamedTuple):
    """A suggestion that the rules let pass, and the edit that they left of it."""

    suggestion: Suggestion
    edit: TextEdit
    verdicts: Sequence[RuleVerdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposed:
    """What cache, index and network have for a cursor, past the rules, and how it came about."""

    offers: Sequence[Offer] = ()
    trace: Trace = field(default_factory=Trace)
    suggestions: Sequence[Suggestion] = ()  # all of them, before the rules; the cache keeps them

    @property
    def has_several_lines(self) -> bool:
        """Whether more than the cursor's line is sure: of that, index and ranker know more."""
        return any(each.is_shown and "\n" in each.text.rstrip() for each in self.suggestions)


def offer_lines(
    request: CompletionRequest, lines: RankedLines, least: float, trees: OpenTrees
) -> list[Offer]:
    """Return what the rules leave of ranked lines, best first, at most as many as wanted.

    Of one line the sure beginning that is worth most (none of 465 broke the syntax); of several,
    asked for by hand, the whole lines as far as they may stand. `least` is the probability from
    which a text is shown.
    """
    ranking = lines.ranking
    wanted: Iterable[tuple[str, int]]
    if request.n == 1 and ranking.fitted is not None:
        wanted = ranking.by_worth(least)
    else:
        wanted = ((trees.valid(request, text), at) for at, text in enumerate(ranking.texts))
    offers: dict[tuple[str, int], Offer] = {}
    wholes: dict[str, FilterResult] = {}  # each goes through the rules once
    for text, place in wanted:
        whole = ranking.texts[place]
        if whole not in wholes:
            wholes[whole] = filter_text(request, whole, multi_line=False)
        if len(wholes) > request.n + MAX_TRIED or len(offers) == request.n:
            break
        result = wholes[whole]  # of what holds a secret, a beginning is a part of it
        if result.edit is not None and len(result.edit.text) > len(text):
            result = filter_text(request, text, multi_line=False)
        if result.edit is None:
            continue
        final = result.edit.text
        probability = ranking.probability(final if text.startswith(final) else text)
        suggestion = Suggestion(
            text=text,
            source=ranking.source(place),
            finish_reason=lines.reasons.get(text, "stop"),
            logprob=lines.drafts[0].logprob if ranking.texts[place] == lines.greedy else 0.0,
            multi_line=False,
            probability=probability,
            is_shown=probability >= least,
            beliefs=ranking.beliefs(MAX_BELIEFS),
        )
        offer = Offer(suggestion, result.edit, result.verdicts)
        offers.setdefault((final, result.edit.end), offer)
    return list(offers.values())


def offer_suggestions(request: CompletionRequest, suggestions: Iterable[Suggestion]) -> list[Offer]:
    """Return what the rules leave of suggestions that are sure enough, best first."""
    offers = []
    for each in suggestions:
        if each.is_shown:
            edit, verdicts = filter_text(
                request, each.text, multi_line=each.multi_line, is_rest=each.is_rest
            )
            if edit is not None:
                offers.append(Offer(each, edit, verdicts))
    return offers


def build_completions(request: CompletionRequest, offers: Iterable[Offer]) -> list[Completion]:
    """Return the distinct edits of the offers that are sure enough, at most as many as wanted."""
    found: dict[TextEdit, Completion] = {}
    for suggestion, edit, _ in offers:
        if suggestion.is_shown and edit not in found:
            found[edit] = Completion(
                **edit._asdict(),
                source=suggestion.source,
                finish_reason=suggestion.finish_reason,
                logprob=suggestion.logprob,
                probability=suggestion.probability,
            )
    return list(found.values())[: request.n]


class RemoteSide(Protocol):
    """A completion server beside the local network, asked only where the user has agreed to it."""

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
    text = trees.valid(request, found.text)
    result = filter_text(request, text, multi_line=not found.single_line)
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
            multi_line=not found.single_line,
            probability=probability,
            is_shown=probability >= least,
        )
        offers.append(Offer(suggestion, result.edit, result.verdicts))
    offers.sort(key=lambda o: (-o.suggestion.probability, o.suggestion.source != "remote"))
    completions = build_completions(request, offers)
    changes: dict[str, Any] = {"remote": {"probability": probability, "threshold": least}}
    if completions and completions[0].source == "remote":
        changes |= {"source": "remote", "probability": probability, "threshold": least}
    else:
        changes["outcome"] = proposed.trace.outcome or "not sure enough"
    return completions, dataclasses.replace(proposed.trace, **changes)
