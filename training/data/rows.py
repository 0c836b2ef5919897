"""Texts to rows of token ids: chunks, infilling, packing; every draw a function of what is packed.

A row is filled with examples from its start: a document is cut at line borders into chunks that fit
the room left, each with the file's header, some with snippets of other files before it. So every
row begins with a header and almost nothing is padding. Documents go in groups; the rows of a group
depend on (seed, epoch, group) and on the split alone, so packing can be resumed at any group and
spread over processes. The other files of a document's repository are asked for snippets as the
editor would ask.
"""

import bisect
import dataclasses
import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.generate.prompt import snippet_chars, snippet_header
from assistant.snippets.search import SnippetSearch
from assistant.source.syntax import SyntaxTree
from model import fim
from model.config import ConfigError
from model.fim import Snippet
from model.tokenizer import Tokenizer
from training.data.corpus import Document, Split
from training.data.shards import TokenIds, ids_dtype
from training.data.spans import InfillParts, cut_hole, tree_of
from training.recipe import require

_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # str.splitlines would split at form feeds, too
_MAX_HEADER_TOKENS = 80
_LATE_CUT_FRAC = 0.5  # of the cuts: the later of two, for prefixes nearly as long as in serving
_CUTS = 4  # at most, to find a hole whose end can be seen
_FRESH_FRAC = 0.4  # of the snippets: chosen just before the cursor's line was begun
_STALE_LINES = 15  # of the others, chosen before at most so many lines were written
#: what recipes and commands call the shares of PackSettings
SHARES = {
    "spm": "spm_frac", "psm": "psm_frac", "short": "short_frac", "snippets": "snippet_frac",
}  # fmt: skip
_SLACK_TOKENS = 8  # a cut text can take a few more tokens than it did in one piece
_MIN_CHUNK_TOKENS = 40  # below this an example is nearly all header
_SHORTEST_TOKENS = 96  # of a chunk that is cut short to make room for more holes
_FULL_FRAC = 0.7  # of the suffixes and snippets have their whole budget, as in serving


class Chunks:
    """One document's lines, with the token count up to each of them."""

    def __init__(self, document: Document, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.document = document
        self.path = shown_path(tokenizer, document.path)
        self.header = fim.header(tokenizer, self.path)
        self._lines = _LINE.findall(document.text)
        self.n_lines = len(self._lines)
        self.starts = [0, *itertools.accumulate(map(len, self._lines))]  # of lines, in characters
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

    def cut(self, line: int, end_line: int, rng: np.random.Generator) -> InfillParts:
        """Cut a hole; one of several lines that ends where only the chunk does is cut again."""
        text = "".join(self._lines[line:end_line])
        is_late = rng.random() < _LATE_CUT_FRAC
        for _ in range(_CUTS):
            parts = cut_hole(text, rng, self._tree, self.starts[line])
            if is_late:
                other = cut_hole(text, rng, self._tree, self.starts[line])
                parts = max(parts, other, key=lambda cut_parts: len(cut_parts.prefix))
            if parts.suffix.strip() or "\n" not in parts.middle or end_line == self.n_lines:
                break
        return parts

    def line_after(self, line: int, n_chars: int) -> int:
        """Return the first line that is not wholly in the characters from the start of `line`."""
        return bisect.bisect_right(self.starts, self.starts[line] + n_chars) - 1

    @functools.cached_property
    def _tree(self) -> SyntaxTree | None:
        """The document's tree; parsed when the first hole is cut."""
        return tree_of(self.document.path, self.document.text)


def shown_path(tokenizer: Tokenizer, path: str) -> str:
    """Return the path for the header; an endless one would fill the row, so only its end."""
    if len(fim.header(tokenizer, path)) <= _MAX_HEADER_TOKENS:
        return path
    return path[-_MAX_HEADER_TOKENS // 4 :]


def first_tokens(tokenizer: Tokenizer, text: str, n_tokens: int) -> str:
    """Return the longest head of `text` within so many tokens, whole characters only."""
    ids = tokenizer.encode(text)
    if len(ids) <= n_tokens:
        return text
    return tokenizer.decode_bytes(ids[:n_tokens]).decode("utf-8", "ignore")


class CrossFileSnippets:
    """Finds snippets for holes in documents of several repositories."""

    def __init__(self, files_of: Callable[[str], Iterable[tuple[str, str]]]) -> None:
        """Take what returns (path, text) of the files of a repository."""
        self._search_of = functools.cache(lambda source: SnippetSearch(files_of(source)))

    def snippets(
        self, document: Document, hole: tuple[int, int], budget_chars: int, rng: np.random.Generator
    ) -> list[Snippet]:
        """Return snippets for the hole at [start, end) of a document.

        The editor keeps its choice while lines are written, so what is shown was often chosen
        before the last lines stood there; never is the hole itself looked at.
        """
        start, end = hole
        n_lines = 0 if rng.random() < _FRESH_FRAC else int(rng.integers(1, _STALE_LINES + 1))
        lines = document.text[:start].split("\n")[: -1 - n_lines]  # above the cursor's, or fewer
        return self._search_of(document.source).snippets(
            path=document.path,
            before="".join(line + "\n" for line in lines),
            after=document.text[end:],
            budget_chars=budget_chars,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackSettings:
    """How texts become rows."""

    block_size: int = 512  # tokens that are predicted in a row
    spm_frac: float = 0.5  # of the chunks: suffix first
    psm_frac: float = 0.1  # of the chunks: prefix first; the rest is plain text
    short_frac: float = 0.0  # of the chunks are shorter than a row has room for: more holes
    suffix_tokens: int = 128  # at most, as in serving
    snippet_frac: float = 0.4  # of the chunks: with code from other files; never plain text
    snippet_tokens: int = -1  # of those together, as in serving; below 0: a quarter of a row
    padded: bool = False  # one chunk a row, padding behind it: what packing saves
    seed: int = 0
    group_documents: int = 256

    def __post_init__(self) -> None:
        if self.spm_frac < 0 or self.psm_frac < 0 or self.spm_frac + self.psm_frac > 1:
            raise ConfigError(
                f"spm_frac and psm_frac must be shares of one, got {self.spm_frac}, {self.psm_frac}"
            )
        require(self, "", "block_size", 4 * _MIN_CHUNK_TOKENS)
        require(self, "", "short_frac snippet_frac", 0, 1)
        if self.snippet_tokens < 0:
            object.__setattr__(self, "snippet_tokens", self.block_size // 4)
        require(self, "", "suffix_tokens snippet_tokens", 0, self.block_size // 2)
        require(self, "", "group_documents", 1)


class Packed(NamedTuple):
    """The rows of a group and what is in them."""

    rows: TokenIds  # (n, block_size + 1)
    counts: Counter[str]  # examples by layout, "bytes" of text, "filler" tokens


def n_groups(n_documents: int, settings: PackSettings) -> int:
    """Return into how many groups so many documents fall."""
    return -(-n_documents // settings.group_documents)


def pack_group(
    split: Split,
    tokenizer: Tokenizer,
    settings: PackSettings,
    *,
    epoch: int,
    group: int,
    neighbours: CrossFileSnippets,
) -> Packed:
    """Return the rows of one group of documents of an epoch; `neighbours` are the split's own."""
    order = document_order(len(split), settings.seed, epoch)
    first = group * settings.group_documents
    packer = _Packer(tokenizer, settings, neighbours)
    for index in order[first : first + settings.group_documents]:
        packer.add(split[int(index)], epoch=epoch, number=int(index))
    return packer.packed()


def pack_documents(
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    settings: PackSettings,
    *,
    epoch: int,
    neighbours: CrossFileSnippets,
) -> Packed:
    """Return the rows of documents in the order given."""
    packer = _Packer(tokenizer, settings, neighbours)
    for number, document in enumerate(documents):
        packer.add(document, epoch=epoch, number=number)
    return packer.packed()


def document_order(n_documents: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits the documents."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 1], counter=[0, 0, 0, epoch]))
    return rng.permutation(n_documents)


class _Packer:
    """Fills rows with the chunks of documents, one document after another."""

    def __init__(
        self, tokenizer: Tokenizer, settings: PackSettings, neighbours: CrossFileSnippets
    ) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._neighbours = neighbours
        self._width = settings.block_size + 1
        self._dtype = ids_dtype(tokenizer.vocab_size)
        self._rows: list[TokenIds] = []
        self._row: list[int] = []
        self._counts: Counter[str] = Counter()

    def add(self, document: Document, *, epoch: int, number: int) -> None:
        """Cut one document into chunks and pack them."""
        settings = self._settings
        text = Chunks(document, self._tokenizer)
        line = n_chunk = 0
        while line < text.n_lines:
            # A function of the chunk's place, not of what was drawn before.
            place = [0, n_chunk, number, epoch]
            rng = np.random.Generator(np.random.Philox(key=[settings.seed, 2], counter=place))
            n_chunk += 1
            line = self._add_chunk(text, line, rng)
            if settings.padded and (room := -len(self._row) % self._width):
                self._counts["padding"] += room
                self._push([self._tokenizer.special_id("<|fim_pad|>")] * room)
        self._counts["bytes"] += len(document.text.encode())
        self._counts["documents"] += 1

    def packed(self) -> Packed:
        """Return the full rows; a last one that is not full is left out."""
        rows = np.stack(self._rows) if self._rows else np.zeros((0, self._width), self._dtype)
        return Packed(rows=rows, counts=self._counts)

    def _add_chunk(self, text: Chunks, line: int, rng: np.random.Generator) -> int:
        """Pack one chunk that starts at `line`; return the line to go on with."""
        settings = self._settings
        room = self._width - len(self._row)
        budget = room - len(text.header) - 4 - _SLACK_TOKENS
        draw, holes_frac = rng.random(), settings.spm_frac + settings.psm_frac
        layout: fim.Layout | Literal["plain"] = "psm" if draw < holes_frac else "plain"
        layout = "spm" if draw < settings.spm_frac else layout
        # Only chunks with a hole have snippets: a larger share of those.
        snippet_frac = min(1.0, settings.snippet_frac / holes_frac) if holes_frac else 0.0
        asked = settings.snippet_tokens if rng.random() < snippet_frac else 0
        snippet_tokens = min(self._draw_budget(asked, rng), max(0, budget - 2 * _MIN_CHUNK_TOKENS))
        if layout == "plain":
            snippet_tokens = 0
        end_line = text.fitting(line, self._shorten(budget - snippet_tokens, rng))
        is_short = end_line < text.n_lines and text.n_tokens(line, end_line) < _MIN_CHUNK_TOKENS
        if end_line == line or is_short:
            if self._row:
                self._fill(text, line)
                return line
            if end_line == line:  # longer than a whole row: its head alone
                self._fill(text, line)
                return line + 1
        if layout != "plain":
            next_line = self._add_infill(text, (line, end_line), layout, snippet_tokens, rng)
            if next_line > line:
                return next_line
        self._push(text.plain(line, end_line)[:room])
        self._counts["plain"] += 1
        return end_line

    def _add_infill(
        self,
        text: Chunks,
        lines: tuple[int, int],
        layout: fim.Layout,
        snippet_tokens: int,
        rng: np.random.Generator,
    ) -> int:
        """Pack lines with a hole and return the line to go on with; `lines[0]` if that failed."""
        prefix, middle, rest = text.cut(*lines, rng)
        suffix_tokens = self._settings.suffix_tokens
        # Where a hole of several lines ends, only what follows can tell.
        if "\n" not in middle.rstrip():
            suffix_tokens = self._draw_budget(suffix_tokens, rng)
        suffix = first_tokens(self._tokenizer, rest, suffix_tokens)
        header = text.header
        if snippet_tokens:
            start = text.starts[lines[0]] + len(prefix)
            hole, n_chars = (start, start + len(middle)), snippet_chars(snippet_tokens)
            snippets = self._neighbours.snippets(text.document, hole, n_chars, rng)
            header = snippet_header(self._tokenizer, text.path, snippets, snippet_tokens)
        n_shown = len(header) - len(text.header)
        ids = fim.example(self._tokenizer, header, (prefix, middle, suffix), layout)
        next_line = text.line_after(lines[0], len(prefix) + len(middle) + len(suffix))
        # A line longer than the hole and its suffix would lose its end: it goes as plain text.
        if len(ids) > self._width - len(self._row) or next_line <= lines[0]:
            return lines[0]
        self._push(ids)
        self._counts[layout] += 1
        self._counts["with snippets"] += n_shown > 0
        self._counts["snippet tokens"] += n_shown
        return next_line

    def _draw_budget(self, largest: int, rng: np.random.Generator) -> int:
        """Return the budget of serving, or often enough less, for cursors that have less."""
        return largest if rng.random() < _FULL_FRAC else int(rng.integers(0, largest + 1))

    def _shorten(self, budget: int, rng: np.random.Generator) -> int:
        """Return the room of a chunk: some use less than there is."""
        if rng.random() >= self._settings.short_frac or budget <= _SHORTEST_TOKENS:
            return budget
        return _SHORTEST_TOKENS + int((budget - _SHORTEST_TOKENS) * rng.random() ** 2)

    def _fill(self, text: Chunks, line: int) -> None:
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
            self._rows.append(np.array(self._row, self._dtype))
            self._row = []
