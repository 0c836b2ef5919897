"""The progress line."""

from __future__ import annotations

import io

from training.data.progress import Progress


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_file_gets_a_line_now_and_then_and_a_last_one() -> None:
    times = iter([0.0, 1.0, 20.0, 61.0])
    stream = io.StringIO()
    progress = Progress("rows", 40, stream=stream, clock=lambda: next(times))
    progress.show(1)
    progress.show(10, "3 MB")
    progress.show(40, "9 MB", last=True)
    assert stream.getvalue() == (
        "rows 10/40 (25%) left 1:00 3 MB\nrows 40/40 (100%) took 1:01 9 MB\n"
    )


def test_terminal_line_is_rewritten_in_place() -> None:
    times = iter([0.0, 0.5, 1.0])
    stream = Terminal()
    progress = Progress("rows", 2, stream=stream, clock=lambda: next(times))
    progress.show(0)
    progress.show(2, last=True)
    first, second = stream.getvalue().split("\r")[1:]
    assert first.rstrip() == "rows 0/2 (0%) left 0:00"
    assert second.rstrip(" \n") == "rows 2/2 (100%) took 0:01"
    assert second.endswith("\n")
