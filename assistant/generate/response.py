"""From ranked texts to completions: text rules and secret check, confidence, the edit.

A ranked text is offered if the rules leave something of it and it is sure enough for the setting;
what is not sure enough is kept all the same, so that the same cursor is not computed twice. Each
text goes through the rules once. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from assistant.filter.postprocess import RuleVerdict, TextEdit, filter_text
from assistant.generate.cache import Suggestion
from assistant.generate.completion_trace import Trace
from assistant.generate.single_line import RankedLines
from assistant.request import Completion, CompletionRequest

MAX_TRIED = 4  # texts beyond those wanted that go through the rules
MAX_BELIEFS = 8  # proposals that are remembered with their shares


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """What a request gets, best first, and how it came about."""

    completions: Sequence[Completion]
    trace: Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A suggestion that the rules let pass, and the edit that they left of it."""

    suggestion: Suggestion
    edit: TextEdit
    verdicts: Sequence[RuleVerdict] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposed:
    """What cache, index and network have for a cursor, past the rules, and how it came about."""

    offers: Sequence[Offer] = ()
    trace: Trace = field(default_factory=Trace)
    suggestions: Sequence[Suggestion] = ()  # all of them, before the rules; the cache keeps them


def offer_lines(request: CompletionRequest, lines: RankedLines, least: float) -> list[Offer]:
    """Return what the rules leave of ranked lines, best first, at most as many as wanted.

    `least` is the probability from which a line is shown.
    """
    ranking = lines.ranking
    offers: dict[tuple[str, int], Offer] = {}
    for place, text in enumerate(ranking.texts[: request.n + MAX_TRIED]):
        result = filter_text(request, text, multi_line=False)
        if result.edit is None:
            continue
        final = result.edit.text
        n_chars = len(final) if text.startswith(final) and len(final) < len(text) else None
        probability = ranking.probability(place, n_chars)
        suggestion = Suggestion(
            text=text,
            source=ranking.source(place),
            finish_reason=lines.reasons.get(text, "stop"),
            logprob=lines.drafts[0].logprob if text == lines.greedy else 0.0,
            multi_line=False,
            probability=probability,
            is_shown=probability >= least,
            beliefs=ranking.beliefs(MAX_BELIEFS),
        )
        offer = Offer(suggestion=suggestion, edit=result.edit, verdicts=result.verdicts)
        offers.setdefault((final, result.edit.end), offer)
        if len(offers) == request.n:
            break
    return list(offers.values())


def offer_suggestions(request: CompletionRequest, suggestions: Iterable[Suggestion]) -> list[Offer]:
    """Return what the rules leave of suggestions that are sure enough, best first."""
    offers = []
    for suggestion in suggestions:
        if suggestion.is_shown:
            result = filter_text(request, suggestion.text, multi_line=suggestion.multi_line)
            if result.edit is not None:
                offers.append(
                    Offer(suggestion=suggestion, edit=result.edit, verdicts=result.verdicts)
                )
    return offers


def build_completions(request: CompletionRequest, offers: Iterable[Offer]) -> list[Completion]:
    """Return the distinct edits of the offers that are sure enough, at most as many as wanted."""
    found: dict[TextEdit, Completion] = {}
    for offer in offers:
        suggestion, edit = offer.suggestion, offer.edit
        if suggestion.is_shown:
            completion = Completion(
                text=edit.text,
                start=edit.start,
                end=edit.end,
                source=suggestion.source,
                finish_reason=suggestion.finish_reason,
                logprob=suggestion.logprob,
                probability=suggestion.probability,
            )
            found.setdefault(edit, completion)
    return list(found.values())[: request.n]
