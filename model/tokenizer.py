"""Text to ids and back: byte-level BPE, run by tiktoken, stored in the tokenizers format.

Lossless for any bytes, but for those that a vocabulary of others lacks. User text is never encoded
to a special id, whatever it contains, so no marker in a buffer can inject one. Knows ids and bytes,
not what the special tokens are for (see `model.fim`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import tiktoken

from model.files import parse_json, read_regular

MAX_FILE_BYTES = 64 << 20  # of a tokenizer.json; the largest known are under 20 MB

SPECIAL_TOKENS = (
    "<|end|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|file_sep|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    *(f"<|spare_{i}|>" for i in range(9)),
)

# How text is cut before byte pairs are merged, by the names llama.cpp gives these patterns. A
# pattern outside this table is refused: llama.cpp could not run the model on text, and a free regex
# from a model folder could be one that never ends.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS: dict[str, str] = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "starcoder": (
        r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d"
        r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "llama-bpe": (
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}  # fmt: skip


_NEEDED_BYTES = {*b"\t\n\r", *range(32, 127), *range(128, 192)}


class TokenizerError(ValueError):
    """A tokenizer file cannot be used; the message says why."""


class Tokenizer:
    """Encode and decode; built from a `tokenizer.json`."""

    start_ids: tuple[int, ...] = ()  # before each prompt

    def __init__(
        self, ranks: dict[bytes, int], specials: dict[str, int], pattern_name: str
    ) -> None:
        """Take token bytes -> id, special text -> id, and the name of a pattern in `PATTERNS`."""
        if pattern_name not in PATTERNS:
            raise TokenizerError(
                f"split pattern {pattern_name!r} is not one of {', '.join(PATTERNS)}"
            )
        self._missing = {byte for byte in range(256) if bytes([byte]) not in ranks}
        if needed := self._missing & _NEEDED_BYTES:
            raise TokenizerError(
                f"the vocabulary lacks byte {min(needed):#04x}: not every text can be encoded"
            )
        if sorted([*ranks.values(), *specials.values()]) != list(range(len(ranks) + len(specials))):
            raise TokenizerError("token ids must be 0..n-1, each used once")
        self.pattern_name = pattern_name
        self.vocab_size = len(ranks) + len(specials)
        self._ranks = {bytes([byte]): ranks[b"?"] for byte in self._missing} | ranks
        self._specials = specials
        self._special_ids = frozenset(specials.values())
        self._bytes: list[bytes] = [b""] * self.vocab_size
        for token, id_ in ranks.items():
            self._bytes[id_] = token
        self._encoding = tiktoken.Encoding(
            f"foretype-{pattern_name}",
            pat_str=PATTERNS[pattern_name],
            mergeable_ranks=ranks,
            special_tokens=specials,
        )

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """Load `tokenizer.json`; TokenizerError says what is wrong with it."""
        try:
            table = parse_json(read_regular(path, MAX_FILE_BYTES))
        except (OSError, ValueError) as error:
            raise TokenizerError(f"cannot read {path}: {error}") from error
        return cls.from_table(table)

    @classmethod
    def from_table(cls, table: Any) -> Tokenizer:
        """Build from a parsed `tokenizer.json`."""
        try:
            vocab: dict[str, int] = table["model"]["vocab"]
            added = {str(entry["content"]): int(entry["id"]) for entry in table["added_tokens"]}
            pattern = _pattern_of(table["pre_tokenizer"])
            ranks = {
                alphabet_bytes(text): int(id_) for text, id_ in vocab.items() if text not in added
            }
            start_ids = _start_ids(table.get("post_processor") or {})
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise TokenizerError(
                f"tokenizer.json is not a byte-level BPE as foretype writes it: {error!r}"
            ) from error
        found = cls(ranks, added, pattern)
        if not set(start_ids) <= found._special_ids:
            raise TokenizerError("tokenizer.json: a text begins with what is no special token")
        found.start_ids = start_ids
        return found

    def encode(self, text: str) -> list[int]:
        """Return ids of ordinary text; special tokens' names in it are plain characters."""
        if self._missing or not text.isascii():
            try:
                text = self._spelled(text, text.encode("utf-8"))
            except UnicodeEncodeError:  # tiktoken would replace a lone surrogate
                return self.encode_bytes(text.encode("utf-8", "surrogatepass"))
        return self._encoding.encode_ordinary(text)

    def _spelled(self, text: str, data: bytes) -> str:
        """Return a text with "?" for characters of whose bytes (`data`) the vocabulary lacks some.

        Those are bytes that no text of its training had: control characters, and no UTF-8.
        """
        if self._missing.isdisjoint(data):
            return text
        return "".join(c if self._missing.isdisjoint(c.encode()) else "?" for c in text)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return ids whose bytes are exactly `data`, valid UTF-8 or not."""
        ids: list[int] = []
        while data:
            try:
                return ids + self.encode(data.decode("utf-8"))
            except UnicodeDecodeError as error:
                ids += self.encode(data[: error.start].decode("utf-8"))
                ids += [self._ranks[bytes([byte])] for byte in data[error.start : error.end]]
                data = data[error.end :]
        return ids

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of `ids`; special tokens have none."""
        return b"".join([self._bytes[id_] for id_ in ids])

    def token_bytes(self, id_: int) -> bytes:
        """Return the bytes of one token, b"" for a special one."""
        return self._bytes[id_]

    def is_special(self, id_: int) -> bool:
        """Say whether `id_` is a marker rather than text."""
        return id_ in self._special_ids

    def add_names(self, names: Mapping[str, int]) -> None:
        """Let special tokens go by these names, too."""
        self._specials = {**self._specials, **names}
        self._special_ids = self._special_ids | frozenset(names.values())

    @property
    def special_names(self) -> Collection[str]:
        """All names that special tokens go by."""
        return self._specials.keys()

    def has_special(self, name: str) -> bool:
        """Say whether there is a special token with this text."""
        return name in self._specials

    def special_id(self, name: str) -> int:
        """Return the id of a special token by its text."""
        try:
            return self._specials[name]
        except KeyError:
            raise TokenizerError(f"the vocabulary has no special token {name}") from None

    @property
    def end_id(self) -> int:
        """Ends a document or a middle."""
        return self.special_id("<|end|>")

    def last_pretoken(self, text: str) -> str:
        """Return the last piece of `text` by the split pattern: what typing on may re-tokenise.

        "" if it cannot be spelled again.
        """
        if not text:
            return ""
        start = max(0, len(text) - 512)  # pieces are short; look at the tail only
        pieces = _compiled(self.pattern_name).findall(text[start:])
        piece = pieces[-1] if pieces else ""
        is_lossy = self._missing and not self._missing.isdisjoint(piece.encode(errors="replace"))
        return "" if is_lossy else piece


def _pattern_of(pre_tokenizer: Any) -> str:
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kinds = [step["type"] for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"]:
        return "starcoder"
    for step in steps:
        if step["type"] not in ("Split", "ByteLevel"):
            raise TokenizerError(f"tokenizer.json: pre-tokenizer {step['type']!r} is not known")
        if step["type"] == "Split":
            regex = step["pattern"]["Regex"]
            for name, pattern in PATTERNS.items():
                if regex == pattern:
                    return name
            raise TokenizerError(
                f"tokenizer.json: split pattern is none of {', '.join(PATTERNS)}: {regex[:80]!r}"
            )
    return "gpt-2"  # ByteLevel alone splits with the GPT-2 pattern


def _start_ids(processor: Any) -> tuple[int, ...]:
    """Return the ids that a text begins with, by the file's own template."""
    for step in processor.get("processors", [processor]):
        if step.get("type") == "TemplateProcessing":
            first = step["single"][0].get("SpecialToken")
            return tuple(map(int, step["special_tokens"][first["id"]]["ids"])) if first else ()
    return ()


# The GPT-2 alphabet: each byte as a printable character, if it can be as itself.
_PRINTABLE = (*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = (byte for byte in range(256) if byte not in _PRINTABLE)
_CHARS = {byte: chr(byte) for byte in _PRINTABLE} | {b: chr(256 + n) for n, b in enumerate(_OTHERS)}
_BYTES = {char: byte for byte, char in _CHARS.items()}


def alphabet_text(token: bytes) -> str:
    """Return bytes as a text in the byte-level alphabet."""
    return "".join(_CHARS[byte] for byte in token)


def alphabet_bytes(text: str) -> bytes:
    """Return the bytes that a text in the byte-level alphabet stands for."""
    return bytes(_BYTES[char] for char in text)


@lru_cache(maxsize=len(PATTERNS))
def _compiled(pattern_name: str) -> Any:
    import regex  # tiktoken's own dependency; loaded late because only healing needs it

    return regex.compile(PATTERNS[pattern_name])
