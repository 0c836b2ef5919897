"""What may be trained on: a repository's tracked code at one commit, and general code beside it.

The repository is read through git, never from the work tree; each text once. General code is by
default the standard library of the Python that runs: some is replayed while tuning, other files
guard the result, and which is a function of a file's path alone. Refusals are counted by reason,
and secrets and personal data are replaced; a text in which a second scan still finds some is an
error. Knows no token.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from assistant.git import read_blobs
from assistant.privacy.exclusion import is_excluded
from assistant.privacy.redaction import redact
from assistant.source.languages import language_of
from model.files import UnreadableFileError, read_regular
from training.data import filters
from training.data.corpus import Document
from training.data.dedup import Duplicates
from training.data.recipe import FilterSettings
from training.data.sources import git_entries
from training.errors import TuneError
from training.evaluation.replay.snapshot import is_code

REPOSITORY, GENERAL = "repository", "general"  # where a text is from
NEAR_DUPLICATE = 0.8  # Jaccard similarity of runs of five words, as for a corpus
FILTERS = FilterSettings(test_keep_frac=1.0)  # its own tests are code that is typed there, too
HELD_OUT_FRAC = 0.2  # of the files of general code
HELD_OUT_BYTES = 120_000  # at most: a guard, not a corpus
_MAX_HELD_OUT_FILE_BYTES = 40_000  # several files rather than one
_GENERAL_FILTERS = FilterSettings(min_bytes=500, test_keep_frac=0.0)
_SKIPPED = frozenset(  # tests, other people's code, tables of characters
    "test tests idlelib lib2to3 site-packages dist-packages encodings distutils".split()
)
_READ_TIMEOUT_S = 600.0
_NAMED = 5  # files in a message


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Text(Document):
    """One file that is trained on: LF only, scrubbed; its source is REPOSITORY or GENERAL."""

    blob: str = ""  # git's name of its content, before it was scrubbed

    @property
    def n_bytes(self) -> int:
        """Bytes of its text."""
        return len(self.text.encode())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryTexts:
    """The texts of a commit, and what stayed out."""

    texts: tuple[Text, ...]  # by path
    n_seen: int  # tracked regular files
    refused: Counter[str]  # files by reason
    scrubbed: Counter[str]  # replacements by kind


def read_repository(repository: Path, commit: str) -> RepositoryTexts:
    """Return what may be learnt from the tree of `commit`."""
    refused: Counter[str] = Counter()
    scrubbed: Counter[str] = Counter()
    entries = list(git_entries(repository, commit))
    wanted = []
    for entry in entries:
        if reason := _path_reason(entry.path, entry.n_bytes):
            refused[reason] += 1
        else:
            wanted.append(entry)
    contents = read_blobs(
        repository,
        [entry.object_id for entry in wanted],
        max_blob_bytes=FILTERS.max_bytes,
        timeout_s=_READ_TIMEOUT_S,
    )
    texts, duplicates = [], Duplicates(NEAR_DUPLICATE)
    for entry, content in zip(wanted, contents, strict=True):
        text, reason = _decode(content, FILTERS)
        if reason or (reason := duplicates.reason(text)):
            refused[reason] += 1
            continue
        clean, counts = redact(text)
        scrubbed += counts
        texts.append(Text(source=REPOSITORY, path=entry.path, text=clean, blob=entry.object_id))
    texts.sort(key=lambda text: text.path)
    return RepositoryTexts(
        texts=tuple(texts), n_seen=len(entries), refused=refused, scrubbed=scrubbed
    )


def draw_replay(folder: Path, n_bytes: int, *, seed: int = 0) -> list[Text]:
    """Return general code to replay, in a random order, of about `n_bytes` in all if there are."""
    return list(_take_bytes(n_bytes, _read_general(folder, seed, is_held_out=False)))


def draw_held_out(folder: Path) -> list[Text]:
    """Return the general code that guards; TuneError if the folder holds none."""
    texts = _read_general(folder, 0, is_held_out=True)
    small = (text for text in texts if len(text.text) <= _MAX_HELD_OUT_FILE_BYTES)
    if not (chosen := list(_take_bytes(HELD_OUT_BYTES, small))):
        raise TuneError(
            f"{folder} holds too few source files to measure whether general code is forgotten; "
            "name another folder with --general"
        )
    return chosen


def require_clean(texts: Iterable[Text]) -> None:
    """Scan for secrets a second time, in what is about to be trained on; TuneError names files."""
    if found := [text.path for text in texts if redact(text.text)[1]]:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise TuneError(
            f"secrets are left in {', '.join(found[:_NAMED])}{more}: take them out of the "
            "repository (and out of use), commit, and run this again"
        )


def hash_texts(texts: Iterable[Text]) -> str:
    """Return SHA-256 over the sorted (path, blob) of texts."""
    lines = sorted(f"{text.path}\0{text.blob}\n" for text in texts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _path_reason(path: str, n_bytes: int) -> str:
    """Return why a file is left out by its name or size, "" if it is not."""
    if is_excluded(path):
        return "secret by its name"
    if language_of(path) is None or not path.isprintable():
        return "no code of a known language"
    return filters.path_reason(path, n_bytes, FILTERS, "") or ""


def _decode(content: bytes | None, settings: FilterSettings) -> tuple[str, str]:
    """Return (text, "") or ("", why it is left out)."""
    if content is None:
        return "", "unreadable"
    text = filters.text_of(content)
    if text is None:
        return "", "no clean UTF-8"
    reason = filters.text_reason(text, settings)
    return ("", reason) if reason else (text, "")


def _take_bytes(n_bytes: int, texts: Iterator[Text]) -> Iterator[Text]:
    total = 0
    while total < n_bytes and (text := next(texts, None)):
        total += text.n_bytes
        yield text


def _read_general(folder: Path, seed: int, *, is_held_out: bool) -> Iterator[Text]:
    """Yield the usable files of one part; each is read when it is its turn."""
    paths = [
        path
        for path in _list_visible(folder)
        if is_code(path) and (filters.hash_frac(f"general {path}") < HELD_OUT_FRAC) is is_held_out
    ]
    for path in sorted(paths, key=lambda path: filters.hash_frac(f"order {seed} {path}")):
        try:
            content = read_regular(folder / path, _GENERAL_FILTERS.max_bytes)
        except UnreadableFileError:
            continue
        text, reason = _decode(content, _GENERAL_FILTERS)
        if not (reason or filters.path_reason(path, len(content), _GENERAL_FILTERS, "")):
            blob = hashlib.sha256(content).hexdigest()
            yield Text(source=GENERAL, path=path, text=redact(text)[0], blob=blob)


def _list_visible(folder: Path) -> Iterator[str]:
    """Yield the paths of files below a folder, links and hidden folders left out."""
    if not folder.is_dir():
        raise TuneError(f"{folder} is not a folder; name one with source files with --general")
    for place, folders, files in os.walk(folder):
        for names in (folders, files):
            names[:] = [name for name in names if name not in _SKIPPED and name[0] != "."]
        for name in files:
            if not (path := Path(place, name)).is_symlink():
                yield path.relative_to(folder).as_posix()
