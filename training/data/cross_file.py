"""The other files of a document's repository, asked for snippets as the editor would ask.

One source for each repository, read when its first document is packed and kept: a group of
documents is drawn from all of them. Knows no token and no row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from assistant.snippets.search import SnippetSearch
from model.fim import Snippet
from training.data.corpus import Document

_FRESH_FRAC = 0.4  # of the snippets: chosen just before the cursor's line was begun
_STALE_LINES = 15  # of the others, chosen before at most so many lines were written


class CrossFileSnippets:
    """Finds snippets for holes in documents of several repositories."""

    def __init__(self, files_of: Callable[[str], Iterable[tuple[str, str]]]) -> None:
        self._files_of = files_of  # (path, text) of the files of a repository
        self._sources: dict[str, SnippetSearch] = {}

    @classmethod
    def of_documents(cls, documents: Sequence[Document]) -> CrossFileSnippets:
        """Return the neighbours of documents among themselves."""
        files: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for document in documents:
            files[document.source].append((document.path, document.text))
        return cls(lambda source: files[source])

    def snippets(
        self, document: Document, hole: tuple[int, int], budget_chars: int, rng: np.random.Generator
    ) -> list[Snippet]:
        """Return snippets for the hole at [start, end) of a document.

        The editor keeps its choice while lines are written, so what is shown was often chosen
        before the last lines stood there; never is the hole itself looked at.
        """
        source = self._sources.get(document.source)
        if source is None:
            source = SnippetSearch(self._files_of(document.source))
            self._sources[document.source] = source
        start, end = hole
        n_lines = 0 if rng.random() < _FRESH_FRAC else int(rng.integers(1, _STALE_LINES + 1))
        return source.snippets(
            path=document.path,
            before=document.text[: _lines_above(document.text, start, n_lines)],
            after=document.text[end:],
            budget_chars=budget_chars,
        )


def _lines_above(text: str, offset: int, n_lines: int) -> int:
    """Return the start of the line so many lines above the one that holds `offset`."""
    start = text.rfind("\n", 0, offset) + 1
    for _ in range(n_lines):
        if start == 0:
            break
        start = text.rfind("\n", 0, start - 1) + 1
    return start
