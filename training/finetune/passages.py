"""Which bytes are counted: the lines that later commits added, and general code.

Knows git and no network. Every draw is a function of the seed and of what is drawn from.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from assistant.git import GitError
from training.evaluation.bits_per_byte import Passage, whole_file
from training.evaluation.replay.history import BlobTexts, ReplayError, later_commits
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
            found += [_join_lines(commit.id, path, list(its)) for path, its in by_path]
    if not found:
        raise ReplayError(f"{revisions} of {repository} adds no code that can be judged")
    draws = np.random.Generator(np.random.Philox(key=[seed, 3]))
    drawn = [found[index] for index in draws.permutation(len(found))]
    return _cap(drawn, max_bytes, draws, most=MAX_PASSAGE_BYTES)


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
    return _cap(drawn, max_bytes, draws, most=most)


def _join_lines(commit: str, path: str, lines: Sequence[TypedLine]) -> Passage:
    """Return the typed lines of one file; a line's indentation and its end count with it."""
    text = [line + "\n" for line in lines[0].new[: lines[-1].number + 1]]
    ends = [0, *itertools.accumulate(len(line.encode()) for line in text)]
    counted = [i for line in lines for i in range(ends[line.number], ends[line.number + 1])]
    return Passage(group=commit, path=path, text="".join(text), counted=counted)


def _cap(
    passages: Sequence[Passage], max_bytes: int, draws: np.random.Generator, *, most: int
) -> list[Passage]:
    """Keep passages of `max_bytes`; of each a run of at most `most`, from a random one on."""
    kept: list[Passage] = []
    for passage in passages:
        if max_bytes <= 0:
            break
        draw, counted = int(draws.integers(1 << 30)), passage.counted
        if len(counted) > most:
            skip = draw % (len(counted) - most + 1)
            counted = counted[skip : skip + most]
            # Cut where a character may be cut in two: what is lost of it is not counted anyway.
            text = passage.text.encode()[: counted[-1] + 1].decode(errors="ignore")
            counted = [i for i in counted if i < len(text.encode())]
            passage = dataclasses.replace(passage, text=text, counted=counted)
        kept.append(passage)
        max_bytes -= len(counted)
    return kept
