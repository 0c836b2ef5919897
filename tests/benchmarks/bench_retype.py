"""Types a function of a repository again in a real editor, with the repository's index, and counts.

`python -m tests.benchmarks.bench_retype nvim|vscode REPO FILE FIRST [--lines N]`: the lines behind
the one that holds FIRST, up to the end of that block, are taken out of a clone's FILE and typed key
by key, as slowly as people type. Right grey text is taken with Tab. Counted: places (keys), texts
shown, right ones, and how often grey text went away or changed under a key (flicker); what is
shown and not right is in the way. Every text shown is printed beside what stood left of it.
`--product FOLDER` types with another checkout's server, in Neovim with its plugin too.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tests.e2e.neovim import Editor
from tests.e2e.vscode import VSCode, find_programs
from tests.programs import ROOT
from tests.waiting import wait_for
from training.evaluation.answers import is_right

SETTLE_S = 10.0
INDEX_S = 300.0  # at most, until the server has read the repository
NEOVIM = """
vim.opt.runtimepath:append('{root}/editors/neovim')
vim.cmd('filetype plugin off')
vim.o.swapfile = false
require('foretype').setup({{ cmd = {{ '{python}', '{root}/foretype.py', 'lsp' }} }})
"""
#: What an editor puts in by itself is not the author's to be counted.
VSCODE = {
    "foretype.show": "balanced",  # the tests ask for more
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
    "editor.wordBasedSuggestions": "off",
    "editor.suggestOnTriggerCharacters": False,
    "editor.insertSpaces": False,
    "editor.detectIndentation": False,
}


class Person(Protocol):
    """Someone at an editor."""

    folder: Path  # where the repository is to lie

    def open(self, file: Path, line: int) -> None:
        """Put the cursor at the end of a line."""

    def indent(self, text: str) -> None: ...

    def press(self, key: str) -> None: ...

    def ghost(self) -> str: ...

    def close(self) -> None: ...


class InNeovim:
    def __init__(self, place: Path, nvim: str, product: Path) -> None:
        self.folder = place / "workspace"
        self._configuration, self._nvim = place / "init.lua", nvim
        text = NEOVIM.format(root=product, python=sys.executable)
        self._configuration.write_text(text, encoding="utf-8")

    def open(self, file: Path, line: int) -> None:
        os.chdir(self.folder)
        self._editor = Editor(self._nvim, self._configuration, file)
        self._editor.wait_for_client(60)
        self._editor.keys(f"{line}GA")

    def indent(self, text: str) -> None:
        self._editor.keys(text.replace("\t", "<C-v><Tab>"))

    def press(self, key: str) -> None:
        self._editor.keys({"<": "<lt>", "Enter": "<CR>", "Tab": "<Tab>"}.get(key, key))

    def ghost(self) -> str:
        return self._editor.ghost() or ""

    def close(self) -> None:
        self._editor.close()


class InVSCode:
    def __init__(self, place: Path, fetched: str, product: Path) -> None:
        programs = find_programs(Path(fetched))
        if isinstance(programs, str):
            raise SystemExit(programs)
        (vsix,) = (ROOT / "editors" / "vscode").glob("*.vsix")
        program = place / "foretype"
        command = f"exec '{sys.executable}' '{product / 'foretype.py'}' \"$@\""
        program.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
        program.chmod(0o755)
        machine = {"foretype.path": str(program)}
        place = place / "vscode"
        self._window = VSCode(programs, place, vsix=vsix, machine=machine, settings=VSCODE)
        self.folder = self._window.folder

    def open(self, file: Path, line: int) -> None:
        self._window.open(file)
        wait_for(lambda: ", ready" in self._window.status(), "a ready server", 120)
        self._window.page.press("Control+g")
        time.sleep(1)
        self._window.page.type(f"{line}\n", pause_s=0.1)
        time.sleep(1)
        self._window.page.press("End")

    def indent(self, text: str) -> None:
        self._window.page.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        self._window.page.press(key)

    def ghost(self) -> str:
        return self._window.ghost()

    def close(self) -> None:
        self._window.close()


@dataclasses.dataclass
class Count:
    """What a person met with."""

    keys: int = 0
    characters: int = 0  # that these keys and what was taken came to
    shown: int = 0
    right: int = 0
    wrong: int = 0
    flicker: int = 0  # grey texts that a key contradicted, and such as changed though it did not


def retype(person: Person, lines: Sequence[str], key_s: float) -> Count:
    """Type lines behind the cursor, taking what is right; print what is shown."""
    count = Count()
    for line in lines:
        rest = line.lstrip()
        indent = line[: len(line) - len(rest)]
        person.press("Enter")
        if indent:
            time.sleep(key_s)
            person.indent(indent)
        done = last = ""
        while rest:
            time.sleep(key_s)
            ghost = person.ghost()
            text = ghost.partition("\n")[0].rstrip()
            is_taken = is_right(text, rest)
            count.flicker += bool(last) and ghost != last
            if ghost and ghost != last:
                count.shown += 1
                count.right += is_taken
                count.wrong += not is_taken
                print(f"{'right' if is_taken else 'wrong'}  {done!r} {ghost!r}")
            if is_taken and "\n" not in ghost:  # several lines are read, not taken
                person.press("Tab")
                n = len(text)
            else:
                person.press(rest[0])
                n = 1
                count.flicker += bool(ghost) and not ghost.startswith(rest[0])
            last = ghost[n:] if ghost.startswith(rest[:n]) else ""
            done, rest = done + rest[:n], rest[n:]
            count.keys += 1
            count.characters += n
    return count


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    for name in [name for name in os.environ if name.startswith(("XDG_", "FORETYPE_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        place = Path(scratch)
        os.environ |= {"HOME": scratch, "FORETYPE_CACHE": str(place / "cache")}
        kinds: dict[str, Callable[[Path, str, Path], Person]]
        kinds = {"nvim": InNeovim, "vscode": InVSCode}
        person = kinds[options.editor](place, options.program, options.product)
        try:
            clone = ["git", "clone", "--quiet", options.repository, str(person.folder)]
            subprocess.run(clone, check=True)
            file = person.folder / options.file
            number, lines = _take_out(file, options.first)
            person.open(file, number)
            _wait_for_index(place / "cache")
            count = retype(person, lines[: options.lines], options.key_s)
        finally:
            person.close()
    print(f"{options.editor}, {options.file}: {count}")
    return 0


def _wait_for_index(cache: Path) -> None:
    """Wait until the server has read the whole repository, and has seen that it has."""

    def look() -> bool:
        manifests = cache.glob("*/*/manifest.json")
        return any('"is_complete":true' in file.read_text("utf-8") for file in manifests)

    wait_for(look, "a whole index", INDEX_S, pause_s=1)
    time.sleep(SETTLE_S)


def _take_out(file: Path, first: str) -> tuple[int, list[str]]:
    """Take the block behind the line that holds `first` out; return that line's number, and it."""
    lines = file.read_text(encoding="utf-8").split("\n")
    at = next(number for number, line in enumerate(lines) if first in line)
    indent = len(lines[at]) - len(lines[at].lstrip())
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][: indent + 1].isspace()):
        end += 1
    file.write_text("\n".join(lines[: at + 1] + lines[end:]), encoding="utf-8")
    return at + 1, [line.rstrip() for line in lines[at + 1 : end] if line.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_retype", description=__doc__.splitlines()[0])
    parser.add_argument("editor", choices=("nvim", "vscode"))
    parser.add_argument("repository", help="to clone")
    parser.add_argument("file")
    parser.add_argument("first", help="what the line before the block holds")
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--key-s", type=float, default=0.25, help="from key to key")
    help_ = "the editor: Neovim's program, or what setup-vscode made"
    parser.add_argument("--program", help=help_, required=True)
    parser.add_argument("--product", type=Path, default=ROOT, help="a checkout of foretype")
    return parser


if __name__ == "__main__":
    sys.exit(main())
