"""Texts to rows of token ids: chunks, infilling, packing; every draw a function of what is packed.

A row is filled with examples from its start: a document is cut at line borders into chunks that fit
the room left, each with the file's header, so that every row begins with a header and almost
nothing is padding. Documents go in groups; the rows of a group depend on (seed, epoch, group)
alone, so packing can be resumed at any group and spread over processes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assistant.syntax import SyntaxTree
from model import fim
from model.config import ConfigError
from model.tokenizer import Tokenizer
from training.data.corpus import Document, Split
from training.data.infill import Parts, SpanShares, cut
from training.data.syntax_spans import SyntaxPart, tree_of

_SLACK_TOKENS = 8  # a cut text can take a few more tokens than it did in one piece
_MAX_HEADER_TOKENS = 80
_LATE_CUT_FRAC = 0.5  # of the cuts: the later of two, for prefixes nearly as long as in serving
_MIN_CHUNK_TOKENS = 40  # below this an example is nearly all header


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackSettings:
    """How texts become rows."""

    block_size: int = 512  # tokens that are predicted in a row
    spm_frac: float = 0.5  # of the chunks: suffix first
    psm_frac: float = 0.1  # of the chunks: prefix first; the rest is plain text
    suffix_tokens: int = 128  # at most, as in serving
    seed: int = 0
    group_documents: int = 256
    spans: SpanShares = dataclasses.field(default_factory=SpanShares)

    def __post_init__(self) -> None:
        if self.spm_frac < 0 or self.psm_frac < 0 or self.spm_frac + self.psm_frac > 1:
            raise ConfigError(
                f"spm_frac and psm_frac must be shares of one, got {self.spm_frac}, {self.psm_frac}"
            )
        if self.block_size < 4 * _MIN_CHUNK_TOKENS:
            raise ConfigError(
                f"block_size must be at least {4 * _MIN_CHUNK_TOKENS}, got {self.block_size}"
            )
        if not 0 <= self.suffix_tokens <= self.block_size // 2:
            raise ConfigError(
                f"suffix_tokens must be in 0..{self.block_size // 2}, got {self.suffix_tokens}"
            )
        if self.group_documents < 1:
            raise ConfigError(f"group_documents must be at least 1, got {self.group_documents}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """The rows of a group and what is in them."""

    rows: NDArray[np.uint16]  # (n, block_size + 1)
    counts: Counter[str]  # examples by layout, "bytes" of text, "filler" tokens


def n_groups(n_documents: int, settings: PackSettings) -> int:
    """Return into how many groups so many documents fall."""
    return -(-n_documents // settings.group_documents)


def pack_group(
    split: Split, tokenizer: Tokenizer, settings: PackSettings, *, epoch: int, group: int
) -> Packed:
    """Return the rows of one group of documents of an epoch."""
    order = document_order(len(split), settings.seed, epoch)
    first = group * settings.group_documents
    packer = _Packer(tokenizer, settings)
    for index in order[first : first + settings.group_documents]:
        packer.add(split[int(index)], epoch=epoch, number=int(index))
    return packer.packed()


def pack_documents(
    documents: Sequence[Document], tokenizer: Tokenizer, settings: PackSettings, *, epoch: int = 0
) -> Packed:
    """Return the rows of documents in the order given."""
    packer = _Packer(tokenizer, settings)
    for number, document in enumerate(documents):
        packer.add(document, epoch=epoch, number=number)
    return packer.packed()


def document_order(n_documents: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits the documents."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 1], counter=[0, 0, 0, epoch]))
    return rng.permutation(n_documents)


class _Packer:
    """Fills rows with the chunks of documents, one document after another."""

    def __init__(self, tokenizer: Tokenizer, settings: PackSettings) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._width = settings.block_size + 1
        self._rows: list[NDArray[np.uint16]] = []
        self._row: list[int] = []
        self._counts: Counter[str] = Counter()

    def add(self, document: Document, *, epoch: int, number: int) -> None:
        """Cut one document into chunks and pack them."""
        text = _Chunks(document, self._tokenizer, self._settings.spans)
        line = n_chunk = 0
        while line < text.n_lines:
            rng = _chunk_rng(self._settings.seed, epoch, number, n_chunk)
            n_chunk += 1
            line = self._add_chunk(text, line, rng)
        self._counts["bytes"] += len(document.text.encode())
        self._counts["documents"] += 1

    def packed(self) -> Packed:
        """Return the full rows; a last one that is not full is left out."""
        rows = np.stack(self._rows) if self._rows else np.zeros((0, self._width), np.uint16)
        return Packed(rows=rows, counts=self._counts)

    def _add_chunk(self, text: _Chunks, line: int, rng: np.random.Generator) -> int:
        """Pack one chunk that starts at `line`; return the line to go on with."""
        room = self._width - len(self._row)
        budget = room - len(text.header) - 4 - _SLACK_TOKENS
        end_line = text.fitting(line, budget)
        is_short = end_line < text.n_lines and text.n_tokens(line, end_line) < _MIN_CHUNK_TOKENS
        if end_line == line or is_short:
            if self._row:
                self._fill(text, line)
                return line
            if end_line == line:  # longer than a whole row: its head alone
                self._fill(text, line)
                return line + 1
        layout = _layout(rng.random(), self._settings)
        if layout != "plain":
            ids, next_line = text.infill(line, end_line, layout, self._suffix_budget(rng), rng)
            # a line longer than the hole and its suffix would lose its end: it goes as plain text
            if len(ids) <= room and next_line > line:
                self._push(ids)
                self._counts[layout] += 1
                return next_line
        self._push(text.plain(line, end_line)[:room])
        self._counts["plain"] += 1
        return end_line

    def _suffix_budget(self, rng: np.random.Generator) -> int:
        """Usually the serving budget; sometimes less, for cursors with little or nothing below."""
        largest = self._settings.suffix_tokens
        return largest if rng.random() < 0.7 else int(rng.integers(0, largest + 1))

    def _fill(self, text: _Chunks, line: int) -> None:
        """Fill the row's last tokens with text that is used again at the next row's start."""
        room = self._width - len(self._row)
        end_line = min(text.fitting(line, room) + 1, text.n_lines)
        ids = text.plain(line, end_line)[:room]
        self._counts["filler"] += room
        self._push(ids + [self._tokenizer.end_id] * (room - len(ids)))

    def _push(self, ids: list[int]) -> None:
        self._row += ids
        assert len(self._row) <= self._width, len(self._row)
        if len(self._row) == self._width:
            self._rows.append(np.array(self._row, np.uint16))
            self._row = []


class _Chunks:
    """One document's lines, with the token count up to each of them."""

    def __init__(self, document: Document, tokenizer: Tokenizer, spans: SpanShares) -> None:
        self._tokenizer = tokenizer
        self._spans = spans
        self._document = document
        self.header = _header(tokenizer, document.path)
        self._lines = _split_at_newlines(document.text)
        self.n_lines = len(self._lines)
        self._starts = [0, *itertools.accumulate(map(len, self._lines))]  # of lines, in characters
        sizes = np.array([len(line.encode()) for line in self._lines], np.int64)
        ids = tokenizer.encode(document.text)
        ends = np.cumsum([len(tokenizer.token_bytes(id_)) for id_ in ids])
        borders = np.concatenate([[0], np.cumsum(sizes)])
        # Tokens that end at or before each line border; a token across it counts to the next line.
        self._tokens_before: NDArray[np.int64] = np.searchsorted(ends, borders, side="right")

    def n_tokens(self, line: int, end_line: int) -> int:
        """Return about how many tokens the lines have."""
        return int(self._tokens_before[end_line] - self._tokens_before[line])

    def fitting(self, line: int, budget_tokens: int) -> int:
        """Return the end of the longest run of lines from `line` on that fits."""
        limit = self._tokens_before[line] + max(0, budget_tokens)
        return max(line, int(np.searchsorted(self._tokens_before, limit, side="right")) - 1)

    def plain(self, line: int, end_line: int) -> list[int]:
        """Return the ids of lines as plain text; `<|end|>` follows only the document's last."""
        text = "".join(self._lines[line:end_line])
        ids = fim.plain(self._tokenizer, self.header, text)
        return ids if end_line == self.n_lines else ids[:-1]

    def infill(
        self,
        line: int,
        end_line: int,
        layout: fim.Layout,
        suffix_tokens: int,
        rng: np.random.Generator,
    ) -> tuple[list[int], int]:
        """Return the ids of lines with a hole, and the first line that is not wholly in them."""
        text = "".join(self._lines[line:end_line])
        syntax = self._syntax(line, end_line)
        parts = cut(text, rng, self._spans, syntax)
        if rng.random() < _LATE_CUT_FRAC:
            other = cut(text, rng, self._spans, syntax)
            parts = max(parts, other, key=lambda cut_parts: len(cut_parts.prefix))
        suffix = _first_tokens(self._tokenizer, parts.suffix, suffix_tokens)
        ids = fim.example(
            self._tokenizer, self.header, (parts.prefix, parts.middle, suffix), layout
        )
        return ids, self._line_after(Parts(parts.prefix, parts.middle, suffix), line)

    def _syntax(self, line: int, end_line: int) -> SyntaxPart | None:
        tree = self._tree if self._spans.by_syntax else None
        if tree is None:
            return None
        return SyntaxPart(tree, self._starts[line], self._starts[end_line])

    @functools.cached_property
    def _tree(self) -> SyntaxTree | None:
        """The document's tree; parsed when the first hole is cut."""
        return tree_of(self._document.path, self._document.text)

    def _line_after(self, parts: Parts, line: int) -> int:
        n_chars = len(parts.prefix) + len(parts.middle) + len(parts.suffix)
        following = line
        while following < self.n_lines and n_chars >= len(self._lines[following]):
            n_chars -= len(self._lines[following])
            following += 1
        return following


def _header(tokenizer: Tokenizer, path: str) -> list[int]:
    """Return the header; of an endless path only the end, or rows would hold nothing else."""
    ids = fim.header(tokenizer, path)
    if len(ids) <= _MAX_HEADER_TOKENS:
        return ids
    return fim.header(tokenizer, path[-_MAX_HEADER_TOKENS // 4 :])


def _split_at_newlines(text: str) -> list[str]:
    """Split after each LF only; str.splitlines would split at form feeds too."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _first_tokens(tokenizer: Tokenizer, text: str, n_tokens: int) -> str:
    """Return the longest head of `text` within so many tokens, whole characters only."""
    ids = tokenizer.encode(text)
    if len(ids) <= n_tokens:
        return text
    return tokenizer.decode_bytes(ids[:n_tokens]).decode("utf-8", "ignore")


def _layout(draw: float, settings: PackSettings) -> fim.Layout | Literal["plain"]:
    if draw < settings.spm_frac:
        return "spm"
    return "psm" if draw < settings.spm_frac + settings.psm_frac else "plain"


def _chunk_rng(seed: int, epoch: int, number: int, n_chunk: int) -> np.random.Generator:
    """Return the generator of one chunk: a function of its place, not of what was drawn before."""
    return np.random.Generator(np.random.Philox(key=[seed, 2], counter=[0, n_chunk, number, epoch]))
