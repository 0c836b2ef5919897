"""The scenarios of cursortab.nvim's evaluation (tests/data/next_edit, MIT), scored as it scores.

score = mean deltaChrF x harmonic mean of show rate and quiet rate / 100. deltaChrF is chrF (n = 6,
beta = 2) of the lines between the head and the tail that the text has in common with what is
expected, 0 where nothing is shown. Every scenario asks by hand, so the level is `asked`. Each has a
second cursor for systems that fill in at one: there the product's grey text is asked for, where it
has no next edit.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from assistant.edits.history import Edit
from assistant.edits.next_edit import NextEdits
from assistant.generate.engine import Engine
from assistant.request import CompletionRequest
from assistant.settings import Settings

FOLDER = Path(__file__).parents[2] / "data" / "next_edit"
MAX_TAKEN = 10  # offers taken one after the other
N_GRAM, BETA = 6, 2.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    name: str
    path: str
    language: str
    row: int
    fill_at: tuple[int, int]  # row and column of the cursor for systems that fill in
    cursors: tuple[int, ...]  # further rows where silence is right
    text: list[str]
    expected: list[str] | None  # None: nothing is to be shown
    history: list[Edit]


def read(path: Path) -> Scenario:
    head, *sections = re.split(r"^-- (.+) --\n", path.read_text(encoding="utf-8"), flags=re.M)
    parts = dict(zip(sections[::2], sections[1::2], strict=True))
    fields = dict(re.findall(r"^([\w-]+): (.*)$", head, flags=re.M))
    text = parts["buffer.txt"].split("\n")
    blocks = re.findall(
        r"^<\|file\|> ([^\n]+)\n<\|old\|>\n(.*?)<\|new\|>\n(.*?)(?=^<\|file\|>|\Z)",
        parts.get("history", ""),
        flags=re.M | re.S,
    )
    others = re.findall(r"(\d+):\d+", fields.get("cursor-positions", ""))
    return Scenario(
        name=path.stem,
        path=fields["file"],
        language=fields["language"],
        row=int(fields["row"]) - 1,
        fill_at=(
            int(fields.get("fim-row", fields["row"])) - 1,
            int(fields.get("fim-col", fields["col"])),
        ),
        cursors=tuple(int(row) - 1 for row in others),
        text=text,
        expected=parts["expected"].split("\n") if "expected" in parts else None,
        history=[edit_of(file, old.split("\n")[:-1], new.split("\n")[:-1], text)
                 for file, old, new in blocks],
    )  # fmt: skip


def edit_of(path: str, old: list[str], new: list[str], text: list[str]) -> Edit:
    """Return the edit without the lines that it left as they were."""
    before = after = ""
    while old and new and old[0] == new[0]:
        before, old, new = old[0], old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        after, old, new = old[-1], old[:-1], new[:-1]
    row = next((i for i, line in enumerate(text) if new and line == new[0]), 0)
    return Edit(path=path, row=row, old=tuple(old), new=tuple(new), before=before, after=after)


def play(scenario: Scenario) -> tuple[list[str], bool]:
    """Take every offer until there is none; return the text, and whether anything was shown."""
    product, text, row = NextEdits(), list(scenario.text), scenario.row
    made = list(scenario.history)
    for n_taken in range(MAX_TAKEN):
        found = product.propose("buffer", text, row, made, "asked")
        if not found:
            return text, n_taken > 0
        proposal = found[0].proposal
        made.append(Edit(path="buffer", row=proposal.row, old=proposal.old, new=proposal.new))
        text[proposal.row : proposal.row + len(proposal.old)] = proposal.new
        row = proposal.row
    return text, True


def chrf(hypothesis: str, reference: str) -> float:
    """Return chrF in percent, white space left out."""
    hypothesis, reference = "".join(hypothesis.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, N_GRAM + 1):
        ours = Counter(hypothesis[i : i + n] for i in range(len(hypothesis) - n + 1))
        theirs = Counter(reference[i : i + n] for i in range(len(reference) - n + 1))
        if ours and theirs:
            n_common = (ours & theirs).total()
            precisions.append(n_common / ours.total())
            recalls.append(n_common / theirs.total())
    if not precisions:
        return 100.0 * (hypothesis == reference)
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    if not precision + recall:
        return 0.0
    return 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def delta_chrf(text: list[str], result: list[str], expected: list[str]) -> float:
    head = 0
    while head < min(len(text), len(expected)) and text[head] == expected[head]:
        head += 1
    tail = 0
    while tail < min(len(text), len(expected)) - head and text[-1 - tail] == expected[-1 - tail]:
        tail += 1
    ours, theirs = result[head : len(result) - tail], expected[head : len(expected) - tail]
    return chrf("\n".join(ours), "\n".join(theirs))


SCENARIOS = [read(path) for path in sorted(FOLDER.glob("*.txtar"))]
TO_SHOW = [scenario for scenario in SCENARIOS if scenario.expected is not None]
TO_BE_QUIET = [scenario for scenario in SCENARIOS if scenario.expected is None]


@pytest.mark.parametrize("scenario", TO_BE_QUIET, ids=lambda scenario: scenario.name)
def test_correct_code_is_left_alone(scenario: Scenario) -> None:
    for row in (scenario.row, *scenario.cursors):
        found = NextEdits().propose("buffer", scenario.text, row, scenario.history, "asked")
        assert found == []


def fill_in(engine: Engine, scenario: Scenario) -> list[str] | None:
    """Return the text with the grey text at the scenario's second cursor; None if there is none."""
    row, column = scenario.fill_at
    text = "\n".join(scenario.text)
    above = "".join(f"{line}\n" for line in scenario.text[:row])
    engine.load(scenario.language)
    request = CompletionRequest(
        path=scenario.path,
        text=text,
        offset=len(above) + min(column, len(scenario.text[row])),
        language=scenario.language,
        deadline_ms=60_000,
    )
    for found in engine.complete(request):
        return (text[: found.start] + found.text + text[found.end :]).split("\n")
    return None


def score(fill: Callable[[Scenario], list[str] | None] = lambda _: None) -> dict[str, float]:
    """Return the four figures that the recorded systems have; `fill` may add the grey text."""
    deltas, n_shown = [], 0
    for scenario in TO_SHOW:
        taken, is_shown = play(scenario)
        result = taken if is_shown else fill(scenario)
        assert scenario.expected is not None
        n_shown += result is not None
        deltas.append(delta_chrf(scenario.text, result, scenario.expected) if result else 0.0)
    n_quiet = sum(fill(scenario) is None for scenario in TO_BE_QUIET)
    show_rate, quiet_rate = n_shown / len(TO_SHOW), n_quiet / len(TO_BE_QUIET)
    delta = sum(deltas) / len(deltas)
    both = show_rate + quiet_rate
    return {
        "score": delta * (2 * show_rate * quiet_rate / both if both else 0.0) / 100,
        "deltaChrF": delta,
        "showRate": show_rate,
        "quietRate": quiet_rate,
    }


def test_the_score_is_what_the_page_says() -> None:
    """docs/next-edit.md has it beside the systems recorded on all 36 scenarios."""
    figures = score()
    page = (Path(__file__).parents[3] / "docs" / "next-edit.md").read_text(encoding="utf-8")
    recorded = json.loads((FOLDER / "recorded_scores_of_12_systems.json").read_text())
    assert f"| foretype, next edit | {figures['score']:.2f} | {figures['deltaChrF']:.0f} |" in page
    for name, theirs in recorded.items():
        assert f"| {name} | {theirs['score']:.2f} | {theirs['deltaChrF']:.0f} |" in page


@pytest.mark.parametrize("name", ["16-rust-propagate-derive", "24-typescript-add-async-await"])
def test_what_repeats_is_finished(name: str) -> None:
    scenario = next(item for item in SCENARIOS if item.name == name)
    assert play(scenario)[0] == scenario.expected


@pytest.mark.slow
def test_with_grey_text_it_scores_and_stays_quiet(shared_cache: Path) -> None:
    """The figures themselves are in docs/next-edit.md; 8-bit kernels differ by the processor."""
    engine = Engine(Settings(show="eager"))
    figures = score(lambda scenario: fill_in(engine, scenario))
    engine.close(1.0)
    assert figures["score"] >= 0.25
    assert figures["quietRate"] == 1.0
