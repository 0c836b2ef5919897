"""Several lines at once, where the cursor opens an empty block: the network's own drafts.

What is judged there is the first line: if that is wrong, nobody reads the rest. Knows the same
stages as the rest of a line does, but no candidates of the memory.
"""

from __future__ import annotations

import math
from contextlib import closing

from assistant import offers
from assistant.cache import Generated
from assistant.local import Draft, LocalBackend


def block(backend: LocalBackend, ask: offers.Ask) -> tuple[Generated, ...]:
    """Return the network's distinct drafts, the likeliest a token first."""
    stop, job = offers.job(backend, ask, multi_line=True)
    least = ask.least(backend.parameters.both if backend.parameters else None)
    distinct: dict[str, tuple[float, Generated]] = {}
    with closing(backend.drafts(job)) as drafts:
        for draft in drafts:
            stopped = stop(draft.pieces)
            ask.cost.add(draft)
            probability = _first_line_probability(draft, stopped.text)
            generated = Generated(
                text=stopped.text,
                finish_reason=stopped.finish_reason,
                logprob=draft.logprob,
                prompt_tokens=draft.prompt_tokens,
                new_tokens=draft.new_tokens,
                multi_line=True,
                probability=probability,
                is_shown=probability >= least,
            )
            distinct.setdefault(stopped.text, (draft.mean_logprob, generated))
            if len(distinct) == ask.request.n:
                break
    ask.why.threshold = least
    ranked = [item for _, item in sorted(distinct.values(), key=lambda pair: -pair[0])]
    if ranked:
        ask.why.probability = ranked[0].probability
    return tuple(ranked)


def _first_line_probability(draft: Draft, text: str) -> float:
    """Return about how likely the first line that says something is, by the network's own word."""
    if not text.strip():
        return 0.0
    head = len(text) - len(text.lstrip())
    end = text.find("\n", head)
    share = (end if end > 0 else len(text)) / len(text)
    return math.exp(max(draft.logprob * share, -30.0))
