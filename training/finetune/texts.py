"""What may be trained on: a repository's tracked code at one commit, and general code beside it.

The repository is read as a corpus is (`training.data.collect`), each text once. General code is by
default the standard library of the Python that runs: some is replayed while tuning, other files
guard the result, and which is a function of a file's path alone. Refusals are counted by reason,
and secrets and personal data are replaced; a text in which a second scan still finds some is an
error. All is written once, with a summary, first: going on later needs no repository.

Rows of token ids have fresh holes each epoch, and general code among the repository's own.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
import os
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assistant.path_patterns import matches
from assistant.privacy.redaction import redact
from assistant.source.languages import LANGUAGES
from model.files import UnreadableFileError, read_regular
from model.folder import FolderInfo
from model.tokenizer import Tokenizer
from training.data.collect import Kept, Rules, collect, judge_file
from training.data.decontaminate import Duplicates, Overlap
from training.data.filters import hash_frac, path_reason
from training.data.progress import count_shown
from training.data.rows import CrossFileSnippets, PackSettings, pack_documents
from training.data.shards import ShardReader, ShardWriter
from training.data.sources import Source
from training.errors import TuneError
from training.evaluation.replay.history import is_code
from training.recipe import CorpusRecipe, FilterSettings

if TYPE_CHECKING:
    from training.finetune.plan import TunePlan

MIN_TOKENS = 20_000  # of the repository's code: below, a network learns its names and no more

#: what was read and what stayed out, as JSON: figures and reasons, no code
DataSummary = dict[str, Any]
GENERAL_FRAC = 0.25  # of the tokens, against forgetting
_SNIPPET_FRAC = 0.5  # of the chunks, where the base has learnt to read snippets
_MIN_BLOCK = 160  # tokens; shorter rows hold no hole worth learning
_DRAWS = 5  # names the random numbers of the order
REPOSITORY, GENERAL = "repository", "general"  # sources: where a text is from
NEAR_DUPLICATE = 0.8  # Jaccard similarity of runs of five words, as for a corpus
HELD_OUT_FRAC = 0.2  # of the files of general code
HELD_OUT_BYTES = 120_000  # at most: a guard, not a corpus
_MAX_HELD_OUT_FILE_BYTES = 40_000  # several files rather than one
_SKIPPED = frozenset(  # tests, other people's code, tables of characters
    "test tests idlelib lib2to3 site-packages dist-packages encodings distutils".split()
)
_NAMED = 5  # files in a message
_SUFFIXES = tuple(end for language in LANGUAGES.values() for end in language.extensions)


class RepositoryTexts(NamedTuple):
    """The texts of a commit, and what stayed out."""

    texts: tuple[Kept, ...]  # by path
    n_seen: int  # tracked files of a known language
    refused: Counter[str]  # files by reason
    scrubbed: Counter[str]  # replacements by kind


def read_repository(
    repository: Path, commit: str, exclude: tuple[str, ...] = ()
) -> RepositoryTexts:
    """Return what may be learnt from the tree of `commit`; TuneError if it cannot be read."""
    found = collect(Source(name=REPOSITORY, root=repository, commit=commit), _OWN)
    if found.refused:
        raise TuneError(f"{repository} cannot be read at {commit[:12]}; `git fsck` says why")
    refused = Counter(found.refusals)
    scrubbed: Counter[str] = Counter()
    texts, duplicates = [], Duplicates(NEAR_DUPLICATE)
    for file in found.files:
        if matches(f"{repository.name}/{file.path}", exclude):
            refused["excluded by the settings"] += 1
        elif reason := duplicates.reason(file.text):
            refused[reason] += 1
        else:
            texts.append(file)
            scrubbed.update(file.scrubbed)
    return RepositoryTexts(
        texts=tuple(texts), n_seen=found.n_seen, refused=refused, scrubbed=scrubbed
    )


def draw_replay(folder: Path, n_bytes: int, *, seed: int = 0) -> list[Kept]:
    """Return general code to replay, in a random order, of about `n_bytes` in all if there are."""
    return list(_take_bytes(n_bytes, _read_general(folder, seed, is_held_out=False)))


def draw_held_out(folder: Path) -> list[Kept]:
    """Return the general code that guards; TuneError if the folder holds none."""
    texts = _read_general(folder, 0, is_held_out=True)
    small = (text for text in texts if len(text.text) <= _MAX_HELD_OUT_FILE_BYTES)
    if not (chosen := list(_take_bytes(HELD_OUT_BYTES, small))):
        raise TuneError(
            f"{folder} holds too few source files to measure whether general code is forgotten; "
            "name another folder with --general"
        )
    return chosen


def require_clean(texts: Iterable[Kept]) -> None:
    """Scan for secrets a second time, in what is about to be trained on; TuneError names files."""
    if found := [text.path for text in texts if redact(text.text)[1]]:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise TuneError(
            f"secrets are left in {', '.join(found[:_NAMED])}{more}: take them out of the "
            "repository (and out of use), commit, and run this again"
        )


def hash_texts(texts: Iterable[Kept]) -> str:
    """Return SHA-256 over the sorted (path, SHA-256) of texts."""
    lines = sorted(f"{text.path}\0{text.sha256}\n" for text in texts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _take_bytes(n_bytes: int, texts: Iterator[Kept]) -> Iterator[Kept]:
    total = 0
    while total < n_bytes and (text := next(texts, None)):
        total += text.n_bytes
        yield text


def _read_general(folder: Path, seed: int, *, is_held_out: bool) -> Iterator[Kept]:
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
        kept = judge_file(GENERAL, path, content, _OTHERS, [])
        if isinstance(kept, Kept) and not path_reason(path, len(content), filters, ""):
            yield kept


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


def _rules(filters: FilterSettings) -> Rules:
    """Return the rules of a corpus that needs no licence and has no size."""
    recipe = CorpusRecipe(
        own=True, suffixes=_SUFFIXES, repository_bytes=sys.maxsize, filters=filters
    )
    return Rules(recipe=recipe, blocked=frozenset(), overlap=Overlap((), recipe.overlap_words))


_OWN = _rules(FilterSettings(test_keep_frac=1.0))  # own tests are code that is typed there, too
_OTHERS = _rules(FilterSettings(min_bytes=500, test_keep_frac=0.0))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuneTexts:
    """The texts of a run: each epoch reads the repository's whole, and a share of general code."""

    own: tuple[Kept, ...]
    general: tuple[Kept, ...]
    held_out: tuple[Kept, ...] = ()  # general code that judges
    summary: DataSummary = dataclasses.field(default_factory=dict)

    @property
    def n_own_bytes(self) -> int:
        """Bytes of the repository's code."""
        return sum(text.n_bytes for text in self.own)

    @property
    def n_general_bytes(self) -> int:
        """Bytes of general code that an epoch reads."""
        return round(self.n_own_bytes * GENERAL_FRAC / (1.0 - GENERAL_FRAC))

    @property
    def judging(self) -> list[tuple[str, str]]:
        """The general code that judges, as (path, text)."""
        return [(text.path, text.text) for text in self.held_out]

    def epoch(self, epoch: int, seed: int) -> list[Kept]:
        """Return an epoch's documents, shuffled."""
        texts = [*self.own, *_take_turn(self.general, self.n_general_bytes, epoch)]
        draws = np.random.Generator(np.random.Philox(key=[seed, _DRAWS], counter=[0, 0, 0, epoch]))
        return [texts[i] for i in draws.permutation(len(texts))]

    def snippets(self) -> CrossFileSnippets:
        """Return the snippet source: all files of a text's source, whichever an epoch reads."""
        own = [(text.path, text.text) for text in self.own]
        general = [(text.path, text.text) for text in self.general]
        return CrossFileSnippets(lambda source: general if source == GENERAL else own)


def pack_settings(info: FolderInfo, *, seed: int) -> PackSettings:
    """Return how rows for a base are made: in its layout, with its budgets."""
    block_size = info.block_size
    if block_size < _MIN_BLOCK:
        raise TuneError(
            f"the base {info.name} reads {block_size} tokens at once; at least {_MIN_BLOCK} are "
            "needed to tune it: take another base with --model"
        )
    # Of the chunks: the layout that it is asked in, and the other; "left" has plain text alone.
    shares = {"spm": (0.65, 0.05), "psm": (0.05, 0.65), "left": (0.0, 0.0)}
    if info.fim_layout not in shares:
        raise TuneError(f"rows in the format of {info.name} are not made: take another base")
    spm_frac, psm_frac = shares[info.fim_layout]
    return PackSettings(
        block_size=block_size,
        spm_frac=spm_frac,
        psm_frac=psm_frac,
        short_frac=0.3,
        suffix_tokens=min(info.suffix_tokens, block_size // 2),
        snippet_frac=_SNIPPET_FRAC if info.snippet_tokens else 0.0,
        snippet_tokens=min(info.snippet_tokens, block_size // 2),
        seed=seed,
    )


def write_rows(
    folder: Path, texts: TuneTexts, tokenizer: Tokenizer, settings: PackSettings, *, n_epochs: int
) -> None:
    """Write the rows of each epoch as shards `folder/epoch-N`."""
    snippets = texts.snippets()
    for epoch in count_shown("epochs packed", range(n_epochs), n_epochs):
        documents = texts.epoch(epoch, settings.seed)
        packed = pack_documents(documents, tokenizer, settings, epoch=epoch, neighbours=snippets)
        if not len(packed.rows):
            raise TuneError("the repository's code does not fill one row; there is too little")
        shards = epoch_folder(folder, epoch)
        shards.mkdir(parents=True)
        with ShardWriter(
            shards, block_size=settings.block_size, vocab_size=tokenizer.vocab_size
        ) as writer:
            writer.add(packed.rows)
            writer.description = {"counts": dict(sorted(packed.counts.items()))}


def count_rows(folder: Path, n_epochs: int) -> tuple[int, ...]:
    """Return how many rows each epoch has."""
    return tuple(len(ShardReader(epoch_folder(folder, epoch))) for epoch in range(n_epochs))


def epoch_folder(folder: Path, epoch: int) -> Path:
    """Return where an epoch's rows are; epochs count from 0."""
    return folder / f"epoch-{epoch}"


def _take_turn(texts: Sequence[Kept], n_bytes: int, epoch: int) -> Iterator[Kept]:
    """Yield texts of `n_bytes` in all, each epoch others as long as there are; the last is cut."""
    starts = list(itertools.accumulate((text.n_bytes for text in texts), initial=0))
    skip = epoch * n_bytes % max(1, starts[-1])
    first = max(0, bisect.bisect_right(starts, skip) - 1)
    for text in (*texts[first:], *texts):
        if text.n_bytes > n_bytes:
            if short := text.text[: text.text.rfind("\n", 0, n_bytes) + 1]:
                yield dataclasses.replace(text, text=short)
            return
        yield text
        n_bytes -= text.n_bytes


def gather(plan: TunePlan, tokenizer: Tokenizer) -> TuneTexts:
    """Read the repository and the general code; TuneError if there is too little, or secrets."""
    found = read_repository(Path(plan.root), plan.split.trained_to, plan.options.exclude)
    require_clean(found.texts)
    n_tokens = sum(len(tokenizer.encode(text.text)) for text in found.texts)
    if n_tokens < MIN_TOKENS:
        raise TuneError(
            f"there are {n_tokens} tokens of code to learn from, {MIN_TOKENS} are needed; the "
            "index alone knows so little code by heart"
        )
    folder = Path(plan.options.general or sysconfig.get_path("stdlib"))
    made = TuneTexts(own=found.texts, general=())
    n_replayed = made.n_general_bytes * plan.options.n_epochs
    replayed = tuple(draw_replay(folder, n_replayed, seed=plan.options.seed))
    held_out = tuple(draw_held_out(folder))
    require_clean([*replayed, *held_out])
    version = ".".join(map(str, sys.version_info[:3]))
    summary = {
        "n_seen": found.n_seen,  # tracked files
        "n_files": len(found.texts),  # of them trained on
        "n_bytes": made.n_own_bytes,
        "n_tokens": n_tokens,
        "refused": dict(found.refused.most_common()),
        "scrubbed": dict(found.scrubbed.most_common()),
        "data_hash": hash_texts(found.texts),
        "general": plan.options.general or f"the standard library of Python {version}",
        "n_general_bytes": made.n_general_bytes,  # an epoch
        "general_hash": hash_texts(replayed),
    }
    return dataclasses.replace(made, general=replayed, held_out=held_out, summary=summary)


def describe_code(summary: DataSummary) -> str:
    """Say in a line how much is trained on."""
    n_files, n_bytes, n_tokens = (summary[name] for name in ("n_files", "n_bytes", "n_tokens"))
    return f"{n_files} files, {n_bytes / 1000:.0f} kB, about {n_tokens} tokens"
