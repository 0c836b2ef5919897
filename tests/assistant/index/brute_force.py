"""What levels must be, by comparing every place with the context: slow and plain."""

from collections.abc import Iterable

from assistant.index.matches import MAX_CONTEXT, MIN_MATCH


def agreement(text: bytes, place: int, context: bytes) -> int:
    """How many bytes before `place` equal the end of the context."""
    context = context[-MAX_CONTEXT:]
    n = 0
    while n < min(place, len(context)) and text[place - 1 - n] == context[-1 - n]:
        n += 1
    return n


def expected_shape(places: Iterable[tuple[bytes, int]], context: bytes) -> list[tuple[int, int]]:
    """(length, count) of each level that these places of texts must give."""
    lengths = [agreement(text, place, context) for text, place in places]
    shape: list[tuple[int, int]] = []
    for length in range(max(lengths, default=0), MIN_MATCH - 1, -1):
        count = sum(other >= length for other in lengths)
        if not shape or count >= 2 * shape[-1][1]:
            shape.append((length, count))
    return shape
