"""The progress line."""

import io
import math

import pytest

from training.data.progress import Progress, time_text


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
    progress.show(40, "9 MB")
    progress.show(40)
    assert stream.getvalue() == (
        "rows 10/40 (25%) left 60 s 3 MB\nrows 40/40 (100%) took 61 s 9 MB\n"
    )


def test_terminal_line_is_rewritten_in_place() -> None:
    times = iter([0.0, 0.5, 1.0])
    stream = Terminal()
    progress = Progress("rows", 2, stream=stream, clock=lambda: next(times))
    progress.show(0)
    progress.show(2)
    first, second = stream.getvalue().split("\r\x1b[K")[1:]
    assert (first, second) == ("rows 0/2 (0%)", "rows 2/2 (100%) took 1 s\n")


def test_line_that_is_to_stay_is_shown_at_once_with_the_time_left_that_is_given() -> None:
    stream = Terminal()
    progress = Progress("step", 9, stream=stream, clock=lambda: 0.0)
    progress.show(1, keep=True, left_s=math.inf)
    progress.show(2, "bits", keep=True, left_s=83_100.0)
    progress.show(3)
    progress.end()
    assert stream.getvalue() == (
        "\r\x1b[Kstep 1/9 (11%)\n\r\x1b[Kstep 2/9 (22%) left 23 h 05 min bits\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3_540, "59 min"),
        (3_600, "1 h 00 min"),
        (83_106, "23 h 05 min"),
        (360_000, "4.2 days"),
    ],
)
def test_time_is_in_hours_and_minutes(seconds: float, text: str) -> None:
    """Past failure (2026-11-29): a day was "1385:06 left"."""
    assert time_text(seconds) == text
