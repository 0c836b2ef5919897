"""From a clone to grey text, timed: `python -m tests.benchmarks.bench_newcomer [--editor vscode]`.

Does what the README tells a newcomer, in a home and with package caches of its own: clone, install,
open a Python file, type. For Neovim by pip and `foretype setup nvim --write`; for VS Code by
`editors/vscode/package` and the extension's own offer to install the server, clicked. The editors
are there already (`scripts/setup-neovim`, `scripts/setup-vscode`). Says wall and processor seconds
of each step, and how busy the machine was: the former depend on the network and on who else is at
work.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import newcomer_vscode
from tests.benchmarks.newcomer import BUDGET_S, PATIENCE_S, SOURCE, TYPED, Clock
from tests.e2e.neovim import Editor
from tests.programs import ROOT
from tests.waiting import wait_for


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        place, clock = Path(scratch), Clock()
        clone = _prepare(place, clock)
        if options.editor == "nvim":
            text = _in_neovim(place, clone, options.nvim, clock)
        else:
            text = newcomer_vscode.follow(place, clone, options.vscode, clock)
        print(clock.summary())
    print(f"\ngrey text: {text!r}; the budget is {BUDGET_S} s")
    return 0 if clock.wall_s <= BUDGET_S else 1


def _prepare(place: Path, clock: Clock) -> Path:
    """Take the user's own settings and caches away, and clone."""
    (place / "home").mkdir()
    for name in [name for name in os.environ if name.startswith(("XDG_", "FORETYPE_"))]:
        del os.environ[name]
    os.environ["PIP_CACHE_DIR"] = str(place / "pip-cache")
    os.environ["npm_config_cache"] = str(place / "npm-cache")
    with clock.step("git clone"):
        _run(["git", "clone", "--quiet", str(ROOT), str(place / "foretype")])
    return place / "foretype"


def _in_neovim(place: Path, clone: Path, nvim: str, clock: Clock) -> str:
    """Take the steps; return the grey text."""
    home, programs = place / "home", place / "venv" / "bin"
    with clock.step("pip install"):
        _run([sys.executable, "-m", "venv", str(programs.parent)])
        pip = [str(programs / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", "--constraint", str(clone / "constraints.txt"), str(clone)])
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    os.environ.update(HOME=str(home), PATH=path)
    with clock.step("foretype setup nvim --write"):
        _run([str(programs / "foretype"), "setup", "nvim", "--write", "--yes"])
    with clock.step("grey text in Neovim"):
        return _type(nvim, home / ".config" / "nvim" / "plugin" / "foretype.lua", place)


def _type(nvim: str, configuration: Path, place: Path) -> str:
    file = place / "basket.py"
    file.write_text(SOURCE, encoding="utf-8")
    editor = Editor(nvim, configuration, file)
    try:
        editor.wait_for_client(PATIENCE_S)
        editor.keys(f"Go<Esc>0DA{TYPED}")

        def look() -> str | None:
            if (ghost := editor.ghost()) is None:
                editor.keys("<Space><BS>")  # a person goes on typing while the model loads
            return ghost

        return wait_for(look, f"grey text; {editor.messages()}", PATIENCE_S, pause_s=2.0)
    finally:
        editor.close()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_newcomer", description=__doc__.splitlines()[0])
    parser.add_argument("--editor", choices=("nvim", "vscode"), default="nvim")
    unpacked = ROOT / ".venv" / "neovim" / "root" / "usr" / "bin" / "nvim"
    parser.add_argument("--nvim", default=str(unpacked), help="Neovim 0.12 or newer")
    fetched = ROOT / ".venv" / "vscode"
    parser.add_argument("--vscode", default=fetched, type=Path, help="made by setup-vscode")
    return parser


if __name__ == "__main__":
    sys.exit(main())
