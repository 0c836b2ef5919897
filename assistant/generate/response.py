"""From ranked texts to completions: text rules and secret check, confidence, the edit.

A ranked text is offered if the rules leave something of it and it is sure enough for the setting;
what is not sure enough is kept all the same, so that the same cursor is not computed twice. Each
text goes through the rules once. Knows no model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from assistant.filter.postprocess import FilterResult, RuleVerdict, TextEdit, filter_text
from assistant.generate.cache import Suggestion
from assistant.generate.completion_trace import Trace
from assistant.generate.single_line import RankedLines
from assistant.request import Completion, CompletionRequest
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
    sift = _Sift(request)
    for text, place in wanted:
        result = sift.filter(text, ranking.texts[place])
        if sift.n_texts > request.n + MAX_TRIED or len(offers) == request.n:
            break
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


class _Sift:
    """The rules at one cursor: a whole text goes through them once, whatever is shown of it."""

    def __init__(self, request: CompletionRequest) -> None:
        self._request = request
        self._wholes: dict[str, FilterResult] = {}

    @property
    def n_texts(self) -> int:
        """Whole texts so far."""
        return len(self._wholes)

    def filter(self, text: str, whole: str) -> FilterResult:
        """Return what is left of `text`, with which `whole` begins; nothing if that may not be.

        A beginning of what holds a secret is a part of it.
        """
        result = self._wholes.get(whole)
        if result is None:
            result = self._wholes[whole] = filter_text(self._request, whole, multi_line=False)
        if result.edit is None or len(result.edit.text) <= len(text):
            return result
        return filter_text(self._request, text, multi_line=False)


def offer_suggestions(request: CompletionRequest, suggestions: Iterable[Suggestion]) -> list[Offer]:
    """Return what the rules leave of suggestions that are sure enough, best first."""
    shown = [each for each in suggestions if each.is_shown]
    results = [
        filter_text(request, each.text, multi_line=each.multi_line, is_rest=each.is_rest)
        for each in shown
    ]
    return [
        Offer(each, result.edit, result.verdicts)
        for each, result in zip(shown, results, strict=True)
        if result.edit is not None
    ]


def build_completions(request: CompletionRequest, offers: Iterable[Offer]) -> list[Completion]:
    """Return the distinct edits of the offers that are sure enough, at most as many as wanted."""
    found: dict[TextEdit, Completion] = {}
    for offer in offers:
        suggestion, edit = offer.suggestion, offer.edit
        if suggestion.is_shown:
            completion = Completion(
                **dataclasses.asdict(edit),
                source=suggestion.source,
                finish_reason=suggestion.finish_reason,
                logprob=suggestion.logprob,
                probability=suggestion.probability,
            )
            found.setdefault(edit, completion)
    return list(found.values())[: request.n]
