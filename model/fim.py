"""The fill-in-the-middle formats: the one place that knows the order of the parts.

Our own networks, and those whose vocabulary has the markers of a known family:

    {<|file_sep|> path_i \\n snippet_i}*  <|file_sep|> path \\n
    <|fim_prefix|><|fim_suffix|> SUFFIX <|fim_middle|> PREFIX  ->  MIDDLE <|end|>

Suffix first ("SPM", Bavarian et al. 2022): prefix and middle are adjacent, so a keystroke appends a
token or two and everything before it stays cached. Training and serving both call this file. It
joins ids, so a source file that contains a marker's text is ordinary text. A family that was never
trained suffix first is asked prefix first, and one without markers from left to right.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from model.tokenizer import Tokenizer

# "bare": SUFFIX-marker suffix PREFIX-marker prefix; "left": nothing but the prefix
Layout = Literal["spm", "psm", "bare", "left"]


class FimFormat(NamedTuple):
    """How a family of networks marks the parts: our names of the markers, and theirs."""

    family: str
    layout: Layout
    names: Mapping[str, str]


REPOSITORY = "<|repository|>"  # before the repository's name
PATH_AFTER = "<|path_after|>"  # which the file's own path follows, where that is in the prefix


def _format(
    family: str, layout: Layout, *theirs: str, repository: str = "", path_after: str = ""
) -> FimFormat:
    ours = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>", "<|end|>")
    pairs = [*zip(ours, theirs, strict=True), (REPOSITORY, repository), (PATH_AFTER, path_after)]
    names = {own: their for own, their in pairs if their}
    return FimFormat(family, layout, names)


# prefix, suffix, middle, before a file's path, end of a middle; "": none, or as the file says.
# Suffix first where its authors say they trained so (SantaCoder's order in the "<fim_" families).
FORMATS = (
    _format("foretype", "spm", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
            "<|file_sep|>", "<|end|>"),
    _format("Qwen", "psm", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>",
            "<|endoftext|>", repository="<|repo_name|>"),
    _format("CodeGemma", "psm", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "",
            "<|file_separator|>"),
    _format("Granite 4", "psm", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "",
            "<|end_of_text|>"),
    _format("StarCoder2", "spm", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>",
            "<|endoftext|>", repository="<repo_name>", path_after="<fim_prefix>"),
    _format("Granite", "spm", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "",
            "<|endoftext|>"),
    _format("CodeLlama", "spm", "▁<PRE>", "▁<SUF>", "▁<MID>", "", "▁<EOT>"),
    _format("DeepSeek", "psm", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "", ""),  # noqa: RUF001
    _format("Codestral", "bare", "[PREFIX]", "[SUFFIX]", "", "", ""),
)  # fmt: skip
LEFT_TO_RIGHT = FimFormat("", "left", {})


def find_format(tokens: Collection[str]) -> FimFormat:
    """Return the first format all of whose markers are tokens; left to right if there is none."""
    return next(
        (known for known in FORMATS if all(name in tokens for name in known.names.values())),
        LEFT_TO_RIGHT,
    )


class Snippet(NamedTuple):
    """Code from another file, shown before the current one."""

    path: str
    text: str


def header(tokenizer: Tokenizer, path: str, text: str = "") -> list[int]:
    """Return ids that name a file; with `text`, a snippet of another file.

    None for a vocabulary without a marker for it.
    """
    if not tokenizer.has_special("<|file_sep|>"):
        return []
    ends = _line_end(tokenizer) if text and tokenizer.has_special(REPOSITORY) else ""
    return [tokenizer.special_id("<|file_sep|>"), *tokenizer.encode(f"{path}\n{text}{ends}")]


def repository_header(tokenizer: Tokenizer, name: str) -> list[int]:
    """Return ids that name a repository; none for a vocabulary without a marker for it."""
    if not name or not tokenizer.has_special(REPOSITORY):
        return []
    return [tokenizer.special_id(REPOSITORY), *tokenizer.encode(name + _line_end(tokenizer))]


def _line_end(tokenizer: Tokenizer) -> str:
    """Return what stands before the next marker: StarCoder2's follow at once, Qwen's on a line."""
    return "" if tokenizer.has_special(PATH_AFTER) else "\n"


def prompt(
    tokenizer: Tokenizer,
    header_ids: Sequence[int],
    prefix_ids: Sequence[int],
    suffix_ids: Sequence[int],
    layout: Layout = "spm",
) -> list[int]:
    """Return the ids after which the model writes the middle."""
    before = [*tokenizer.start_ids, *header_ids]
    if layout == "left":
        return [*before, *prefix_ids] or [tokenizer.end_id]  # something must be read
    if header_ids and tokenizer.has_special(PATH_AFTER):
        at = len(before) - before[::-1].index(tokenizer.special_id("<|file_sep|>"))
        before, prefix_ids = before[:at], [*before[at:], *prefix_ids]
    fim_prefix = tokenizer.special_id("<|fim_prefix|>")
    fim_suffix = tokenizer.special_id("<|fim_suffix|>")
    if layout == "bare":
        return [*before, fim_suffix, *suffix_ids, fim_prefix, *prefix_ids]
    fim_middle = tokenizer.special_id("<|fim_middle|>")
    if layout == "spm":
        return [*before, fim_prefix, fim_suffix, *suffix_ids, fim_middle, *prefix_ids]
    return [*before, fim_prefix, *prefix_ids, fim_suffix, *suffix_ids, fim_middle]


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
    if layout != "psm":
        joined = tokenizer.encode(prefix + middle)
        return [*prompt(tokenizer, header_ids, joined, suffix_ids, layout), tokenizer.end_id]
    asked = prompt(tokenizer, header_ids, tokenizer.encode(prefix), suffix_ids, "psm")
    return [*asked, *tokenizer.encode(middle), tokenizer.end_id]


def plain(tokenizer: Tokenizer, header_ids: Sequence[int], text: str) -> list[int]:
    """Return the training ids of left-to-right text, ended by `<|end|>`."""
    return [*tokenizer.start_ids, *header_ids, *tokenizer.encode(text), tokenizer.end_id]
