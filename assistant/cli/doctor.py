"""`foretype doctor [FOLDER]`: check the installation, say how each fault is mended."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from assistant.cli.command import CommandParser, UsageError, run_command, write_json
from assistant.doctor import CheckResult, installation
from assistant.settings import Settings
from assistant.setup.machine import this_machine

WORKS, BROKEN = 0, 1
_COLOURS = {"ok": "\x1b[32m", "warning": "\x1b[33m", "broken": "\x1b[31m"}
_RESET = "\x1b[0m"


def main(argv: Sequence[str]) -> int:
    """Run `foretype doctor` with its arguments; return the exit code."""
    return run_command("doctor", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    if not Path(options.folder).is_dir():
        raise UsageError(f"{options.folder} is not a folder")
    is_timed, is_wide = not options.no_timing, not options.no_editors
    findings = examine(Path(options.folder), is_timed=is_timed, is_wide=is_wide)
    if not options.json:
        return BROKEN if "broken" in _write_as_lines(findings) else WORKS
    listed = [finding._asdict() for finding in findings]
    works = all(finding["state"] != "broken" for finding in listed)
    write_json({"works": works, "findings": listed})
    return WORKS if works else BROKEN


def examine(place: Path, *, is_timed: bool = True, is_wide: bool = True) -> Iterator[CheckResult]:
    """Yield what each check finds, as soon as it is known; `is_wide`: the editors too."""
    machine = this_machine()
    yield installation.python()
    libraries = installation.libraries()
    yield libraries
    yield installation.processor()
    if is_wide:  # an editor that asks has found the program
        yield installation.command(machine)
        yield installation.warm_process()
    yield installation.git(machine)
    settings, finding = installation.settings()
    yield finding
    if libraries.state != "broken":  # the rest is theirs
        yield from _examine_storage(settings, place, is_timed=is_timed)
    if is_wide:
        yield from installation.editors(machine)


def _examine_storage(
    settings: Settings | None, place: Path, *, is_timed: bool
) -> Iterator[CheckResult]:
    from assistant.doctor import storage

    yield storage.cache()
    yield storage.telemetry()
    if settings is not None:
        folders = [*storage.served_models(settings)]
        yield from folders
        yield from storage.own_models(settings, place)
        yield storage.index(settings, place)
        yield storage.statistics(settings)
        yield installation.remote(settings)
        if is_timed and all(item.state != "broken" for item in folders):
            from assistant.doctor import timing

            yield timing.completion(settings)


def _write_as_lines(findings: Iterable[CheckResult]) -> list[str]:
    states: list[str] = []
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for finding in findings:
        states.append(finding.state)
        state = f"{finding.state:<8}"
        if is_coloured:
            state = f"{_COLOURS[finding.state]}{state}{_RESET}"
        print(f"{state} {finding.name:<12} {' '.join(finding.found.split())}", flush=True)
        if finding.fix:
            print(f"{'':<22}-> {finding.fix}", flush=True)
    n_broken, n_warnings = states.count("broken"), states.count("warning")
    print(f"\n{n_broken} broken, {n_warnings} to look at, {len(states)} checked.")
    return states


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype doctor",
        description="Check the installation, and say how each fault is mended.",
        epilog="exit codes: 0 all works (warnings included), 1 something is broken, 2 bad usage",
    )
    add = parser.add_argument
    add("folder", nargs="?", default=".", help="whose index to look at")
    add("--json", action="store_true", help="print the findings as JSON")
    add("--no-timing", action="store_true", help="leave the timed completion out")
    add("--no-editors", action="store_true", help="leave the editors out, as one that asks would")
    return parser
