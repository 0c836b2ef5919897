"""Verbatim copies: runs of generated code that stand in the corpus, token for token.

A token is a word, a number or a mark of punctuation; white space does not count, so code that was
indented anew is still a copy. The corpus is read once, a document at a time: memory depends on what
was generated, not on the corpus. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from training.data.corpus import Split
from training.data.progress import Progress

RUN_TOKENS = 20  # two or three lines of code; shorter runs are common coin
_TOKEN = re.compile(r"\w+|[^\w\s]")


class CopySearch:
    """Looks for every run of `run_tokens` tokens of some texts; feed it the corpus."""

    def __init__(self, texts: Sequence[str], *, run_tokens: int) -> None:
        if run_tokens < 1:
            raise ValueError(f"a run has at least one token, not {run_tokens}")
        self._run_tokens = run_tokens
        self._texts = [_TOKEN.findall(text) for text in texts]
        self._runs = [self._runs_of(tokens) for tokens in self._texts]
        self._wanted = {run for runs in self._runs for run in runs}
        self._found: set[tuple[str, ...]] = set()

    def _runs_of(self, tokens: Sequence[str]) -> list[tuple[str, ...]]:
        return list(zip(*(tokens[start:] for start in range(self._run_tokens)), strict=False))

    def look_in(self, documents: Iterable[str]) -> None:
        """Remember what stands in one of the documents, too."""
        for document in documents:
            self._found.update(self._wanted.intersection(self._runs_of(_TOKEN.findall(document))))

    def count_copies(self, texts: range) -> dict[str, int]:
        """Return how much was found of the texts of these numbers.

        Long are those with at least one run; of them, some are copied, at least one run of theirs.
        """
        n_copied = [self._count_copied(text) for text in texts if self._runs[text]]
        return {
            "n_text": len(texts),
            "n_long": len(n_copied),
            "n_copied": sum(n > 0 for n in n_copied),
            "n_token": sum(len(self._texts[text]) for text in texts if self._runs[text]),
            "n_copied_token": sum(n_copied),
        }

    def _count_copied(self, text: int) -> int:
        starts = (start for start, run in enumerate(self._runs[text]) if run in self._found)
        return len({place for start in starts for place in range(start, start + self._run_tokens)})


def search_corpus(
    generated: Sequence[str], authors: Sequence[str], split: Split, run_tokens: int
) -> dict[str, Any]:
    """Say how much of some answers stands in the corpus, and of what the authors wrote."""
    search = CopySearch([*generated, *authors], run_tokens=run_tokens)
    progress = Progress("corpus", len(split))
    for index in range(len(split)):
        search.look_in([split.text_bytes(index).decode("utf-8")])
        progress.show(index + 1, last=index + 1 == len(split))
    n = len(generated)
    return {
        "run_tokens": run_tokens,
        "generated": search.count_copies(range(n)),
        "authors": search.count_copies(range(n, n + len(authors))),
    }


def format_copies(found: dict[str, Any]) -> list[str]:
    """Return what `search_corpus` found as lines of text."""
    lines = [f"runs of {found['run_tokens']} tokens that stand in the corpus:"]
    for name in ("generated", "authors"):
        part = found[name]
        lines.append(
            f"  {name:<10} {part['n_copied']} of {part['n_long']} texts so long,"
            f" {part['n_copied_token']} of {part['n_token']} tokens"
        )
    return lines
