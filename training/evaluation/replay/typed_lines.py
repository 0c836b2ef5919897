"""Which of a commit's added lines were typed: not moved, not indented anew, not edited in place.

A diff says that a line was added; it does not say that somebody wrote it. What stood elsewhere in
the parent and was removed there has been moved; what differs from a line that it replaced by a word
or two has been edited. Knows lines of text and nothing of git.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

MAX_LINE_CHARS = 200  # nobody types a longer one
EDITED_RATIO = 0.7  # difflib's measure: with so much in common, the old line was changed
_MAX_PAIRS = 10_000  # old and new lines of one hunk: beyond this, nothing there counts as edited


def bare(line: str) -> str:
    """Return the line without any white space: lines equal in this differ in indentation only."""
    return "".join(line.split())


def find_typed(added: Sequence[str], removed: Sequence[str], gone: Counter[str]) -> list[int]:
    """Return the indices of the lines of a hunk that were typed.

    `removed` are the lines that the hunk replaces; `gone` counts the bare forms of all lines that
    the commit removes anywhere. Each explains one added line, and is used up by it.
    """
    kept = []
    for index, line in enumerate(added):
        form = bare(line)
        if not form or len(line.strip()) > MAX_LINE_CHARS:
            continue
        if gone[form] > 0:
            gone[form] -= 1
            continue
        if len(added) * len(removed) <= _MAX_PAIRS and _is_edited(line.strip(), removed):
            continue
        kept.append(index)
    return kept


def _is_edited(line: str, removed: Sequence[str]) -> bool:
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(line)  # the second one is what difflib keeps facts of
    for old in removed:
        matcher.set_seq1(old.strip())
        if (
            matcher.real_quick_ratio() >= EDITED_RATIO
            and matcher.quick_ratio() >= EDITED_RATIO
            and matcher.ratio() >= EDITED_RATIO
        ):
            return True
    return False
