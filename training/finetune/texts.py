"""What may be trained on: a repository's tracked code at one commit, and general code beside it.

The repository is read as a corpus is (`training.data.collect`), each text once. General code is by
default the standard library of the Python that runs: some is replayed while tuning, other files
guard the result, and which is a function of a file's path alone. Refusals are counted by reason,
and secrets and personal data are replaced; a text in which a second scan still finds some is an
error. Knows no token.
"""

import dataclasses
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from assistant.privacy.redaction import redact
from assistant.source.languages import LANGUAGES
from model.files import UnreadableFileError, read_regular
from training.data.collect import Kept, Rules, collect, judge_file
from training.data.corpus import Document
from training.data.decontaminate import Overlap
from training.data.dedup import Duplicates
from training.data.filters import hash_frac, path_reason
from training.data.sources import Source
from training.errors import TuneError
from training.evaluation.replay.history import is_code
from training.recipe import CorpusRecipe, FilterSettings

REPOSITORY, GENERAL = "repository", "general"  # where a text is from
NEAR_DUPLICATE = 0.8  # Jaccard similarity of runs of five words, as for a corpus
HELD_OUT_FRAC = 0.2  # of the files of general code
HELD_OUT_BYTES = 120_000  # at most: a guard, not a corpus
_MAX_HELD_OUT_FILE_BYTES = 40_000  # several files rather than one
_SKIPPED = frozenset(  # tests, other people's code, tables of characters
    "test tests idlelib lib2to3 site-packages dist-packages encodings distutils".split()
)
_NAMED = 5  # files in a message
_SUFFIXES = tuple(end for language in LANGUAGES.values() for end in language.extensions)


def _rules(filters: FilterSettings) -> Rules:
    """Return the rules of a corpus that needs no licence and has no size."""
    recipe = CorpusRecipe(
        own=True, suffixes=_SUFFIXES, repository_bytes=sys.maxsize, filters=filters
    )
    return Rules(recipe=recipe, blocked=frozenset(), overlap=Overlap((), recipe.overlap_words))


_OWN = _rules(FilterSettings(test_keep_frac=1.0))  # own tests are code that is typed there, too
_OTHERS = _rules(FilterSettings(min_bytes=500, test_keep_frac=0.0))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Text(Document):
    """One file that is trained on: LF only, scrubbed; its source is REPOSITORY or GENERAL."""

    content: str = ""  # SHA-256 of the file, before it was scrubbed

    @property
    def n_bytes(self) -> int:
        """Bytes of its text."""
        return len(self.text.encode())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryTexts:
    """The texts of a commit, and what stayed out."""

    texts: tuple[Text, ...]  # by path
    n_seen: int  # tracked files of a known language
    refused: Counter[str]  # files by reason
    scrubbed: Counter[str]  # replacements by kind


def read_repository(repository: Path, commit: str) -> RepositoryTexts:
    """Return what may be learnt from the tree of `commit`; TuneError if it cannot be read."""
    found = collect(Source(name=REPOSITORY, root=repository, commit=commit), _OWN)
    if found.refused:
        raise TuneError(f"{repository} cannot be read at {commit[:12]}; `git fsck` says why")
    refused = Counter(found.refusals)
    scrubbed: Counter[str] = Counter()
    texts, duplicates = [], Duplicates(NEAR_DUPLICATE)
    for file in found.files:
        if reason := duplicates.reason(file.text):
            refused[reason] += 1
        else:
            texts.append(_text_of(REPOSITORY, file))
            scrubbed.update(file.scrubbed)
    return RepositoryTexts(
        texts=tuple(texts), n_seen=found.n_seen, refused=refused, scrubbed=scrubbed
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
    """Return SHA-256 over the sorted (path, content) of texts."""
    lines = sorted(f"{text.path}\0{text.content}\n" for text in texts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _text_of(source: str, file: Kept) -> Text:
    return Text(source=source, path=file.path, text=file.text, content=file.sha256)


def _take_bytes(n_bytes: int, texts: Iterator[Text]) -> Iterator[Text]:
    total = 0
    while total < n_bytes and (text := next(texts, None)):
        total += text.n_bytes
        yield text


def _read_general(folder: Path, seed: int, *, is_held_out: bool) -> Iterator[Text]:
    """Yield the usable files of one part; each is read when it is its turn."""
    filters = _OTHERS.recipe.filters
    paths = [
        path
        for path in _list_visible(folder)
        if is_code(path) and (hash_frac(f"general {path}") < HELD_OUT_FRAC) is is_held_out
    ]
    for path in sorted(paths, key=lambda path: hash_frac(f"order {seed} {path}")):
        try:
            content = read_regular(folder / path, filters.max_bytes)
        except UnreadableFileError:
            continue
        kept = judge_file(path, content, _OTHERS)
        if isinstance(kept, Kept) and not path_reason(path, len(content), filters, ""):
            yield _text_of(GENERAL, kept)


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
