"""Verbatim copies: runs of generated code that stand in the corpus, token for token.

A token is a word, a number or a mark of punctuation; white space does not count, so code that was
indented anew is still a copy. The corpus is read once, a document at a time: memory depends on what
was generated, not on the corpus. Knows no model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.corpus import Split
from training.data.progress import Progress

RUN_TOKENS = 20  # two or three lines of code; shorter runs are common coin
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)  # odd: its powers never vanish modulo 2**64

Hashes = NDArray[np.uint64]


class CopySearch:
    """Looks for every run of `run_tokens` tokens of some texts; feed it the corpus."""

    def __init__(self, texts: Sequence[str], *, run_tokens: int) -> None:
        if run_tokens < 1:
            raise ValueError(f"a run has at least one token, not {run_tokens}")
        self._run_tokens = run_tokens
        self._texts = [_TOKEN.findall(text) for text in texts]
        self._values = {token: _value(token) for tokens in self._texts for token in tokens}
        self._is_copied = [np.zeros(len(tokens), bool) for tokens in self._texts]
        # Runs still to be found: hash -> the places (text, first token) that it stands at.
        self._places: dict[int, list[tuple[int, int]]] = {}
        for text, tokens in enumerate(self._texts):
            for start, run in enumerate(self._hashes(tokens).tolist()):
                self._places.setdefault(run, []).append((text, start))
        self._wanted: Hashes = np.array(sorted(self._places), np.uint64)

    def look_in(self, documents: Iterable[str]) -> None:
        """Mark what stands in one of the documents, too."""
        for document in documents:
            tokens = _TOKEN.findall(document)
            hashes = self._hashes(tokens)
            for start in np.flatnonzero(self._is_wanted(hashes)).tolist():
                found = tokens[start : start + self._run_tokens]
                self._mark(int(hashes[start]), found)

    def count_copies(self, texts: range) -> dict[str, int]:
        """Return how much was found of the texts of these numbers.

        Long are those with at least one run; of them, some are copied, at least one run of theirs.
        """
        long = [i for i in texts if len(self._texts[i]) >= self._run_tokens]
        return {
            "n_text": len(texts),
            "n_long": len(long),
            "n_copied": sum(bool(self._is_copied[i].any()) for i in long),
            "n_token": sum(len(self._texts[i]) for i in long),
            "n_copied_token": sum(int(self._is_copied[i].sum()) for i in long),
        }

    def _hashes(self, tokens: Sequence[str]) -> Hashes:
        """Return the hash of the run at each token that begins one."""
        n_run = max(0, len(tokens) - self._run_tokens + 1)
        values = np.array([self._values.get(token, 0) for token in tokens], np.uint64)
        hashes = np.zeros(n_run, np.uint64)
        for place in range(self._run_tokens if n_run else 0):
            hashes *= _MULTIPLIER
            hashes += values[place : place + n_run]
        return hashes

    def _is_wanted(self, hashes: Hashes) -> NDArray[np.bool_]:
        if not len(self._wanted):
            return np.zeros(len(hashes), bool)
        nearest = np.searchsorted(self._wanted, hashes)
        found: NDArray[np.bool_] = (
            self._wanted[np.minimum(nearest, len(self._wanted) - 1)] == hashes
        )
        return found

    def _mark(self, run: int, found: Sequence[str]) -> None:
        """Mark the places of a run, unless only its hash is the same."""
        missing = []
        for text, start in self._places.get(run, ()):
            end = start + self._run_tokens
            if self._texts[text][start:end] == found:
                self._is_copied[text][start:end] = True
            else:
                missing.append((text, start))
        self._places[run] = missing  # what is found once is not looked at again


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


def _value(token: str) -> int:
    digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
