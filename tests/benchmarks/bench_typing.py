"""Types what later commits added in an editor that closes brackets, and counts what is in the way.

`python -m tests.benchmarks.bench_typing [--lines N] REPO ...`: lines of each repository's later
commits are typed key by key, with the tree of the parent commit in the index and the engine at its
default. Whatever the editor closed by itself stands behind the cursor. A right text is taken.
Counted, by language: texts shown, right ones, such as the next key contradicted or another
replaced (flicker), and such after which a closer or quote stands once more than if the same
characters had been typed. The first of these are printed.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from assistant.generate.backend import open_from
from assistant.generate.engine import Engine
from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings
from assistant.snippets.cache import SnippetCache
from assistant.source.languages import language_of
from tests.auto_closing import PAIRS, type_line
from training.evaluation.answers import is_right
from training.evaluation.replay.run import Plan, plan_work
from training.evaluation.replay.systems import TreeIndex
from training.evaluation.replay.tasks import ReplayTask

CLOSERS = frozenset(PAIRS.values())
SHOWN_EXAMPLES = 20


@dataclasses.dataclass(frozen=True)
class Line:
    """The cursor's line while it is typed, and the document around it."""

    path: str
    above: str
    below: str
    left: str
    right: str

    @property
    def request(self) -> CompletionRequest:
        """What an editor asks here."""
        text = self.above + self.left + self.right + self.below
        offset = len(self.above) + len(self.left)
        return CompletionRequest(path=self.path, text=text, offset=offset, deadline_ms=60_000)

    def accept(self, completion: Completion) -> tuple[str, str]:
        """Return what the editor puts behind `left`, and all that then stands behind that."""
        text, at = self.request.text, self.request.offset
        inserted = text[completion.start : at] + completion.text
        assert inserted.startswith(text[completion.start : at]) or completion.start == at
        after = text[completion.end :][: len(text) - completion.end - len(self.below)]
        return completion.text[at - completion.start :], after


def surplus(line: Line, completion: Completion) -> int:
    """Return how many closers and quotes more stand there than by typing the same characters."""
    text, after = line.accept(completion)
    typed = list(type_line(text, line.left, line.right))[-1] if text else (line.left, line.right)
    by_hand = Counter("".join(typed))
    accepted = Counter(line.left + text + after)
    return sum(max(0, accepted[char] - by_hand[char]) for char in CLOSERS)


def count(engine: Engine, task: ReplayTask, counts: Counter[str]) -> Iterator[str]:
    """Type a task's line; add to `counts`, and yield what would leave one closer too many."""
    start = task.line_start
    document = task.task.file.text
    row = document.rfind("\n", 0, start) + 1
    end = task.task.offset + len(task.task.truth)
    left, right, rest = document[row:start], "", document[start:end]
    shown = ""  # the grey text that stands there
    while rest:
        line = Line(task.task.file.path, document[:row], document[end:], left, right)
        counts["keys"] += 1
        completions = engine.complete(line.request, Cancel())
        text = line.accept(completions[0])[0] if completions else ""
        if shown and text != shown:
            counts["swapped" if text else "broken off"] += 1
        if text and text != shown:
            counts["shown"] += 1
            if surplus(line, completions[0]):
                counts["doubled"] += 1
                yield f"{left}|{right}  {completions[0].text!r}"
        taken = text.rstrip() if is_right(text.partition("\n")[0].rstrip(), rest) else ""
        n_chars = len(taken.partition("\n")[0]) or 1
        if taken:
            counts["right"] += 1
            counts["saved"] += n_chars - 1
        counts["characters"] += n_chars
        *_, (left, right) = type_line(rest[:n_chars], left, right)
        # What stands there on is typed along.
        shown = text[1:] if text and not taken and text[0] == rest[0] else ""
        if text and not taken and text[0] != rest[0]:
            counts["broken off"] += 1
        rest = rest[n_chars:]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", type=Path, nargs="+", metavar="REPO")
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--show", default=Settings().show)
    options = parser.parse_args(argv)
    plan = Plan(n_tasks=10 * options.lines, n_lines=options.lines)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    examples: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        tree = TreeIndex(Path(place))
        engine = Engine(
            Settings(show=options.show),
            open_from,
            tree.find,
            snippets=SnippetCache(is_waiting=True),
        )
        for part in plan_work(options.repositories, plan):
            for task in part.lines:
                tree.open(task.snapshot)
                language = language_of(task.task.file.path)
                assert language is not None
                engine.load(language.name)
                examples += count(engine, task, counts[language.name])
    names = ("keys", "shown", "right", "broken off", "swapped", "doubled")
    print(f"{'language':14}" + "".join(f"{name:>12}" for name in names) + f"{'saved':>10}")
    for name, its in (*sorted(counts.items()), ("all", sum(counts.values(), Counter[str]()))):
        cells = "".join(f"{its[name]:12}" for name in names)
        print(f"{name:14}{cells}{100 * its['saved'] / max(its['characters'], 1):9.1f}%")
    print(*examples[:SHOWN_EXAMPLES], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
