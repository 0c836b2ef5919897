"""A developer of two folders for hours, at each commit for seconds: nothing grows, nothing is lost.

Keys in bursts, accepted suggestions, other files, saves, changes of branch in a real repository, a
malformed message in a hundred, and the command line beside it. `tests.rounds` says how long and how
much faster than a person.
"""

import itertools
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import tiny_folder
from tests.e2e.raw_client import ROOT, Client, ServerProcess, framed
from tests.e2e.test_index import uri
from tests.programs import run_program
from tests.repositories import commit_files, new_repository, plain_git
from tests.rounds import SOAK_MINUTES, SOAK_SPEED, count, shifted
from tests.training.data.test_prepare import code

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(SOAK_MINUTES * 90 + 300),
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux"),
]

KEYS_IN_S = 8.0
ANSWER_S = 60.0
LONG_MINUTES = 30.0  # what grows is told from what begins
WARM_MINUTES, WARM_SPEED = 15.0, 32.0  # before a long one: a working day fills every cache
MAX_MB_IN_HOUR = 1.0  # whatever the speed
MAX_BEGINNING_MB = 60.0  # of growth after the first quarter of a short soak
MAX_LINES = 80  # then the file begins anew: what is worked on stays as large as it is
MAX_SEGMENTS = 20  # of both folders
MAX_STALL_MS = 50.0  # of the loop's own CPU time
FOLDERS = ("one", "two")
MALFORMED = [
    framed(b'{"jsonrpc": "2.0", "id": "m", "method": "textDocument/inlineCompletion"}'),
    framed(b'{"jsonrpc": "2.0", "id": "m", "method": 7, "params": []}'),
    framed(b'{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"a": 1}}'),
    framed(b'{"jsonrpc": "2.0", "id": {}, "result": "\xff"}'),
    framed(b"[" * 2_000),
    framed(b'{"id": "m", "method": "shutdown", "params": {'),
    b"Content-Length: nonsense\r\n\r\n",
    b"\r\n\r\n",
]


class Answers:
    """When each reply came, and what it said; unlike the client's own, not kept."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._take = client._take
        self._asked: dict[int, tuple[float, str]] = {}
        self.ms: list[float] = []
        self.newest: tuple[int, list[dict[str, Any]]] = (0, [])
        self.wrong: list[str] = []
        client._take = self.take  # type: ignore[method-assign]

    def ask(self, folder: str, document: str, line: int, character: int) -> int:
        number = self._client._n_requests + 1
        self._asked[number] = time.monotonic(), folder
        return self._client.ask_inline(document, line, character)

    def take(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        if "method" in message or number not in self._asked:
            if message.get("id") is None or type(message["id"]) is str:
                return  # what is said about malformed messages
            self._take(message)
            return
        begun_s, folder = self._asked.pop(number)
        self._client._replies.pop(number, None)
        self.ms.append(1_000 * (time.monotonic() - begun_s))
        items = (message.get("result") or {}).get("items", [])
        other = next(name for name in FOLDERS if name != folder)
        if any(f"{other}_only" in item["insertText"] for item in items) or "error" in message:
            self.wrong.append(str(message))
        self.newest = number, items

    @property
    def n_waiting(self) -> int:
        return len(self._asked)


class Desk:
    """The developer's files, and what is done to them."""

    def __init__(self, place: Path, client: Client, dice: random.Random) -> None:
        self.client = client
        self.answers = Answers(client)
        self._dice = dice
        self._lines: dict[str, list[str]] = {}
        self._versions = itertools.count(2)
        self.roots = {
            folder: new_repository(
                place / folder,
                {f"{n}.py": code(f"{folder}_only_{n}", n_lines=40) for n in range(6)},
            )
            for folder in FOLDERS
        }
        for root in self.roots.values():
            plain_git(root, "branch", "other")
            plain_git(root, "tag", "begin")
        self.switch_file()

    def switch_file(self) -> None:
        self.folder = self._dice.choice(FOLDERS)
        self.path = self._dice.choice(sorted(self.roots[self.folder].glob("*.py")))
        self.uri = uri(self.path)
        if self.uri in self._lines and self._dice.random() < 0.3:
            self.client.notify("textDocument/didClose", {"textDocument": {"uri": self.uri}})
            del self._lines[self.uri]
        if self.uri not in self._lines:
            text = self.path.read_text()
            self._lines[self.uri] = text.split("\n")
            self.client.open(self.uri, text)
        self.line = self._dice.randrange(len(self.lines))

    @property
    def lines(self) -> list[str]:
        return self._lines[self.uri]

    def insert(self, text: str) -> None:
        """Type at the end of the line that is worked on, and ask for a suggestion there."""
        at = {"line": self.line, "character": len(self.lines[self.line])}
        change = {"range": {"start": at, "end": at}, "text": text}
        self.client.change(self.uri, next(self._versions), change)
        typed = (self.lines[self.line] + text).split("\n")
        self.lines[self.line : self.line + 1] = typed
        self.line += len(typed) - 1
        self._asked = self.answers.ask(self.folder, self.uri, self.line, len(self.lines[self.line]))

    def accept(self) -> None:
        number, items = self.answers.newest
        if items and number == self._asked:
            text = items[0]["insertText"].replace("\r", "")
            self.insert(text[: len(text) // 2 or 1] if self._dice.random() < 0.4 else text)

    def save(self) -> None:
        if len(self.lines) > MAX_LINES:
            self.client.notify("textDocument/didClose", {"textDocument": {"uri": self.uri}})
            plain_git(self.roots[self.folder], "checkout", "-q", "begin", "--", self.path.name)
            del self._lines[self.uri]
            self.switch_file()
        self.path.write_text("\n".join(self.lines))
        self.client.notify("textDocument/didSave", {"textDocument": {"uri": self.uri}})

    def change_branch(self) -> None:
        root = self.roots[self.folder]
        commit_files(root, {})
        names = plain_git(root, "branch", "--format=%(refname:short)").split()
        now = plain_git(root, "branch", "--show-current").strip()
        plain_git(root, "checkout", "-q", next(name for name in names if name != now))

    def break_a_message(self) -> None:
        self.client.send_bytes(self._dice.choice(MALFORMED))


class Samples:
    """The server's memory, files and threads over time."""

    def __init__(self, pid: int) -> None:
        self._place = Path(f"/proc/{pid}")
        self.rows: list[tuple[float, float, int, int]] = []  # hours, MB, files, threads

    def take(self) -> None:
        text = (self._place / "smaps_rollup").read_text()
        (line,) = [line for line in text.splitlines() if line.startswith("Anonymous:")]
        n_files = len([*(self._place / "fd").iterdir()])
        n_threads = len([*(self._place / "task").iterdir()])
        hours = time.monotonic() / 3_600
        self.rows.append((hours, int(line.split()[1]) / 1024, n_files, n_threads))

    def settled(self) -> list[tuple[float, float, int, int]]:
        """Return them without the first quarter."""
        return self.rows[len(self.rows) // 4 :]


def slope(rows: list[list[float]]) -> tuple[float, float, float]:
    """Return MB an hour, and the ends of its 95% interval (Theil and Sen).

    Neighbours resemble each other, so only some hundred rows count as told apart.
    """
    rows = rows[:: max(1, len(rows) // 100)]
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(rows, 2))
    n = len(rows)
    half = round(1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18) / 2)
    middle = len(slopes) // 2
    low, high = max(0, middle - half), min(len(slopes) - 1, middle + half)
    return slopes[middle], slopes[low], slopes[high]


def times(dice: random.Random, every_s: float, end_s: float) -> Iterator[float]:
    """Yield when something is due: now and then, at least once."""
    now_s = time.monotonic()
    at = now_s + min(every_s, (end_s - now_s) / 3) * dice.random()
    while True:
        yield at
        at += every_s * (0.5 + dice.random())
        if at > end_s:
            at = float("inf")


def type_for(
    minutes: float, speed: float, desk: Desk, samples: Samples, dice: random.Random
) -> None:
    end_s = time.monotonic() + 60 * minutes
    commands = itertools.cycle((["stats"], ["index", "status", str(desk.roots["one"])]))

    def run_beside() -> None:
        command = [sys.executable, str(ROOT / "foretype.py"), *next(commands)]
        done = run_program(command, timeout=120)
        assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr

    jobs = [
        (desk.switch_file, times(dice, 40.0 / speed, end_s)),
        (desk.save, times(dice, 20.0 / speed, end_s)),
        (desk.change_branch, times(dice, 600.0 / speed, end_s)),
        (samples.take, times(dice, min(10.0, 3.0 * minutes), end_s)),
        (run_beside, times(dice, 300.0 / speed, end_s)),
    ]
    due = [next(moments) for _, moments in jobs]
    while (now_s := time.monotonic()) < end_s:
        for number, (act, moments) in enumerate(jobs):
            if now_s >= due[number]:
                act()
                due[number] = next(moments)
        for key in dice.choice(("value = ", "return self.", "for item in ", "\n    if ")):
            desk.insert(key)
            if dice.random() < 0.01:
                desk.break_a_message()
            time.sleep(dice.uniform(0.5, 1.5) / KEYS_IN_S / speed)
        if dice.random() < 0.5:
            desk.accept()


def test_a_developer_for_long(tmp_path: Path, shared_cache: Path) -> None:
    dice = random.Random(shifted(0))
    beats = tmp_path / "beats"
    python = ["env", "PYTHONMALLOC=malloc", sys.executable]  # what Python holds is seen, too
    command = [*python, "-m", "tests.e2e.watched_server", str(beats)]
    options: dict[str, int | str] = {"deadline_ms": 10_000, "max_new_tokens": 8}
    if SOAK_MINUTES < 1:
        options["model"] = str(tiny_folder(tmp_path))
    with ServerProcess(command=command) as server:
        folders = [{"uri": uri(tmp_path / name), "name": name} for name in FOLDERS]
        server.client.initialize(initializationOptions=options, workspaceFolders=folders)
        desk, samples = Desk(tmp_path, server.client, dice), Samples(server.process.pid)
        if SOAK_MINUTES >= LONG_MINUTES:
            type_for(WARM_MINUTES, WARM_SPEED, desk, samples, dice)
            desk.answers.ms.clear()
            samples.rows.clear()
            for written in (beats, beats.with_suffix(".memory")):
                os.truncate(written, 0)  # the server appends
        samples.take()
        type_for(SOAK_MINUTES, SOAK_SPEED, desk, samples, dice)
        samples.take()
        wait_s = time.monotonic() + ANSWER_S
        while desk.answers.n_waiting and time.monotonic() < wait_s:
            time.sleep(0.01)
        assert desk.answers.n_waiting == 0, "requests without an answer"
        assert server.finish() == 0
    check(desk.answers, samples, beats)


def check(answers: Answers, samples: Samples, beats: Path) -> None:
    stalls = [[*map(float, line.split())] for line in beats.read_text().splitlines()]
    settled_stalls = stalls[len(stalls) // 4 :]  # modules are imported when they are needed first
    late_ms, own_ms = (max((stall[i] for stall in settled_stalls), default=0.0) for i in (0, 1))
    ms, settled = answers.ms, samples.settled()
    growth_mb = settled[-1][1] - settled[0][1]
    lines = beats.with_suffix(".memory").read_text().splitlines()
    used = [[*map(float, line.split())] for line in lines]
    used = used[len(used) // 4 :]
    steepness, low, high = slope(used)
    rows = samples.rows
    mb = ", ".join(f"{rows[len(rows) * part // 4 - 1][1]:.0f}" for part in (1, 2, 3, 4))
    p50, p95 = (statistics.quantiles(ms, n=20)[at] for at in (9, 18))
    count(
        SOAK_MINUTES,
        f"{len(ms)} requests, p50 {p50:.0f} ms, p95 {p95:.0f} ms; memory after each quarter"
        f" {mb} MB; in use {used[0][1]:.1f} to {used[-1][1]:.1f} MB, {steepness:+.2f} [{low:+.2f},"
        f" {high:+.2f}] MB/h; files {settled[0][2]} to {settled[-1][2]}, threads"
        f" {settled[0][3]} to {settled[-1][3]}; longest stall {late_ms:.0f} ms, the loop's own work"
        f" {own_ms:.0f} ms",
    )
    assert answers.wrong == []
    assert len(ms) > 10
    # Each segment of an index is an open file, and there are more until they are merged.
    assert settled[-1][2] <= settled[0][2] + MAX_SEGMENTS
    assert settled[-1][3] <= settled[0][3] + (20 if SOAK_MINUTES < 1 else 4)
    if SOAK_MINUTES < LONG_MINUTES:
        assert growth_mb < MAX_BEGINNING_MB
    else:
        assert steepness <= MAX_MB_IN_HOUR
    assert own_ms <= MAX_STALL_MS or SOAK_MINUTES < 1
