"""From ranked texts to completions: text rules and secret check, confidence, the edit.

A ranked text is offered if the rules leave something of it and it is sure enough for the setting;
what is not sure enough is kept all the same, so that the same cursor is not computed twice. A
remote server's text is shown where it is surer than the local one. How a response came about is
one record per request, for `foretype why` and the log: it may hold suggested texts, for it is shown
to the user who asked, and is never logged whole.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from assistant.filter.postprocess import FilterResult, RuleVerdict, TextEdit, filter_text
from assistant.generate.backend import Draft
from assistant.generate.cache import Suggestion
from assistant.generate.lines import RankedLines
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.source.open_trees import OpenTrees

# Outcomes that say too little to who has not read the code.
_PLAIN = {
    "disabled": "suggestions are switched off in the settings",
    "excluded file": "this file is excluded: it may hold secrets, or `exclude` names it",
    "unknown language": "nothing is suggested in this language",
    "no proposal": "nothing like the text before the cursor is known",
    "no answer": (
        "the server was not asked, or gave nothing of use: see `foretype doctor`, `foretype egress`"
    ),
    "out of time": "the network had not answered when its time was up",
    "nothing that the rules let pass": (
        "what came to mind would break the text: it stands there already, or does not parse"
    ),
    "not worth a look": "what came to mind is too short, or too unlikely, to be worth a look",
    "model not loaded": "the model is not loaded, and the index is off",
    "cancelled": "newer typing took the place of this request",
}
N_CONSIDERED = 3  # texts that are named without numbers
MAX_TRIED = 4  # texts beyond those wanted that go through the rules
MAX_BELIEFS = 8  # proposals that are remembered with their shares


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What happened to one request."""

    outcome: str = ""  # "shown", or why nothing is
    source: str = ""  # of the best text: "network", "index", "cache" or "remote"
    model: str = ""  # which network was there to be asked; "": none yet
    prompt: Mapping[str, int] = field(default_factory=dict)  # part -> tokens
    network: Mapping[str, int] = field(default_factory=dict)  # tree nodes, tokens run and reused
    matches: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)  # length, count
    candidates: Callable[[], list[dict[str, Any]]] = list  # best first; made when asked for
    rules: Sequence[RuleVerdict] = ()  # of the text that was chosen
    probability: float = 0.0
    threshold: float = 0.0
    step: float = 0.0  # of it, by the user's own statistics
    remote: Mapping[str, float] = field(default_factory=dict)  # of a server's text, if one came
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0  # what the network read and wrote, its reused tokens included
    new_tokens: int = 0
    reused_tokens: int = 0
    first_token_ms: float = 0.0  # from the request; 0 without a token
    total_ms: float = 0.0

    def words(self) -> str:
        """Return the outcome as a person would say it."""
        if self.threshold > 1 and self.outcome != "shown":
            return "the setting `show` is off"
        limits = f"{self.probability:.0%}"
        if self.threshold:
            limits += f", shown from {self.threshold:.0%}"
            if points := round(100 * self.step):
                how = "more" if points > 0 else "less"
                limits += f", {abs(points)} {how} than usual by `foretype stats`"
        if self.outcome == "shown":
            return f"a suggestion is shown ({limits})"
        if self.outcome == "not sure enough":
            return f"not sure enough ({limits})"
        return _PLAIN.get(self.outcome, self.outcome)

    def table(self) -> dict[str, Any]:
        """Return everything as plain values, fit for JSON."""
        return {
            "outcome": self.outcome,
            "words": self.words(),
            "source": self.source,
            "model": self.model,
            "probability": round(self.probability, 4),
            "threshold": round(self.threshold, 4),
            "step": round(self.step, 4),
            "remote": {name: round(value, 4) for name, value in self.remote.items()},
            "prompt_tokens": dict(self.prompt),
            "network": dict(self.network),
            "matches": {
                name: [{"bytes": length, "places": count} for length, count in levels]
                for name, levels in self.matches.items()
            },
            "candidates": self.candidates(),
            "rules": [item._asdict() for item in self.rules],
            "stage_ms": {name: round(ms, 2) for name, ms in self.stage_ms.items()},
            "total_ms": round(self.total_ms, 2),
        }


def count_drafts(drafts: Sequence[Draft], started: float) -> dict[str, Any]:
    """Return what the network's drafts cost, by field of `Trace`.

    `started` is the request's arrival in time.monotonic() seconds.
    """
    if not drafts:
        return {}
    first_token_at = next((d.first_token_at for d in drafts if d.first_token_at), started)
    return {
        "prompt_tokens": drafts[-1].prompt_tokens,
        "new_tokens": sum(draft.new_tokens for draft in drafts),
        "reused_tokens": drafts[-1].reused_tokens,
        "first_token_ms": 1_000 * (first_token_at - started),
    }


def format_trace(table: dict[str, Any], *, verbose: bool = False) -> str:
    """Return what `Trace.table` says as text for a terminal; `verbose`: with all numbers."""
    texts = [each["text"] for each in table["candidates"][:N_CONSIDERED]]
    lines = [table["words"]]
    if texts:
        lines.append(f"considered, best first: {', '.join(map(repr, texts))}")
    if table["model"]:
        lines.append(f"model: {table['model']}")
    if not verbose:
        return "\n".join([*lines, "-v shows the numbers"])
    lines.append(
        f"source {table['source'] or 'none'}, "
        f"probability {table['probability']:.2f}, shown from {table['threshold']:.2f}, "
        f"{table['total_ms']:.0f} ms"
    )
    for name in ("prompt_tokens", "network", "remote", "stage_ms"):
        values = ", ".join(f"{key} {value:g}" for key, value in table[name].items())
        lines.append(f"{name.replace('_', ' ')}: {values or 'none'}")
    for name, levels in table["matches"].items():
        values = ", ".join(f"{each['bytes']} bytes at {each['places']}" for each in levels)
        lines.append(f"matches in the {name}: {values or 'none'}")
    lines += [
        f"candidate {each['share']:.3f} {each['source']:<7}{each['text']!r}"
        for each in table["candidates"]
    ]
    lines += [
        f"rule {each['rule']}: {each['action']} {each['n_chars']} characters"
        for each in table["rules"]
        if each["action"] != "kept"
    ]
    return "\n".join(lines)


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
            result = filter_text(request, text, multi_line=False, is_part=True)
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
            is_part=text != whole,
            probability=probability,
            is_shown=probability >= least,
            beliefs=ranking.beliefs(MAX_BELIEFS),
        )
        offer = Offer(suggestion, result.edit, result.verdicts)
        offers.setdefault(("".join(final.split()), result.edit.end), offer)  # blanks are no choice
    return list(offers.values())


def offer_suggestions(request: CompletionRequest, suggestions: Iterable[Suggestion]) -> list[Offer]:
    """Return what the rules leave of suggestions that are sure enough, best first."""
    offers = []
    for each in suggestions:
        if each.is_shown:
            edit, verdicts = filter_text(
                request,
                each.text,
                multi_line=each.multi_line,
                is_rest=each.is_rest,
                is_part=each.is_part,
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
    elif not (completions or proposed.trace.outcome):  # there is no other than the server's
        changes |= {"outcome": "not sure enough", "probability": probability, "threshold": least}
        if result.edit is None:
            changes["outcome"] = "nothing that the rules let pass"
    return completions, dataclasses.replace(proposed.trace, **changes)
