"""Held-out code: files of a repository that training never saw, and cursors in them.

Knows no model. Every draw is a function of the seed and the file's path.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.source.languages import language_of
from training.data.corpus import Document
from training.data.filters import text_of
from training.data.sources import open_source

MIN_BYTES, MAX_BYTES = 200, 200_000  # of a file worth asking about


class Task(NamedTuple):
    """Complete the rest of a line at `offset` (code points); what the author wrote is `truth`."""

    file: Document
    offset: int
    truth: str  # never empty, no newline

    @property
    def text(self) -> str:
        """The file as it would be while the author types: without the rest of the cursor's line."""
        return self.file.text[: self.offset] + self.file.text[self.offset + len(self.truth) :]

    @property
    def is_mid_token(self) -> bool:
        """Say whether the cursor stands inside a name or number."""
        before, after = self.file.text[self.offset - 1 : self.offset], self.truth[0]
        return (before.isalnum() or before == "_") and (after.isalnum() or after == "_")


def held_out_files(folder: Path, *, languages: Collection[str] = ("python",)) -> list[Document]:
    """Return the files of one repository in some languages, LF only, by path.

    A repository is a work tree, a bare one or a plain folder.
    """
    source = open_source(folder)
    entries = [
        entry
        for entry in source.entries()
        if MIN_BYTES <= entry.n_bytes <= MAX_BYTES
        and (language := language_of(entry.path)) is not None
        and language.name in languages
    ]
    files = []
    for entry, content in zip(entries, source.read(entries, max_bytes=MAX_BYTES), strict=True):
        text = None if content is None else text_of(content)
        if text is not None:  # nobody types into another file
            files.append(Document(source=source.name, path=entry.path, text=text))
    return files


def sample_tasks(files: Sequence[Document], n: int, *, seed: int) -> list[Task]:
    """Draw `n` cursors, uniform over typed characters: indentation and line ends are not typed."""
    typed = [np.array([len(line.strip()) for line in file.text.split("\n")]) for file in files]
    weights = np.array([lengths.sum() for lengths in typed], float)
    if weights.sum() == 0:
        return []
    key = int.from_bytes(hashlib.sha256(files[0].source.encode()).digest()[:8], "little")
    draws = np.random.Generator(np.random.Philox(key=[seed, key]))
    chosen = draws.choice(len(files), size=n, p=weights / weights.sum())
    return [_draw_task(files[index], typed[index], draws) for index in chosen]


def _draw_task(file: Document, typed: NDArray[np.int64], draws: np.random.Generator) -> Task:
    """Draw a cursor in a file with so many typed characters in each line."""
    place, ends, lines = int(draws.integers(typed.sum())), typed.cumsum(), file.text.split("\n")
    number = int(np.searchsorted(ends, place, side="right"))
    line, n_before = lines[number], place - int(ends[number] - typed[number])
    column = len(line) - len(line.lstrip()) + n_before
    offset = sum(len(above) + 1 for above in lines[:number]) + column
    return Task(file=file, offset=offset, truth=line.rstrip()[column:])
