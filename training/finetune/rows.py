"""Texts to rows of token ids: fresh holes each epoch, general code among the repository's own.

How a row is made is `training.data.rows`'s business. Knows no network.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model.folder import FolderInfo
from model.tokenizer import Tokenizer
from training.data.progress import count_shown
from training.data.rows import CrossFileSnippets, PackSettings, pack_documents
from training.data.shards import ShardReader, ShardWriter
from training.errors import TuneError
from training.finetune.texts import GENERAL, Text

GENERAL_FRAC = 0.25  # of the tokens, against forgetting
_SNIPPET_FRAC = 0.5  # of the chunks, where the base has learnt to read snippets
_MIN_BLOCK = 160  # tokens; shorter rows hold no hole worth learning
_DRAWS = 5  # names the random numbers of the order


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """What each epoch reads: the repository's code whole, and a share of general code."""

    own: tuple[Text, ...]
    general: tuple[Text, ...]

    @property
    def n_own_bytes(self) -> int:
        """Bytes of the repository's code."""
        return sum(text.n_bytes for text in self.own)

    @property
    def n_general_bytes(self) -> int:
        """Bytes of general code that an epoch reads."""
        return round(self.n_own_bytes * GENERAL_FRAC / (1.0 - GENERAL_FRAC))

    def documents(self, epoch: int, seed: int) -> list[Text]:
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
    folder: Path,
    mixture: Mixture,
    tokenizer: Tokenizer,
    settings: PackSettings,
    *,
    n_epochs: int,
) -> None:
    """Write the rows of each epoch as shards `folder/epoch-N`."""
    snippets = mixture.snippets()
    for epoch in count_shown("epochs packed", range(n_epochs), n_epochs):
        documents = mixture.documents(epoch, settings.seed)
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


def _take_turn(texts: Sequence[Text], n_bytes: int, epoch: int) -> Iterator[Text]:
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
