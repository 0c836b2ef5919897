"""One source to the documents worth training on, and a count for each reason against the others.

Runs in worker processes: all it needs is in `Rules`. Knows nothing of other sources: duplicates
across repositories, splits and files on disk are `training.data.prepare`'s business.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Iterator

import rensa

from assistant.git import GitError
from training.data import filters, licences
from training.data.archives import ArchiveError
from training.data.decontaminate import Overlap, content_hash
from training.data.dedup import Sketcher, fingerprint
from training.data.recipe import CorpusRecipe
from training.data.scrub import scrub
from training.data.sources import Source, SourceEntry

_log = logging.getLogger(__name__)
_MAX_LICENCE_BYTES = 200_000
OWN = "own code"  # in place of a licence


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What decides over a file."""

    recipe: CorpusRecipe
    blocked: frozenset[bytes]  # SHA-256 of contents that stay out
    overlap: Overlap
    sketcher: Sketcher | None  # None: near duplicates are kept


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """Files and bytes by the reason against them."""

    files: Counter[str] = dataclasses.field(default_factory=Counter)
    bytes: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, reason: str, n_bytes: int) -> None:
        """Count one file."""
        self.files[reason] += 1
        self.bytes[reason] += n_bytes


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A file that passed."""

    path: str
    text: bytes  # UTF-8, LF, scrubbed
    fingerprint: bytes
    sketch: rensa.RMinHash | None
    sha256: str  # of the file as it stands in the source
    scrubbed: Counter[str]  # secrets and personal data replaced, by kind
    n_lines_scrubbed: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What came of one source."""

    source: Source
    licence: str
    refused: str  # why the whole source stays out; "" if it does not
    files: tuple[Kept, ...] = ()
    n_seen: int = 0  # files with a wanted ending
    n_bytes_seen: int = 0
    refusals: Refusals = dataclasses.field(default_factory=Refusals)
    hits: tuple[tuple[str, str], ...] = ()  # (path, what it shares with an evaluation set)


def collect(source: Source, rules: Rules) -> Collected:
    """Read, judge and choose the files of one source; one that cannot be read is refused."""
    try:
        return _collect(source, rules)
    except (GitError, ArchiveError) as error:
        _log.warning("%s is left out: %s", source.name, error)
        return Collected(source=source, licence=licences.UNKNOWN, refused="unreadable")


def _collect(source: Source, rules: Rules) -> Collected:
    entries = source.entries()
    wanted = [entry for entry in entries if entry.path.endswith(rules.recipe.suffixes)]
    licence, refused = OWN, ""
    if not rules.recipe.own:
        licence = find_licence(source, entries, rules.recipe.licences)
        is_allowed = licences.is_allowed(licence, rules.recipe.licences)
        refused = "" if is_allowed else f"licence {licence}"
    refusals = Refusals()
    hits: list[tuple[str, str]] = []
    files: list[Kept] = []
    if not refused:
        entries = _refuse_by_path(source, wanted, rules, refusals)
        files = _choose(source, entries, rules, (refusals, hits))
    return Collected(
        source=source,
        licence=licence,
        refused=refused,
        files=tuple(sorted(files, key=lambda kept: kept.path)),
        n_seen=len(wanted),
        n_bytes_seen=sum(entry.n_bytes for entry in wanted),
        refusals=refusals,
        hits=tuple(hits),
    )


def find_licence(source: Source, entries: Iterable[SourceEntry], allowed: Iterable[str]) -> str:
    """Return the licence that the source's own licence files grant."""
    named = [entry for entry in entries if licences.is_licence_file(entry.path)]
    top = [entry for entry in named if "/" not in entry.path] or named
    contents = source.read(top, max_bytes=_MAX_LICENCE_BYTES)
    texts = [content.decode("utf-8", "replace") for content in contents if content is not None]
    return licences.licence_of(texts, frozenset(allowed))


def contents(source: Source, recipe: CorpusRecipe) -> Iterator[bytes]:
    """Yield the contents of a source's own files, unjudged: copies of them are to stay out."""
    own = (entry for entry in source.entries() if not filters.is_vendored(entry.path))
    entries = [entry for entry in own if entry.path.endswith(recipe.suffixes)]
    large = 10 * recipe.filters.max_bytes
    yield from (data for data in source.read(entries, max_bytes=large) if data is not None)


def _refuse_by_path(
    source: Source, entries: Iterable[SourceEntry], rules: Rules, refusals: Refusals
) -> list[SourceEntry]:
    """Refuse what needs no read; order the rest by hash: any head of it is a fair sample."""
    kept = []
    key = f"{rules.recipe.seed} {source.name}"
    for entry in entries:
        reason = filters.path_reason(entry.path, entry.n_bytes, rules.recipe.filters, key)
        if reason:
            refusals.add(reason, entry.n_bytes)
        else:
            kept.append(entry)
    return sorted(kept, key=lambda entry: filters.hash_frac(f"order {key} {entry.path}"))


def _choose(
    source: Source,
    entries: list[SourceEntry],
    rules: Rules,
    counts: tuple[Refusals, list[tuple[str, str]]],
) -> list[Kept]:
    """Read and judge until the repository's share of bytes is used up."""
    refusals, hits = counts
    files: list[Kept] = []
    n_bytes = 0
    contents = source.read(entries, max_bytes=rules.recipe.filters.max_bytes)
    for n_read, (entry, content) in enumerate(zip(entries, contents, strict=True)):
        if n_bytes >= rules.recipe.repository_bytes:
            for unread in entries[n_read:]:
                refusals.add("repository byte cap", unread.n_bytes)
            break
        kept, reason, hit = _judge(entry.path, content, rules)
        if hit:
            hits.append((entry.path, hit))
        if kept is None:
            refusals.add(reason, entry.n_bytes)
        else:
            files.append(kept)
            n_bytes += len(kept.text)
    return files


def _judge(path: str, content: bytes | None, rules: Rules) -> tuple[Kept | None, str, str]:
    """Return (the file, "", "") or (None, why not, what it shares with an evaluation set)."""
    if content is None:
        return None, "unreadable", ""
    if content_hash(content) in rules.blocked:
        return None, "evaluation file", "the same file"
    text = filters.text_of(content)
    if text is None:
        return None, "undecodable", ""
    if reason := filters.text_reason(text, rules.recipe.filters):
        return None, reason, ""
    if not rules.recipe.own and licences.header_refuses(text, rules.recipe.licences):
        return None, "licence header", ""
    if shared := rules.overlap.find(text):
        return None, "benchmark overlap", shared
    clean = scrub(filters.without_notices(text))
    kept = Kept(
        path=path,
        text=clean.text.encode(),
        fingerprint=fingerprint(clean.text),
        sketch=rules.sketcher.sketch(clean.text) if rules.sketcher else None,
        sha256=content_hash(content).hex(),
        scrubbed=clean.counts,
        n_lines_scrubbed=clean.n_lines,
    )
    return kept, "", ""
