"""Degenerate repetition: where a text begins to say the same again and again.

Pure text; knows neither languages nor models. Code repeats itself honestly (tables, closing
brackets, rulers), so the limits are set where honest code hardly goes.
"""

MAX_UNIT_CHARS = 40  # longest unit looked for within a line
MAX_CYCLE_LINES = 4
RULERS = frozenset("-=#*_~/.+<>")


def _repeats_allowed(unit: str) -> int:
    """Return how often `unit` may stand in a row within a line."""
    if not unit.strip():
        return 80  # indentation, alignment
    if len(set(unit)) == 1:
        # A ruler of one character; of others no more than the digits of a 64-bit mask.
        return (100 if unit[0] in RULERS else 16) // len(unit)
    if len(unit) < 3:
        return 12
    return 4 if len(unit) < 10 else 2


def inline_cycle(text: str) -> int | None:
    """Return where the second copy begins of a unit that ends `text` too often, or None.

    >>> inline_cycle("x = [" + "abc, " * 5)
    10
    """
    line = text[text.rfind("\n") + 1 :]
    if not line:
        return None
    at = end = len(line) - 1
    low = max(0, end - min(MAX_UNIT_CHARS, len(line) // 2))
    while (at := line.rfind(line[end], low, at)) >= 0:  # the ends of all possible copies
        size = end - at
        unit = line[-size:]
        if line[-2 * size : -size] != unit:  # nearly always; this runs for every new token
            continue
        limit = _repeats_allowed(unit)
        if len(line) <= size * limit:
            continue
        n = 1
        while line.endswith(unit, 0, len(line) - size * n):
            n += 1
        if n > limit:
            return len(text) - size * (n - 1)
    return None


def line_cycle(lines: list[str]) -> int | None:
    """Return the index where the second copy begins of a cycle that ends `lines`, or None.

    One or two lines may be said twice but not three times; three lines or more only once. Lines
    without a letter or digit (closers, blank lines) prove nothing.
    """
    for size in range(1, MAX_CYCLE_LINES + 1):
        copies = 3 if size <= 2 else 2
        if len(lines) < size * copies:
            continue
        tail = lines[-size:]
        if not any(char.isalnum() for line in tail for char in line):
            continue
        starts = range(len(lines) - size * copies, len(lines), size)
        if all(lines[start : start + size] == tail for start in starts):
            return len(lines) - size * (copies - 1)
    return None


def cut_repetition(text: str) -> str:
    """Return `text` up to where it begins to repeat itself.

    >>> cut_repetition("step()\\nstep()\\nstep()\\n")
    'step()'
    """
    lines = text.split("\n")
    for end in range(1, len(lines) + 1):
        inline = inline_cycle(lines[end - 1])
        if inline is not None:
            return "\n".join([*lines[: end - 1], lines[end - 1][:inline]])
        cycle = line_cycle(lines[:end])
        if cycle is not None:
            return "\n".join(lines[:cycle])
    return text
