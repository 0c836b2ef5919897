"""Which bytes are counted: the lines that later commits added, and general code.

Knows git and no network. Every draw is a function of the seed and of what is drawn from.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.git import GitError
from training.evaluation.bits_per_byte import Passage, whole_file
from training.evaluation.replay.history import ReplayError, later_commits
from training.evaluation.replay.snapshot import BlobTexts
from training.evaluation.replay.tasks import TypedLine, typed_lines

MAX_COMMITS = 200  # of a range, spread evenly
MAX_PASSAGE_BYTES = 4_000  # counted of one file in one commit: no new file outweighs the rest


def added_passages(
    repository: Path, revisions: str, *, max_bytes: int, seed: int = 0
) -> list[Passage]:
    """Return the typed lines of the commits of a range, file by file, in a random order.

    Ends with the passage that reaches `max_bytes`. ReplayError if the range adds no code.
    """
    commits = later_commits(repository, revisions)
    kept = np.linspace(0, len(commits) - 1, min(MAX_COMMITS, len(commits))).round().astype(int)
    blobs = BlobTexts(repository)
    found = []
    for index in kept:
        commit = commits[index]
        # A part of the history may not be there: partial clones lack large files.
        with contextlib.suppress(GitError):
            lines = typed_lines(repository, commit, blobs)
            by_path = groupby(lines, key=lambda line: line.path)
            found += [_passage(commit.id, path, list(its)) for path, its in by_path]
    if not found:
        raise ReplayError(f"{revisions} of {repository} adds no code that can be judged")
    draws = np.random.Generator(np.random.Philox(key=[seed, 3]))
    drawn = [found[index] for index in draws.permutation(len(found))]
    return _capped(drawn, max_bytes, draws, most=MAX_PASSAGE_BYTES)


def general_passages(
    documents: Sequence[tuple[str, str]], *, max_bytes: int, seed: int = 0
) -> list[Passage]:
    """Return (path, text) documents with all bytes counted, in a random order.

    Ends as `added_passages` does; of few documents, more is counted of each.
    """
    whole = [whole_file(path, text) for path, text in sorted(documents) if text]
    if not whole:
        raise ValueError("there is no general code to judge by: every document is empty")
    draws = np.random.Generator(np.random.Philox(key=[seed, 4]))
    drawn = [whole[index] for index in draws.permutation(len(whole))]
    most = max(MAX_PASSAGE_BYTES, -(-max_bytes // len(whole)))
    return _capped(drawn, max_bytes, draws, most=most)


def _passage(commit: str, path: str, lines: Sequence[TypedLine]) -> Passage:
    """Join the typed lines of one file; a line's indentation and its end count with it."""
    text = [line + "\n" for line in lines[0].new[: lines[-1].number + 1]]
    ends = np.cumsum([0, *(len(line.encode()) for line in text)])
    numbers = [line.number for line in lines]
    counted = np.concatenate([np.arange(ends[n], ends[n + 1]) for n in numbers])
    return Passage(group=commit, path=path, text="".join(text), spans=_runs(counted))


def _runs(counted: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Return (start, end) of each run of numbers in a row."""
    parts = np.split(counted, np.flatnonzero(np.diff(counted) > 1) + 1)
    return tuple((int(part[0]), int(part[-1]) + 1) for part in parts)


def _capped(
    passages: Sequence[Passage], max_bytes: int, draws: np.random.Generator, *, most: int
) -> list[Passage]:
    kept: list[Passage] = []
    for passage in passages:
        if max_bytes <= 0:
            break
        kept.append(_shortened(passage, int(draws.integers(1 << 30)), most))
        max_bytes -= sum(end - start for start, end in kept[-1].spans)
    return kept


def _shortened(passage: Passage, draw: int, most: int) -> Passage:
    """Keep a run of at most `most` counted bytes, from a random one on."""
    counted = np.concatenate([np.arange(start, end) for start, end in passage.spans])
    if len(counted) <= most:
        return passage
    skip = draw % (len(counted) - most + 1)
    counted = counted[skip : skip + most]
    # Cut where a character may be cut in two: what is lost of it is not counted anyway.
    text = passage.text.encode()[: counted[-1] + 1].decode(errors="ignore")
    counted = counted[counted < len(text.encode())]
    return dataclasses.replace(passage, text=text, spans=_runs(counted))
