"""The other files of a document's repository, asked for snippets as the editor would ask.

One source for each repository, read when its first document is packed and kept: a group of
documents is drawn from all of them. Knows no token and no row.
"""

from __future__ import annotations

import functools
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
        """Take what returns (path, text) of the files of a repository."""
        self._search_of = functools.cache(lambda source: SnippetSearch(files_of(source)))

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
        start, end = hole
        n_lines = 0 if rng.random() < _FRESH_FRAC else int(rng.integers(1, _STALE_LINES + 1))
        lines = document.text[:start].split("\n")[: -1 - n_lines]  # above the cursor's, or fewer
        return self._search_of(document.source).snippets(
            path=document.path,
            before="".join(line + "\n" for line in lines),
            after=document.text[end:],
            budget_chars=budget_chars,
        )
