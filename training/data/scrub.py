"""Keep secrets and personal data out of the corpus: each is replaced, the file stays.

What counts as one is decided in `assistant.privacy.redaction`, for the assistant and the corpus
alike. Here is only the account of it. Knows no file and no repository.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from assistant.privacy.redaction import redact


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scrubbed:
    """A text that may be trained on, and what was replaced in it."""

    text: str
    counts: Counter[str]  # replacements by kind
    n_lines: int  # that differ now


def scrub(text: str) -> Scrubbed:
    """Replace what must not be learnt; lines stay where they are."""
    clean, counts = redact(text)
    n_lines = 0
    if counts:
        pairs = zip(text.split("\n"), clean.split("\n"), strict=True)
        n_lines = sum(before != after for before, after in pairs)
    return Scrubbed(text=clean, counts=counts, n_lines=n_lines)
