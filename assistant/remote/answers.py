"""What a server's text is worth: at its cursor, and to later keystrokes.

Someone who types on what was being suggested asks again at each key. The earlier answer is still
the right one as far as it begins with what was typed meanwhile. How likely it is right is judged by
the server's own word on its tokens, where its format gives one, else by the text's length; and by
the local proposals: those that begin alike, and those that say something else.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from assistant.generate.cache import Spot
from assistant.request import CompletionRequest

Beliefs = Sequence[tuple[str, float]]  # local proposals, and the share of belief in each

_EDGE = 1e-3  # what a server says is kept so far from 0 and 1
# Weights of: one, the server's word, shares that agree, shares that do not; and the same for a
# server without a word, where the setting `trust` stands for the one. See docs/experiments.md.
_BY_ITS_WORD = (-0.7, 0.75, 1.2, -0.5)
_BY_LENGTH = (-1.0, 2.7, -0.4)
_USUAL_CHARS = 12  # the length of a text for which `trust` holds as it is
_ECHO = -3.0  # assumed: the models at hand do not do it, chat models do
_MIN_ECHO_CHARS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteText:
    """What a server wrote for a cursor, checked."""

    text: str
    finish_reason: str
    single_line: bool
    marks: tuple[tuple[int, float], ...] = ()  # (characters, logarithm so far); empty: unknown
    trust: float = 0.5  # how often a server is right that does not say how sure it is

    def logprob(self, n_chars: int) -> float | None:
        """Return the server's word on the first `n_chars` characters; None if it gave none."""
        if not self.marks:
            return None
        return next((so_far for end, so_far in self.marks if end >= n_chars), self.marks[-1][1])

    def after(self, n_typed: int) -> "RemoteText":
        """Return what is left once the user has typed the beginning."""
        known = [so_far for end, so_far in self.marks if end <= n_typed]
        spent = known[-1] if known else 0.0  # a token typed in part is still to be paid for
        return dataclasses.replace(
            self,
            text=self.text[n_typed:],
            marks=tuple((end - n_typed, sum_ - spent) for end, sum_ in self.marks if end > n_typed),
        )

    def weigh(self, shown: str, request: CompletionRequest, beliefs: Beliefs) -> float:
        """Return how likely `shown`, what the rules have left of the text, is right."""
        first = first_line(shown)
        if not first.strip():
            return 0.0
        told = self.logprob(len(first))
        agreeing, opposing = shares(first, beliefs)
        if told is None:
            weights = (_logit(self.trust), *_BY_LENGTH)
            word = math.log1p(len(first.strip())) - math.log1p(_USUAL_CHARS)
        else:
            weights, word = _BY_ITS_WORD, _logit(math.exp(max(told, -30.0)))
        columns = (1.0, word, agreeing, opposing)
        score = sum(weight * value for weight, value in zip(weights, columns, strict=True))
        if is_echo(first.strip(), request):
            score += _ECHO
        return 1 / (1 + math.exp(-score))


def typed_since(asked: CompletionRequest, now: CompletionRequest) -> str | None:
    """Return what was typed at the cursor between two requests; None if anything else changed."""
    is_same = (asked.document, asked.language) == (now.document, now.language)
    return Spot.of(asked).typed_since(now) if is_same else None


def _logit(share: float) -> float:
    share = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(share / (1 - share))


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
