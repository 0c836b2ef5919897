"""What of a repository may be trained on: tracked code at one commit, clean, each text once.

Read through git, never from the work tree. Refusals are counted by reason, and secrets and personal
data are replaced; a text in which a second look still finds some is an error. Knows no token.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from assistant.git import git, read_blobs
from assistant.privacy.exclusion import is_excluded
from assistant.privacy.redaction import redact
from assistant.source.languages import language_of
from training.data import filters
from training.data.dedup import Duplicates, fingerprint
from training.data.minhash import Sketcher
from training.data.recipe import FilterSettings
from training.data.scrub import scrub
from training.finetune.errors import TuneError

REPOSITORY, GENERAL = "repository", "general"  # where a text is from
NEAR_DUPLICATE = 0.8  # Jaccard similarity of runs of five words, as for a corpus
FILTERS = FilterSettings(test_keep_frac=1.0)  # its own tests are code that is typed there, too
_READ_TIMEOUT_S = 600.0
_NAMED = 5  # files in a message


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """One file that is trained on."""

    source: str  # REPOSITORY or GENERAL
    path: str
    text: str  # LF only, scrubbed
    blob: str = ""  # git's name of its content, before it was scrubbed

    @property
    def n_bytes(self) -> int:
        """Bytes of its text."""
        return len(self.text.encode())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """The texts of a commit, and the account of what stayed out."""

    texts: tuple[Text, ...]  # by path
    n_seen: int  # tracked regular files
    refused: Counter[str]  # files by reason
    scrubbed: Counter[str]  # replacements by kind

    @property
    def n_bytes(self) -> int:
        """Bytes of all texts."""
        return sum(text.n_bytes for text in self.texts)

    @property
    def data_hash(self) -> str:
        """SHA-256 over the sorted (path, blob) of the texts."""
        return data_hash(self.texts)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    path: str
    blob: str
    n_bytes: int


def repository_texts(repository: Path, commit: str) -> Collected:
    """Return what may be learnt from the tree of `commit`."""
    refused: Counter[str] = Counter()
    scrubbed: Counter[str] = Counter()
    entries = list(_entries(repository, commit))
    wanted = []
    for entry in entries:
        reason = _path_reason(entry)
        if reason:
            refused[reason] += 1
        else:
            wanted.append(entry)
    texts = []
    chooser = _Chooser()
    for entry, content in zip(wanted, _contents(repository, wanted), strict=True):
        text, reason = chooser.choose(content)
        if reason:
            refused[reason] += 1
            continue
        clean = scrub(text)
        scrubbed += clean.counts
        texts.append(Text(source=REPOSITORY, path=entry.path, text=clean.text, blob=entry.blob))
    return Collected(
        texts=tuple(sorted(texts, key=lambda text: text.path)),
        n_seen=len(entries),
        refused=refused,
        scrubbed=scrubbed,
    )


def require_clean(texts: Iterable[Text]) -> None:
    """Look for secrets a second time, in what is about to be trained on; TuneError names files."""
    if found := [text.path for text in texts if redact(text.text)[1]]:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise TuneError(
            f"secrets are left in {', '.join(found[:_NAMED])}{more}: take them out of the "
            "repository (and out of use), commit, and run this again"
        )


def data_hash(texts: Iterable[Text]) -> str:
    """Return SHA-256 over the sorted (path, blob) of texts."""
    lines = sorted(f"{text.path}\0{text.blob}\n" for text in texts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class _Chooser:
    """Judges contents one after another; remembers them, for copies."""

    def __init__(self) -> None:
        self._sketcher = Sketcher()
        self._duplicates = Duplicates(NEAR_DUPLICATE)

    def choose(self, content: bytes | None) -> tuple[str, str]:
        """Return (text, "") or ("", why not)."""
        if content is None:
            return "", "unreadable"
        text = filters.text_of(content)
        if text is None:
            return "", "no clean UTF-8"
        if reason := filters.text_reason(text, FILTERS):
            return "", reason
        if reason := self._duplicates.reason(fingerprint(text), self._sketcher.sketch(text)):
            return "", reason
        return text, ""


def _entries(repository: Path, commit: str) -> Iterator[_Entry]:
    """Yield the regular files of a commit."""
    listing = git(repository, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    for record in listing.split(b"\0"):
        head, _, name = record.partition(b"\t")
        if head.startswith((b"100644", b"100755")):
            _, _, blob, size = head.split()
            yield _Entry(
                path=name.decode("utf-8", "replace"),
                blob=blob.decode(),
                n_bytes=int(size) if size.isdigit() else 0,
            )


def _path_reason(entry: _Entry) -> str:
    if is_excluded(entry.path):
        return "secret by its name"
    if language_of(entry.path) is None or not entry.path.isprintable():
        return "no code of a known language"
    return filters.path_reason(entry.path, entry.n_bytes, FILTERS, "") or ""


def _contents(repository: Path, entries: list[_Entry]) -> Iterator[bytes | None]:
    return read_blobs(
        repository,
        [entry.blob for entry in entries],
        max_blob_bytes=FILTERS.max_bytes,
        timeout_s=_READ_TIMEOUT_S,
    )
