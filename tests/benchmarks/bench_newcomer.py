"""From a clone to grey text in Neovim, timed: `python -m tests.benchmarks.bench_newcomer`.

Does what README tells a newcomer, in a home of its own: clone, install, `foretype setup nvim
--write`, open a Python file, type. Needs Neovim 0.12 (`scripts/setup-neovim`) and what pip installs
from. Says wall and processor seconds of each step: the former depend on the network and on who else
is at work.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.neovim import Editor

ROOT = Path(__file__).resolve().parents[2]
BUDGET_S = 120
SOURCE = '''\
"""A shopping basket."""


class Basket:
    def __init__(self):
        self.prices = []

    def add(self, price):
        self.prices.append(price)

    def total(self):
'''
TYPED = "        return sum(self."
PATIENCE = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        clock = _Clock()
        text = _follow(Path(scratch), options.nvim, clock)
    print(f"{'all':28} {clock.wall_s:8.1f} s   {clock.cpu_s:8.1f} s of processor")
    print(f"\ngrey text: {text!r}; the budget is {BUDGET_S} s")
    return 0 if clock.wall_s <= BUDGET_S else 1


class _Clock:
    """Adds up steps; a child's processor time counts once it has ended."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started, used = time.monotonic(), _children_s()
        yield
        wall_s, cpu_s = time.monotonic() - started, _children_s() - used
        print(f"{name:28} {wall_s:8.1f} s   {cpu_s:8.1f} s of processor", flush=True)
        self.wall_s += wall_s
        self.cpu_s += cpu_s


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _follow(scratch: Path, nvim: str, clock: _Clock) -> str:
    """Take the steps; return the grey text."""
    home, clone, programs = scratch / "home", scratch / "foretype", scratch / "venv" / "bin"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("XDG_", "FORETYPE_"))]:
        del os.environ[name]
    environ = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    with clock.step("git clone"):
        _run(["git", "clone", "--quiet", str(ROOT), str(clone)])
    with clock.step("pip install"):
        _run([sys.executable, "-m", "venv", str(programs.parent)])
        pip = [str(programs / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", "--constraint", str(clone / "constraints.txt"), str(clone)])
    os.environ.update(environ, HOME=str(home))
    with clock.step("foretype setup nvim --write"):
        _run([str(programs / "foretype"), "setup", "nvim", "--write", "--yes"])
    with clock.step("grey text in Neovim"):
        return _type(nvim, home / ".config" / "nvim" / "plugin" / "foretype.lua", scratch)


def _type(nvim: str, configuration: Path, scratch: Path) -> str:
    file = scratch / "basket.py"
    file.write_text(SOURCE, encoding="utf-8")
    editor = Editor(nvim, configuration, file)
    try:
        editor.wait_for_client()
        editor.keys(f"Go<Esc>0DA{TYPED}")
        ends = time.monotonic() + PATIENCE
        while not (ghost := editor.ghost()):
            assert time.monotonic() < ends, f"no grey text: {editor.messages()}"
            time.sleep(0.5)
            editor.keys("<Space><BS>")  # a person goes on typing while the model loads
        return ghost
    finally:
        editor.close()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_newcomer", description=__doc__.splitlines()[0])
    unpacked = ROOT / ".venv" / "neovim" / "root" / "usr" / "bin" / "nvim"
    parser.add_argument("--nvim", default=str(unpacked), help="Neovim 0.12 or newer")
    return parser


if __name__ == "__main__":
    sys.exit(main())
