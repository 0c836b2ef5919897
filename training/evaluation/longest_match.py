"""The longest match: the plain baseline that every cleverer system must beat.

Finds the longest text before the cursor that stands anywhere else, in the tree or in the document,
and says what most often follows it up to the line's end. No network, no learning, no ranking; it
shares no code with the assistant's index, so that a fault there cannot hide here.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from pydivsufsort import divsufsort

MAX_CONTEXT = 512  # bytes before the cursor that are looked at
MAX_VOTES = 10_000  # of a very common context; the first ones in suffix order


class LongestMatch:
    """A suffix array over all bytes of some files; answers for one document at a time."""

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._spans: dict[str, tuple[int, int]] = {}  # path -> its bytes in the text
        parts, size = [], 0
        for path, text in files:
            content = text.encode("utf-8", "surrogatepass") + b"\n\0"
            self._spans[path] = (size, size + len(content))
            parts.append(content)
            size += len(content)
        self._text = b"".join(parts)
        numbers = np.frombuffer(self._text, np.uint8).copy()  # a read-only one is refused
        self._order = divsufsort(numbers) if size else np.zeros(0, np.int32)

    def rest_of_line(self, before: str, after: str, *, path: str) -> tuple[str, int]:
        """Return the winning rest of the line and how many bytes matched; "" if nothing does.

        `after` begins below the cursor's line; the copy of the document at `path` is left out.
        """
        context, below = (part.encode("utf-8", "surrogatepass") for part in (before, after))
        low, high = 0, min(len(context), MAX_CONTEXT)
        while low < high:  # what a long context has, each shorter end of it has, too
            length = (low + high + 1) // 2
            pattern = context[-length:]
            found = next(self._following(pattern, context, below, path), None)
            low, high = (low, length - 1) if found is None else (length, high)
        if low == 0:
            return "", 0
        votes = Counter(self._following(context[-low:], context, below, path))
        (winner, _), *_ = votes.most_common(1)
        return winner.decode("utf-8", "replace"), low

    def _following(
        self, pattern: bytes, context: bytes, below: bytes, path: str
    ) -> Iterator[bytes]:
        """Yield the rest of the line, if there is one, after each place that the pattern has."""
        for text in (context[:-1], below):  # the cursor itself is no place
            place = text.find(pattern)
            while place >= 0:
                if rest := _line(text, place + len(pattern)):
                    yield rest
                place = text.find(pattern, place + 1)
        start, end = self._spans.get(path, (0, 0))
        for place in self._places(pattern):
            outside = not start <= place < end
            if outside and (rest := _line(self._text, place + len(pattern))):
                yield rest

    def _places(self, pattern: bytes) -> list[int]:
        def head(place: int) -> bytes:
            return self._text[place : place + len(pattern)]

        first = bisect_left(self._order, pattern, key=head)
        last = bisect_right(self._order, pattern, lo=first, key=head)
        places: list[int] = self._order[first : min(last, first + MAX_VOTES)].tolist()
        return places


def _line(text: bytes, start: int) -> bytes:
    end = text.find(b"\n", start)
    return text[start : end if end >= 0 else len(text)].rstrip()
