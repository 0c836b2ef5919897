"""An editor that closes brackets and quotes by itself, retyping lines of real code in place."""

from collections.abc import Iterator

from assistant.filter.postprocess import filter_text
from assistant.request import CompletionRequest

PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`"}
OPENERS = frozenset("([{")


def type_line(line: str, left: str = "", right: str = "") -> Iterator[tuple[str, str]]:
    """Yield (left, right) of the cursor's line for each key that types `line` between these two.

    A bracket or quote is closed where white space, a closer or nothing follows (a quote only where
    no word stands before it); a closer that the editor put there is typed over.
    """
    for char in line:
        if right.startswith(char) and char in PAIRS.values():
            left, right = left + char, right[1:]
        else:
            closes = char in OPENERS or (
                char in PAIRS
                and left.count(char) % 2 == 0
                and not (left[-1:].isalnum() or left[-1:] in ("_", "\\", char))
            )
            left += char
            if closes and (not right or right[0] in ")]}\"'` "):
                right = PAIRS[char] + right
        yield left, right


def accept(text: str, start: int, n_typed: int, line: str, path: str) -> tuple[str, str] | None:
    """Return the line after taking the true rest of it as a suggestion, and what it should be.

    `text` holds `line` at `start`; it is being retyped, `n_typed` characters are there. None where
    nothing was offered, or less than the rest of the line.
    """
    left, right = list(type_line(line))[n_typed - 1]
    document = text[:start] + left + right + text[start + len(line) :]
    request = CompletionRequest(path=path, text=document, offset=start + len(left))
    rest = line[n_typed:]
    edit = filter_text(request, rest, multi_line=False).edit
    if edit is None or edit.text != rest:
        return None
    after = document[: edit.start] + edit.text + document[edit.end :]
    return after[start:].partition("\n")[0], line
