"""The fill-in-the-middle format: the one place that knows the order of the parts.

    {<|file_sep|> path_i \\n snippet_i}*  <|file_sep|> path \\n
    <|fim_prefix|><|fim_suffix|> SUFFIX <|fim_middle|> PREFIX  ->  MIDDLE <|end|>

Suffix first ("SPM", Bavarian et al. 2022): prefix and middle are adjacent, so a keystroke appends a
token or two and everything before it stays cached. Training and serving both call this file. It
joins ids, so a source file that contains a marker's text is ordinary text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from model.tokenizer import Tokenizer

Layout = Literal["spm", "psm"]


@dataclasses.dataclass(frozen=True, slots=True)
class Snippet:
    """Code from another file, shown before the current one."""

    path: str
    text: str


def header(tokenizer: Tokenizer, path: str, text: str = "") -> list[int]:
    """Return ids that name a file; with `text`, a snippet of another file."""
    return [tokenizer.special_id("<|file_sep|>"), *tokenizer.encode(f"{path}\n{text}")]


def prompt(
    tokenizer: Tokenizer,
    header_ids: Sequence[int],
    prefix_ids: Sequence[int],
    suffix_ids: Sequence[int],
    layout: Layout = "spm",
) -> list[int]:
    """Return the ids after which the model writes the middle."""
    fim_prefix = tokenizer.special_id("<|fim_prefix|>")
    fim_suffix = tokenizer.special_id("<|fim_suffix|>")
    fim_middle = tokenizer.special_id("<|fim_middle|>")
    if layout == "spm":
        return [*header_ids, fim_prefix, fim_suffix, *suffix_ids, fim_middle, *prefix_ids]
    return [*header_ids, fim_prefix, *prefix_ids, fim_suffix, *suffix_ids, fim_middle]


def example(
    tokenizer: Tokenizer,
    header_ids: Sequence[int],
    parts: tuple[str, str, str],
    layout: Layout = "spm",
) -> list[int]:
    """Return the training ids of (prefix, middle, suffix), ended by `<|end|>`.

    In SPM, prefix and middle are encoded as one string: encoded apart, their border would teach
    split tokens exactly where serving (which heals the token at the cursor) expects whole ones.
    """
    prefix, middle, suffix = parts
    suffix_ids = tokenizer.encode(suffix)
    if layout == "spm":
        joined = tokenizer.encode(prefix + middle)
        return [*prompt(tokenizer, header_ids, joined, suffix_ids), tokenizer.end_id]
    asked = prompt(tokenizer, header_ids, tokenizer.encode(prefix), suffix_ids, "psm")
    return [*asked, *tokenizer.encode(middle), tokenizer.end_id]


def plain(tokenizer: Tokenizer, header_ids: Sequence[int], text: str) -> list[int]:
    """Return the training ids of left-to-right text, ended by `<|end|>`."""
    return [*header_ids, *tokenizer.encode(text), tokenizer.end_id]
