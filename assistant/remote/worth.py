"""What a server's text is worth at a cursor: how likely it is a right beginning of what is wanted.

Heard are the server's own word on its tokens, where its format gives one, else the text's length;
and the local proposals: those that begin alike, and those that say something else. The numbers were
fitted (docs/experiments.md); nothing of a server's name or price goes in. Knows texts only.
"""

import math
from collections.abc import Sequence

from assistant.completion import CompletionRequest
from assistant.remote.late import RemoteText

Beliefs = Sequence[tuple[str, float]]  # local proposals, and the share of belief in each

_EDGE = 1e-3  # what a server says is kept so far from 0 and 1
# weights of: one, the server's word (or the length), shares that agree, shares that do not
_BY_ITS_WORD = (0.0, 1.0, 2.0, -1.0)
_BY_LENGTH = (1.0, -0.5, 2.0, -1.0)
_ECHO = -3.0  # assumed: the models at hand do not do it, chat models do
_MIN_ECHO_CHARS = 3


def probability(
    found: RemoteText, shown: str, request: CompletionRequest, beliefs: Beliefs
) -> float:
    """Return how likely `shown`, what the rules have left of `found`, is right."""
    first = first_line(shown)
    if not first.strip():
        return 0.0
    told = found.logprob(len(first))
    agreeing, opposing = shares(first, beliefs)
    if told is None:
        weights, word = _BY_LENGTH, math.log1p(len(first.strip()))
    else:
        said = min(max(math.exp(max(told, -30.0)), _EDGE), 1 - _EDGE)
        weights, word = _BY_ITS_WORD, math.log(said / (1 - said))
    columns = (1.0, word, agreeing, opposing)
    score = sum(weight * value for weight, value in zip(weights, columns, strict=True))
    if is_echo(first.strip(), request):
        score += _ECHO
    return 1 / (1 + math.exp(-score))


def first_line(text: str) -> str:
    """Return `text` up to the end of its first line that says something.

    If that is wrong, nobody reads the rest.
    """
    head = len(text) - len(text.lstrip())
    end = text.find("\n", head)
    return text if end < 0 else text[:end]


def is_echo(text: str, request: CompletionRequest) -> bool:
    """Say whether `text` only says again what stands around the cursor.

    That is the cursor's line from its beginning, or the next line that says something.
    """
    if len(text) < _MIN_ECHO_CHARS:
        return False
    before = request.text[: request.offset].rpartition("\n")[2].strip()
    after = request.text[request.offset :].partition("\n")[2]
    below = next((line.strip() for line in after.split("\n", 20) if line.strip()), "")
    return text == below or (len(before) >= _MIN_ECHO_CHARS and text.startswith(before))


def shares(text: str, beliefs: Beliefs) -> tuple[float, float]:
    """Return the belief in local proposals that begin as `text` does, and in all others."""
    agreeing = sum(
        share
        for proposed, share in beliefs
        if proposed and (proposed.startswith(text) or text.startswith(proposed))
    )
    opposing = sum(share for _, share in beliefs) - agreeing
    return min(agreeing, 1.0), min(max(opposing, 0.0), 1.0)
