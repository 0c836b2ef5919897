"""What a change leaves unused: the import of a name whose last use was taken away."""

import re
from collections.abc import Iterator, Sequence

from assistant.edits.history import Edit
from assistant.edits.patterns import split_tokens

_IMPORT = re.compile(r"\s*(?:from\s|import\b|use\s|(?:const|let|var)\s.*=\s*require\()")
MAX_LIST_LINES = 60  # of an import over several lines


def unused_imports(lines: Sequence[str], edit: Edit) -> Iterator[tuple[int, str | None]]:
    """Yield (row, what is left of it) of imports that the edit took the last use of; None: all."""
    new = set(split_tokens("\n".join(edit.new)))
    gone = {word for word in split_tokens("\n".join(edit.old)) if word.isidentifier()} - new
    if not gone:
        return
    rows: dict[str, list[int]] = {word: [] for word in gone}
    for row, line in enumerate(lines):
        for word in gone.intersection(split_tokens(line)):
            rows[word].append(row)
    for word, found in rows.items():
        if len(found) == 1 and split_tokens(lines[found[0]]).count(word) == 1:
            yield from _without(lines, found[0], re.escape(word))


def _without(lines: Sequence[str], row: int, word: str) -> Iterator[tuple[int, str | None]]:
    line = lines[row]
    if not _IMPORT.match(line):
        if re.fullmatch(rf"\s*{word},?", line) and _is_in_list(lines, row):
            yield row, None
        return
    left = re.sub(rf"(?<=[{{(\s]){word}\s*,\s*|,\s*{word}(?=\s*(?:[}})]|;?$))", "", line)
    if left != line:
        yield row, left
    elif re.search(rf"(?:[.:/\"\s{{]){word}\s*}}?(?:\s+from\b.*|[;\"])?\s*$", line):
        yield row, None


def _is_in_list(lines: Sequence[str], row: int) -> bool:
    for above in range(row - 1, max(-1, row - MAX_LIST_LINES), -1):
        if lines[above].rstrip().endswith(("(", "{")):
            return _IMPORT.match(lines[above]) is not None
    return False
