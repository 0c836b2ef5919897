"""Complete real source files with the bundled model, in the terminal.

Each stop takes a file as it is, wipes the rest of one line as if it had not been typed yet, asks
the engine that editors use, with an index of this repository's other files, and shows what it
offers in grey, how sure it is of it, and what the file really says. Shown is what editors show by
default (`balanced`): what is not sure enough is left out. Knows nothing of editors.
`scripts/demo` runs it in an environment of its own.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from assistant.errors import AssistantError
from assistant.generate.engine import Engine
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.request import Completion, CompletionRequest
from assistant.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
GREY, BOLD, RESET = "\x1b[90m", "\x1b[1m", "\x1b[0m"
CONTEXT_LINES = 3
DEADLINE_MS = 5_000  # a demo on a busy machine should be slow, not empty


class Stop(NamedTuple):
    """A cursor: in the one line of `file` that reads `line`, after `typed`."""

    file: str
    line: str  # without indentation
    typed: str  # what of it is there already


STORE, REPORT = "docs/samples/inventory/store.py", "docs/samples/inventory/report.py"
OPENING = 'with path.open("w", encoding="utf-8", newline="") as file:'
REFUSAL = 'raise ValueError(f"n must be at least 1, got {self.n}")'
STOPS = (
    Stop(STORE, "return self.quantity * self.unit_price", "return self.quantity * self."),
    Stop(STORE, "item.unit_price = unit_price", "item.unit_price = "),
    Stop(STORE, OPENING, "with path.op"),
    Stop(STORE, "return sum(item.value for item in self)", ""),
    Stop(REPORT, 'return "\\n".join(lines)', 'return "\\n".j'),
    Stop(REPORT, "arguments = parser.parse_args()", "arguments = parser.pa"),
    Stop("foretype.py", "sys.exit(main())", "sys.ex"),
    Stop("assistant/request.py", REFUSAL, "raise Val"),
)
KEYSTROKES = Stop(STORE, 'logger.info("removed %d of %s", quantity, name)', "logger.i")


class Cursor(NamedTuple):
    """A document with the rest of the cursor's line wiped, and what was wiped."""

    path: Path
    text: str
    offset: int
    wiped: str


def place(stop: Stop, typed: str | None = None) -> Cursor:
    """Read the file and put the cursor there; `typed` instead of the stop's own."""
    path = ROOT / stop.file
    text = path.read_text(encoding="utf-8")
    typed = stop.typed if typed is None else typed
    lines = text.splitlines(keepends=True)
    (number,) = [n for n, line in enumerate(lines) if line.strip() == stop.line]
    indentation = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    offset = sum(map(len, lines[:number])) + len(indentation) + len(typed)
    lines[number] = indentation + typed + "\n"
    return Cursor(path, "".join(lines), offset, stop.line.removeprefix(typed))


def ask(engine: Engine, cursor: Cursor) -> tuple[Completion | None, float]:
    """Return the best suggestion and the milliseconds until it was there."""
    request = CompletionRequest(
        # as the index names it, so that the file's own copy there does not tell the answer
        path=cursor.path.relative_to(ROOT).as_posix(),
        text=cursor.text,
        offset=cursor.offset,
        deadline_ms=DEADLINE_MS,
    )
    started = time.perf_counter()
    answers = engine.complete(request)
    elapsed_ms = 1_000 * (time.perf_counter() - started)
    return (answers[0] if answers else None), elapsed_ms


class Screen:
    """Prints code with the suggestion grey, or between « » where there is no colour."""

    def __init__(self) -> None:
        forced = bool(os.environ.get("FORCE_COLOR"))
        self.is_coloured = forced or (sys.stdout.isatty() and "NO_COLOR" not in os.environ)

    def grey(self, text: str) -> str:
        """Colour each line by itself, so that a pager may cut anywhere."""
        if not self.is_coloured:
            return f"«{text}»"
        return "\n".join(f"{GREY}{line}{RESET}" for line in text.split("\n"))

    def heading(self, text: str) -> None:
        """Begin a part."""
        print(f"\n{BOLD}{text}{RESET}" if self.is_coloured else f"\n== {text}")

    def excerpt(self, cursor: Cursor, offered: Completion | None) -> None:
        """The lines around the cursor, the suggestion in its place."""
        start, end, text = cursor.offset, cursor.offset, ""
        if offered:
            start, end, text = offered.start, offered.end, offered.text
        before = cursor.text[:start].split("\n")
        after = cursor.text[end:].split("\n")
        first = max(0, len(before) - 1 - CONTEXT_LINES)
        shown = "\n".join(before[first:]) + (self.grey(text) if text else "")
        shown += "\n".join(after[: 1 + CONTEXT_LINES])
        for number, line in enumerate(shown.split("\n"), first + 1):
            print(f"{number:5} | {line}")


def show_stops(engine: Engine, screen: Screen) -> None:
    """Visit every stop, each a document that the engine sees for the first time."""
    n_shown = n_right = 0
    for stop in STOPS:
        cursor = place(stop)
        offered, elapsed_ms = ask(engine, cursor)
        line = cursor.text.count("\n", 0, cursor.offset) + 1
        screen.heading(f"{stop.file}:{line}, typed so far: {stop.typed or '(nothing)'}")
        screen.excerpt(cursor, offered)
        inserted = applied(cursor, offered)
        is_right = inserted == cursor.wiped
        n_shown += offered is not None
        n_right += is_right
        verdict = "as in the file" if is_right else f"the file says: {cursor.wiped}"
        sure = f"{offered.probability:.0%} sure" if offered else "not sure enough, nothing shown"
        print(f"{'':5} {elapsed_ms:.0f} ms; {sure}; {verdict}")
    print(f"\nShown at {n_shown} of {len(STOPS)} cursors, {n_right} of them as in the file.")


def applied(cursor: Cursor, offered: Completion | None) -> str:
    """The text from the cursor to the end of what the suggestion puts in."""
    if offered is None:
        return ""
    return offered.text.removeprefix(cursor.text[offered.start : cursor.offset])


def show_keystrokes(engine: Engine, screen: Screen) -> None:
    """Type one line key by key, as in an editor."""
    screen.heading(f"{KEYSTROKES.file}, key by key")
    spent: dict[str, list[float]] = {}
    start = len(KEYSTROKES.typed)
    for length in range(start, len(KEYSTROKES.line)):
        typed = KEYSTROKES.line[:length]
        cursor = place(KEYSTROKES, typed)
        offered, elapsed_ms = ask(engine, cursor)
        source = offered.source if offered else "nothing"
        if length > start:  # the first one reads the file
            spent.setdefault(source, []).append(elapsed_ms)
        ghost = applied(cursor, offered)
        print(f"{elapsed_ms:7.1f} ms  {source:<8} {typed}{screen.grey(ghost) if ghost else ''}")
    for source, times in sorted(spent.items()):
        print(f"  {source}: {len(times)} keystrokes, median {statistics.median(times):.1f} ms")


def texts() -> list[tuple[str, str]]:
    """Return the Python files that the index knows, by path."""
    files = [ROOT / "foretype.py"]
    for folder in ("assistant", "docs/samples", "lsp", "model", "training"):
        files += sorted((ROOT / folder).rglob("*.py"))
    return [(file.relative_to(ROOT).as_posix(), file.read_text("utf-8")) for file in files]


def main() -> int:
    """Load once, then show everything."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        build_from_texts(Path(folder), texts())
        index = FolderIndex(Path(folder))  # leaves out what it has of the file it is asked about
        return show(Engine(Settings(), index=lambda _: index))


def show(engine: Engine) -> int:
    """Load the model and visit all places; return the exit code."""
    print("Loading the bundled model (the first time ever, its 8-bit form is made and kept) ...")
    started = time.perf_counter()
    try:
        engine.load()
    except AssistantError as error:
        print(f"\nThere is no bundled model to show: {error}", file=sys.stderr)
        return 3
    print(f"Loaded in {time.perf_counter() - started:.2f} s.")
    screen = Screen()
    show_stops(engine, screen)
    show_keystrokes(engine, screen)
    print("\nHow often it is right in your own repository, and which `show` suits it, says:")
    print("foretype eval --quick")
    return 0


if __name__ == "__main__":
    sys.exit(main())
