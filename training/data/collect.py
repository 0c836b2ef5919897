"""One source to the documents worth training on, and a count for each reason against the others.

Runs in worker processes: all it needs is in `Rules`. Knows nothing of other sources: duplicates
across repositories and splits are `training.data.prepare`'s business.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from assistant.git import GitError
from assistant.privacy.redaction import redact
from training.data import filters, licences
from training.data.corpus import Document
from training.data.decontaminate import Overlap, content_hash
from training.data.folders import Parts
from training.data.sources import Source, SourceEntry
from training.recipe import PATH_SETTINGS, CorpusRecipe

_log = logging.getLogger(__name__)
_MAX_LICENCE_BYTES = 200_000
OWN = "own code"  # in place of a licence
_FORMAT = 6
# What does not decide on a single file of a source.
_OTHER_SETTINGS = (*PATH_SETTINGS, "validation", "near_duplicate", "processes")


class Rules(NamedTuple):
    """What decides over a file."""

    recipe: CorpusRecipe
    blocked: frozenset[bytes]  # SHA-256 of contents that stay out
    overlap: Overlap


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Kept(Document):
    """A file that passed; its text has LF only, secrets and personal data are replaced."""

    sha256: str = ""  # of the file as it stands in the source
    scrubbed: dict[str, int] = dataclasses.field(default_factory=dict)  # replacements by kind

    @property
    def n_bytes(self) -> int:
        """Bytes of its text."""
        return len(self.text.encode())


@dataclasses.dataclass(kw_only=True, slots=True)
class Collected:
    """The files that one source gave, and how many were refused."""

    licence: str = licences.UNKNOWN
    refused: str = ""  # why the whole source stays out; "" if it does not
    files: list[Kept] = dataclasses.field(default_factory=list)
    n_seen: int = 0  # files with a wanted ending
    refusals: dict[str, int] = dataclasses.field(default_factory=dict)  # files by reason
    hits: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """(path, what it shares with an evaluation set)"""

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Collected:
        """Read what `asdict` gave."""
        return cls(**table | {"files": [Kept(**file) for file in table["files"]]})

    def refuse(self, reason: str, n: int = 1) -> None:
        """Count files that stay out."""
        self.refusals[reason] = self.refusals.get(reason, 0) + n


def collect(source: Source, rules: Rules) -> Collected:
    """Read, judge and choose the files of one source; one that cannot be read is refused."""
    found = Collected()
    try:
        entries = _list_entries(source, rules, found)
        _choose(source, entries, rules, found)
    except GitError as error:
        _log.warning("%s is left out: %s", source.name, error)
        return Collected(refused="unreadable")
    found.files.sort(key=lambda kept: kept.path)
    return found


def _list_entries(source: Source, rules: Rules, found: Collected) -> list[SourceEntry]:
    """Refuse what needs no read; order the rest by hash: any head of it is a fair sample."""
    recipe, entries = rules.recipe, source.entries()
    wanted = [entry for entry in entries if entry.path.endswith(recipe.suffixes)]
    found.n_seen = len(wanted)
    found.licence = OWN if recipe.own else find_licence(source, entries, recipe.licences)
    if not recipe.own and not licences.is_allowed(found.licence, recipe.licences):
        found.refused = f"licence {found.licence}"
        return []
    kept, key = [], f"{recipe.seed} {source.name}"
    for entry in wanted:
        if reason := filters.path_reason(entry.path, entry.n_bytes, recipe.filters, key):
            found.refuse(reason)
        else:
            kept.append(entry)
    return sorted(kept, key=lambda entry: filters.hash_frac(f"order {key} {entry.path}"))


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


def _choose(source: Source, entries: list[SourceEntry], rules: Rules, found: Collected) -> None:
    """Read and judge until the repository's share of bytes is used up."""
    n_bytes = 0
    contents = source.read(entries, max_bytes=rules.recipe.filters.max_bytes)
    for n_read, (entry, content) in enumerate(zip(entries, contents, strict=True)):
        if n_bytes >= rules.recipe.repository_bytes:
            found.refuse("repository byte cap", len(entries) - n_read)
            break
        kept = judge_file(source.name, entry.path, content, rules, found.hits)
        if isinstance(kept, str):
            found.refuse(kept)
        else:
            found.files.append(kept)
            n_bytes += kept.n_bytes


def judge_file(
    source: str, path: str, content: bytes | None, rules: Rules, hits: list[tuple[str, str]]
) -> Kept | str:
    """Return the file, or why it stays out; `hits` gets what it shares with an evaluation set."""
    if content is None:
        return "unreadable"
    if content_hash(content) in rules.blocked:
        hits.append((path, "the same file"))
        return "evaluation file"
    text = filters.text_of(content)
    if text is None:
        return "undecodable"
    if reason := filters.text_reason(text, rules.recipe.filters):
        return reason
    if not rules.recipe.own and licences.header_refuses(text, rules.recipe.licences):
        return "licence header"
    if shared := rules.overlap.find(text):
        hits.append((path, shared))
        return "benchmark overlap"
    clean, counts = redact(filters.without_notices(text))
    sha256 = content_hash(content).hex()
    return Kept(source=source, path=path, text=clean, sha256=sha256, scrubbed=dict(counts))


class SourceParts:
    """The parts of one corpus: `collect` makes them or finds them.

    Sources without a commit, folders, are read again.
    """

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._parts = Parts(folder)
        self._rules = rules
        settings = dataclasses.asdict(rules.recipe)
        for name in _OTHER_SETTINGS:
            del settings[name]
        decisive = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        decisive.update(b"".join(sorted(rules.blocked)))
        decisive.update(rules.overlap.digest())
        self._rules_hash = decisive.hexdigest()

    def collect(self, source: Source) -> Collected:
        """Return what comes of a source, from an earlier run if that is known to be the same."""
        key = self._key(source)
        if key and (content := self._parts.read(key)) is not None:
            return Collected.from_table(json.loads(content))
        collected = collect(source, self._rules)
        if key and collected.refused != "unreadable":  # it may be readable the next time
            self._parts.write(key, json.dumps(dataclasses.asdict(collected)).encode())
        return collected

    def keep(self, sources: Iterable[Source]) -> None:
        """Delete the parts of all other sources and rules."""
        self._parts.clear([key for source in sources if (key := self._key(source))])

    def _key(self, source: Source) -> str:
        """Return what a source's part is named after; "" if nothing pins the source."""
        named = [_FORMAT, self._rules_hash, "git", source.name, source.commit]
        return json.dumps(named) if source.commit else ""
