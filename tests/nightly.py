"""Runs the tests that grow with their number of tries, in rounds of other seeds, for long.

    scripts/nightly [--release] [--rounds N] [--folder FOLDER] [SCENARIO ...]

The release's soaks take three hours by themselves: on two processors, name them in one terminal and
the other scenarios in a second one. Each round is one line of FOLDER/TIER.jsonl; stopped and
started again it goes on with the next. A round that fails keeps its output in FOLDER, and its seed
in its name: `FORETYPE_TEST_ROUND=3 scripts/test PATH::TEST` repeats round 3. In the end all is one
table, also in FOLDER/TIER.md.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs import ROOT

ROUND_LIMIT_S = 4 * 3600.0


@dataclass(frozen=True)
class Scenario:
    """Tests to repeat until they have tried so many things in all."""

    unit: str
    nightly: int
    release: int
    tests: str
    soak: tuple[str, str] = ("", "")  # minutes and speed: nightly, release


SCENARIOS = {
    "malformed messages": Scenario(
        "messages", 60_000, 1_000_000, "tests/lsp/test_hostile_messages.py"
    ),
    "edits": Scenario(
        "edits", 300_000, 10_000_000, "tests/lsp/test_documents.py::"
        "test_random_edits_keep_the_client_s_text"
    ),
    "kill of the index": Scenario(
        "kills", 50, 500, "tests/assistant/index/test_writer.py::"
        "test_killed_at_any_moment_the_index_is_whole"
    ),
    "kill of the registry": Scenario("kills", 60, 600, "tests/assistant/models/test_crashes.py"),
    "kill of training": Scenario(
        "kills", 15, 100, "tests/training/pretrain/test_trainer.py::"
        "test_run_killed_at_random_moments_goes_on_to_the_same_weights"
    ),
    "kill of tune": Scenario("kills", 10, 60, "tests/training/finetune/test_killed.py"),
    "kill of the server": Scenario("kills", 12, 100, "tests/e2e/test_killed.py"),
    "kill of corpus preparation": Scenario("kills", 18, 60, "tests/training/data/test_killed.py"),
    "lost writes": Scenario("states", 1_500, 6_000, "tests/test_lost_writes.py"),
    "failing operations": Scenario("operations", 200, 2_000, "tests/test_file_faults.py"),
    "resume at each step": Scenario(
        "resumes", 12, 80, "tests/training/pretrain/test_trainer.py::"
        "test_resume_at_any_step_equals_an_uninterrupted_run tests/training/pretrain/"
        "test_trainer.py::test_resume_is_exact_across_stage_borders"
    ),
    "seeded scheduler": Scenario("seeds", 600, 10_000, "tests/lsp/test_interleavings.py"),
    "answers of two folders": Scenario(
        "answers", 2_000, 50_000, "tests/regress/test_answers_belong_to_their_document.py"
    ),
    "hostile servers": Scenario(
        "answers", 64, 640, "tests/assistant/remote/test_connection.py::"
        "test_every_fault_has_a_name_and_ends"
    ),
    "soak at 1x": Scenario("minutes", 4, 120, "tests/e2e/test_soak.py", ("4 1", "120 1")),
    "soak at 8x": Scenario("minutes", 4, 60, "tests/e2e/test_soak.py", ("4 8", "60 8")),
}  # fmt: skip


class Rounds:
    """What was run so far, in one file."""

    def __init__(self, folder: Path, tier: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.tier = tier
        self._path = folder / f"{tier}.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """Return the rounds that ended; a line that a kill cut is none."""
        rows = []
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def add(self, row: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write("\n" * self._is_cut() + json.dumps(row) + "\n")

    def _is_cut(self) -> bool:
        return self._path.exists() and self._path.read_bytes()[-1:] not in (b"", b"\n")

    def run(self, name: str, most: int = 10**9) -> None:
        """Run rounds of a scenario until it has its count, or `most`; after a failure, too."""
        scenario = SCENARIOS[name]
        goal = scenario.release if self.tier == "release" else scenario.nightly
        while True:
            rows = [row for row in self.rows() if row["scenario"] == name]
            done = sum(row["count"] for row in rows)
            if (
                len(rows) >= most or done >= goal or (rows and rows[-1]["count"] == 0)
            ):  # the next would do nothing, too
                return
            row = self._round(name, scenario, max((row["round"] for row in rows), default=-1) + 1)
            self.add(row)
            verdict = "ok" if row["is_ok"] else "FAILED"
            print(
                f"{name}: {verdict}, {done + row['count']:g} of {goal} {scenario.unit}", flush=True
            )

    def _round(self, name: str, scenario: Scenario, number: int) -> dict[str, Any]:
        options = ["-q", "-n", "0", "-p", "no:cacheprovider", "--no-header"]
        options += [f"--hypothesis-seed={number}", "-o", f"timeout={ROUND_LIMIT_S:g}"]
        with tempfile.TemporaryDirectory() as place:
            counts = Path(place, "counts")
            environ = os.environ | {
                "FORETYPE_TEST_ROUND": str(number),
                "FORETYPE_TEST_COUNTS": str(counts),
                "OMP_NUM_THREADS": "1",
            }
            if any(scenario.soak):
                environ["FORETYPE_TEST_SOAK"] = scenario.soak[self.tier == "release"]
            # Its own folder: two runs that tidy up one trip over each other.
            options += [f"--basetemp={Path(place, 'tests')}"]
            command = [sys.executable, "-m", "pytest", *options, *scenario.tests.split()]
            started_s = time.monotonic()
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
            seconds = time.monotonic() - started_s
            lines = counts.read_text().splitlines() if counts.exists() else []
        tried = [line.partition(" ") for line in lines]
        if is_failed := done.returncode != 0:
            output = self.folder / f"{self.tier}-{name.replace(' ', '-')}-{number}.txt"
            output.write_text(done.stdout + done.stderr)
        return {
            "scenario": name, "round": number, "count": sum(float(n) for n, _, _ in tried),
            "notes": [note for _, _, note in tried if note], "seconds": round(seconds, 1),
            "is_ok": not is_failed, "at": datetime.datetime.now().isoformat(timespec="minutes"),
        }  # fmt: skip

    def table(self) -> Iterator[str]:
        """Yield the lines of the table, in Markdown."""
        yield "| scenario | unit | rounds | count | failures | minutes |"
        yield "|---|---|---:|---:|---:|---:|"
        every = self.rows()
        for name, scenario in SCENARIOS.items():
            rows = [row for row in every if row["scenario"] == name]
            n_failed = sum(not row["is_ok"] for row in rows)
            count = sum(row["count"] for row in rows)
            minutes = sum(row["seconds"] for row in rows) / 60
            unit = scenario.unit
            yield f"| {name} | {unit} | {len(rows)} | {count:,.0f} | {n_failed} | {minutes:.1f} |"
        yield ""
        yield from (f"{row['scenario']}: {note}" for row in every for note in row["notes"])


def main() -> int:
    """Run what is named, default all; 1 if a round failed or there is a scenario with none."""
    parser = argparse.ArgumentParser(prog="scripts/nightly", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="one of the table's names")
    parser.add_argument("--release", action="store_true", help="three hours instead of half a one")
    parser.add_argument("--rounds", type=int, default=10**9, help="of each scenario at most")
    parser.add_argument("--folder", type=Path, default=ROOT / ".nightly", help="for the results")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}")
    rounds = Rounds(options.folder, "release" if options.release else "nightly")
    wanted = options.scenarios or [*SCENARIOS]
    for name in wanted:
        rounds.run(name, options.rounds)
    table = "\n".join(rounds.table())
    (rounds.folder / f"{rounds.tier}.md").write_text(table + "\n")
    print(table)
    rows = [row for row in rounds.rows() if row["scenario"] in wanted]
    is_whole = {row["scenario"] for row in rows} == set(wanted)
    return 0 if is_whole and all(row["is_ok"] and row["count"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
