"""Between the ranking and the user: text rules, the gate, the secret check, and the answer.

A ranked text is offered if the rules leave something of it, the gate is sure enough for the
setting, and it holds no secret; what is not sure enough is kept all the same, so that the same
cursor is not computed twice. Knows no model.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.cancel import Cancel
from assistant.filter import postprocess
from assistant.generate import context, prompt
from assistant.generate.backend import GenerationJob, LocalBackend
from assistant.generate.cache import Suggestion
from assistant.generate.completion_trace import Trace
from assistant.generate.single_line import RankedLines, Stop
from assistant.generate.timing import Timing
from assistant.privacy.redaction import find
from assistant.rank import ranking as judge
from assistant.rank.candidates import Proposal
from assistant.rank.confidence import threshold
from assistant.rank.ranker import FittedRanker
from assistant.request import Completion, CompletionRequest
from assistant.settings import Settings
from assistant.source import stopping
from assistant.source.blocks import line_start
from assistant.source.languages import Language
from model.fim import Snippet

MAX_TRIED = 4  # texts beyond those wanted that go through the rules
MAX_BELIEFS = 8  # proposals that are remembered with their shares


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request on its way, with everything that decides about it."""

    request: CompletionRequest
    language: Language | None
    settings: Settings
    cancel: Cancel
    cost: Timing
    why: Trace
    is_familiar: bool  # the network is there, and was trained on this language
    snippets: Sequence[Snippet] = ()  # code of other files for the prompt, the best one last

    @property
    def deadline(self) -> float:
        """When to give up, in time.monotonic() seconds."""
        return self.cost.started + self.request.deadline_ms / 1_000

    def should_stop(self) -> bool:
        """Say whether nobody waits any more."""
        return self.cancel.is_set() or time.monotonic() >= self.deadline

    def least(self, fitted: FittedRanker | None) -> float:
        """Return the probability from which a suggestion is shown.

        Who asks for several has asked by hand, and is shown what there is.
        """
        return least_of(self.settings, self.request, fitted, is_familiar=self.is_familiar)


def least_of(
    settings: Settings,
    request: CompletionRequest,
    fitted: FittedRanker | None,
    *,
    is_familiar: bool,
) -> float:
    """Return the probability from which a suggestion for `request` is shown."""
    if fitted is None or request.n > 1:
        return 0.0 if settings.show != "off" else 2.0
    return threshold(settings.show, dict(fitted.points), is_familiar=is_familiar)


def job(backend: LocalBackend, ask: Ask, *, multi_line: bool = False) -> tuple[Stop, GenerationJob]:
    """Return where the network's text ends, and what to ask it."""
    request, settings = ask.request, ask.settings
    budget = prompt.Budget(
        block_size=backend.info.block_size,
        suffix_tokens=backend.info.suffix_tokens,
        max_new_tokens=settings.max_new_tokens,
        snippet_tokens=backend.info.snippet_tokens,
    )
    window = context.window(
        request,
        prefix_chars=budget.prefix_chars,
        suffix_chars=budget.suffix_chars,
        skeleton=False,  # the network has not been trained on folded code
    )
    asked = prompt.build(
        backend.tokenizer,
        budget,
        window,
        prefix_start=request.offset - len(window.prefix),
        layout=backend.info.fim_layout,
        snippets=ask.snippets,
    )
    ask.why.prompt = {
        "all": len(asked.ids),
        "snippets shown": len(ask.snippets),
        "bytes to spell again": len(asked.tail),
    }

    def stop(pieces: Iterator[str]) -> stopping.Stopped:
        return stopping.stop(ask.language, window.prefix, window.suffix, pieces, multi_line)

    return stop, GenerationJob(
        prompt=asked,
        n=request.n,
        max_new_tokens=settings.max_new_tokens,
        deadline=ask.deadline,
        cancel=ask.cancel,
    )


def line(ask: Ask, found: RankedLines) -> tuple[Suggestion, ...]:
    """Return the texts to keep, best first: at most as many as wanted, all past the rules."""
    for own in found.own.drafts:
        ask.cost.add(own)
    ranking = found.ranking
    least = ask.least(ranking.fitted)
    _note_lines(ask.why, found, least)
    kept: dict[tuple[str, int], Suggestion] = {}
    for place, text in enumerate(ranking.texts[: ask.request.n + MAX_TRIED]):
        outcome = postprocess.explain(ask.request, text, multi_line=False)
        if not kept:
            ask.why.rules = [_verdict(verdict) for verdict in outcome.verdicts]
        if outcome.edit is None or holds_secret(ask.request, outcome.edit.text):
            continue
        final = outcome.edit.text
        n_chars = len(final) if text.startswith(final) and len(final) < len(text) else None
        probability = ranking.probability(place, n_chars)
        draft = found.own.drafts[0] if found.own.drafts else None
        if not kept:
            ask.cost.source = ranking.source(place)
            ask.why.probability = probability
        kept.setdefault(
            (final, outcome.edit.end),
            Suggestion(
                text=text,
                finish_reason=found.own.reasons.get(text, "stop"),
                logprob=draft.logprob if draft and text == found.greedy else 0.0,
                prompt_tokens=ask.cost.prompt_tokens,
                new_tokens=draft.new_tokens if draft and text == found.greedy else 0,
                multi_line=False,
                probability=probability,
                is_shown=probability >= least,
                beliefs=ranking.beliefs(MAX_BELIEFS),
            ),
        )
        if len(kept) == ask.request.n:
            break
    if not kept:
        ask.why.outcome = "nothing that the rules let pass" if ranking.texts else "no proposal"
    elif not any(item.is_shown for item in kept.values()):
        ask.why.outcome = "not sure enough"
    return tuple(kept.values())


def answer(
    request: CompletionRequest, generated: tuple[Suggestion, ...], cost: Timing
) -> list[Completion]:
    """Post-process each text; drop what is nothing or said already."""
    found: dict[tuple[str, int, int], Completion] = {}
    for item in generated:
        edit = postprocess.apply(request, item.text, multi_line=item.multi_line)
        if edit is None or not item.is_shown or holds_secret(request, edit.text):
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
            probability=item.probability,
        )
        found.setdefault((edit.text, edit.start, edit.end), completion)
    return list(found.values())[: request.n]


def holds_secret(request: CompletionRequest, text: str) -> bool:
    """Say whether `text`, behind what its line holds already, shows a secret or a part of one."""
    before = request.text[line_start(request.text, request.offset) : request.offset][-200:]
    return any(finding.end > len(before) for finding in _findings(before + text))


@functools.lru_cache(maxsize=32)  # asked twice for a text: when it is made, and when it is shown
def _findings(text: str) -> tuple[Any, ...]:
    return tuple(find(text))


def note_matches(why: Trace, proposal: Proposal) -> None:
    """Record how far the text before the cursor was found elsewhere."""
    for name, levels in (("document", proposal.document), ("repository", proposal.repository)):
        why.matches[name] = [(level.length, level.count) for level in levels]


def _note_lines(why: Trace, found: RankedLines, least: float) -> None:
    why.threshold = least
    why.stage_ms = dict(found.stage_ms)
    why.candidates = functools.partial(judge.summary, found.ranking)
    why.network = {
        "tree nodes": found.n_nodes,
        "own tokens": sum(draft.new_tokens for draft in found.own.drafts),
        "own tokens foreseen": found.n_foreseen,
        "prompt tokens reused": max((d.reused_tokens for d in found.own.drafts), default=0),
    }


def _verdict(verdict: postprocess.RuleVerdict) -> dict[str, object]:
    return {"rule": verdict.rule, "action": verdict.action, "n_chars": verdict.n_chars}
