"""What of a repository may be trained on: tracked code at one commit, clean, each text once.

Read through git, never from the work tree. Refusals are counted by reason, and secrets and personal
data are replaced; a text in which a second scan still finds some is an error. Knows no token.
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
from training.data.dedup import Duplicates, Sketcher, fingerprint
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
    files = list(_list_files(repository, commit))
    wanted = []
    for path, blob, n_bytes in files:
        if reason := _path_reason(path, n_bytes):
            refused[reason] += 1
        else:
            wanted.append((path, blob))
    contents = read_blobs(
        repository,
        [blob for _, blob in wanted],
        max_blob_bytes=FILTERS.max_bytes,
        timeout_s=_READ_TIMEOUT_S,
    )
    texts, sketcher, duplicates = [], Sketcher(), Duplicates(NEAR_DUPLICATE)
    for (path, blob), content in zip(wanted, contents, strict=True):
        text, reason = _decode(content)
        if reason or (reason := duplicates.reason(fingerprint(text), sketcher.sketch(text)) or ""):
            refused[reason] += 1
            continue
        clean = scrub(text)
        scrubbed += clean.counts
        texts.append(Text(source=REPOSITORY, path=path, text=clean.text, blob=blob))
    texts.sort(key=lambda text: text.path)
    return RepositoryTexts(
        texts=tuple(texts), n_seen=len(files), refused=refused, scrubbed=scrubbed
    )


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


def _list_files(repository: Path, commit: str) -> Iterator[tuple[str, str, int]]:
    """Yield (path, blob, bytes) of the regular files of a commit."""
    listing = git(repository, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    for record in listing.split(b"\0"):
        head, _, name = record.partition(b"\t")
        if head.startswith((b"100644", b"100755")):
            _, _, blob, size = head.split()
            n_bytes = int(size) if size.isdigit() else 0
            yield name.decode("utf-8", "replace"), blob.decode(), n_bytes


def _path_reason(path: str, n_bytes: int) -> str:
    """Return why a file is left out by its name or size, "" if it is not."""
    if is_excluded(path):
        return "secret by its name"
    if language_of(path) is None or not path.isprintable():
        return "no code of a known language"
    return filters.path_reason(path, n_bytes, FILTERS, "") or ""


def _decode(content: bytes | None) -> tuple[str, str]:
    """Return (text, "") or ("", why it is left out)."""
    if content is None:
        return "", "unreadable"
    text = filters.text_of(content)
    if text is None:
        return "", "no clean UTF-8"
    reason = filters.text_reason(text, FILTERS)
    return ("", reason) if reason else (text, "")
