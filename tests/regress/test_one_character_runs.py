"""2026-11-29: a run of one character took seconds and gigabytes, and other documents waited for it.

Cause: every place that agrees with the text before the cursor was compared with all of it at once,
in tables of places by bytes, and nobody could stop it.
"""

import tracemalloc

import pytest

from assistant.index.folder_index import FolderIndex
from assistant.index.matches import MAX_CONTEXT, document_levels, find_agreeing
from assistant.rank.candidates import Cursor, propose

N_CHARS = 200_000
MAX_MEBIBYTES = 40  # the tables took 350


def cursor_behind(unit: str) -> Cursor:
    text = "x = 1\n" + unit * (N_CHARS // len(unit))
    return Cursor.of("a.py", text, len(text))


@pytest.mark.parametrize("unit", ["=", "=-", "ab cd\n"])
def test_a_run_is_looked_up_in_little_memory(unit: str) -> None:
    cursor = cursor_behind(unit)
    index = FolderIndex()
    index.set_open("b.py", unit * (N_CHARS // len(unit)))
    tracemalloc.start()
    try:
        proposal = propose(cursor, index)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MAX_MEBIBYTES << 20
    assert proposal.document[0].length == proposal.repository[0].length == MAX_CONTEXT


def test_no_place_of_a_run_gets_a_length_that_is_too_long() -> None:
    places, lengths = find_agreeing(b"=" * N_CHARS, b"=" * N_CHARS)
    assert len(places) == len(lengths) == N_CHARS - 3
    assert all(length <= place for place, length in zip(places, lengths, strict=True))


def test_looking_up_ends_between_two_levels_when_nobody_wants_it() -> None:
    calls = "".join(f"n{n} = size(a)\nsize(b)\n(c)\n" for n in range(9))
    n_all = len(document_levels(f"{calls}z = size(".encode(), b"", path="a.py"))
    assert n_all > 1
    cursor = Cursor.of("a.py", f"{calls}z = size(", len(calls) + 9)
    index = FolderIndex()
    index.set_open("b.py", calls)
    proposal = propose(cursor, index, should_stop=lambda: True)
    assert (len(proposal.document), proposal.repository) == (1, ())
