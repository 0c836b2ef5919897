"""Checks of the installation: Python, libraries, git, settings, the remote server, the editors.

Imports the libraries that it checks only when asked to; asks no server and sends nothing.
"""

import importlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from assistant import warm
from assistant.doctor import CheckResult, broken, ok, warning
from assistant.errors import RemoteError, SettingsError
from assistant.logs import configure
from assistant.remote.settings import (
    find_missing,
    load_remote_settings,
    read_key,
    remote_settings_path,
)
from assistant.settings import Settings, load_settings, settings_path
from assistant.setup.change import SetupError
from assistant.setup.editors import EDITORS, Editor
from assistant.setup.machine import Machine, server_command

LIBRARIES = ("numpy", "model.runtime_onnx", "regex", "tiktoken", "tree_sitter", "pygls")
CPU_INFO = Path("/proc/cpuinfo")
NEOVIM_NEEDED = (0, 11)
VERSION_TIMEOUT_S = 10
_NOT_SET_UP = "is not set up"


def python() -> CheckResult:
    """Look at the interpreter."""
    version = platform.python_version()
    found = f"{platform.python_implementation()} {version} at {sys.executable}"
    if sys.maxsize < 1 << 32:
        return broken("Python", f"{found}, 32 bits", "install a 64-bit Python 3.11 or newer")
    return ok("Python", found)


def libraries(names: Sequence[str] = LIBRARIES) -> CheckResult:
    """Import what serving needs."""
    failed = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a broken binary may raise anything
            failed.append(f"{name} ({type(error).__name__}: {error})")
    if failed:
        fix = "install foretype again, as it was; in a checkout: pipx install --force ."
        return broken("libraries", f"cannot import {', '.join(failed)}", fix)
    onnxruntime = importlib.metadata.version("onnxruntime")
    return ok("libraries", f"{len(names)} imported; onnxruntime {onnxruntime}")


def processor(cpu_info: Path = CPU_INFO) -> CheckResult:
    """Look at what the processor offers for 8-bit products."""
    kind = platform.machine()
    try:
        text = cpu_info.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ok("processor", f"{kind}; its features cannot be read on this system")
    count = len(re.findall(r"^processor\s*:", text, re.M)) or 1
    if kind in ("x86_64", "AMD64") and not re.search(r"^flags\s*:.*\bavx2\b", text, re.M):
        fix = "nothing to mend; a smaller `max_new_tokens` helps a slow machine"
        return warning("processor", f"{count} x {kind} without AVX2: several times slower", fix)
    return ok("processor", f"{count} x {kind}")


def command(machine: Machine) -> CheckResult:
    """Look whether editors can start the server by its name."""
    program = machine.program("foretype")
    if program is not None:
        return ok("command", str(program))
    line = " ".join(server_command(machine))
    fix = f"put its folder on the PATH, or name it in your editor: {line}"
    return warning("command", "`foretype` is not on the PATH", fix)


def warm_process() -> CheckResult:
    """Look whether a process waits for `foretype complete --warm`."""
    if not warm.has_sockets():
        return ok("warm", "no process stays on this system: `complete --warm` does it itself")
    waits = "a process waits" if warm.is_running() else "no process waits"
    return ok("warm", f"{waits} for `foretype complete --warm` in {warm.runtime_folder()}")


def git(machine: Machine) -> CheckResult:
    """Look for git, which tells what belongs to a repository."""
    program = machine.program("git")
    if program is not None:
        return ok("git", str(program))
    fix = "install git; without it only the .gitignore files of a folder are heeded"
    return warning("git", "not found on the PATH", fix)


def settings() -> tuple[Settings | None, CheckResult]:
    """Read the user's settings; None if they cannot be used."""
    path = settings_path()
    try:
        read = load_settings()
        if read.log_file:
            configure(read.log_file).close()
    except SettingsError as error:
        return None, broken("settings", str(error), f"correct {path} or the environment variable")
    found = str(path) if path.is_file() else f"the defaults ({path} is not there)"
    if not read.enabled or read.show == "off":
        off = "enabled = false" if not read.enabled else 'show = "off"'
        return read, warning("settings", f"{found}: {off}, so nothing is suggested", "change that")
    return read, ok("settings", found)


def remote(settings: Settings) -> CheckResult:
    """Look at what `remote.toml` says, and whether the key that it names is there."""
    path = remote_settings_path()
    try:
        asked = load_remote_settings()
    except SettingsError as error:
        return broken("remote", str(error), f"correct {path}, or delete it")
    if asked.mode == "off" or not settings.allow_remote:
        return ok("remote", "off: no code leaves this machine")
    found = f"{asked.mode}: {asked.provider} at {asked.host}"
    if not asked.is_consented:
        fix = f'to agree, write send_code_to = "{asked.host}" into {path}'
        return warning("remote", f"{found}, but nothing is sent without your yes", fix)
    if missing := find_missing():
        need, _, command = missing.partition(": ")
        return warning("remote", f"{found}, but {need}", command)
    try:
        read_key(asked)
        from assistant.remote.connection import find_route  # needs what is not missing

        find_route(asked)
    except RemoteError as error:
        return warning("remote", f"{found}: {error}", f"mend it, or change {path}")
    return ok("remote", f"{found}; `foretype egress` shows what left")


def editors(machine: Machine) -> Iterator[CheckResult]:
    """Look at each editor that is on the PATH."""
    command = server_command(machine)
    found = [(editor, machine.program(*editor.programs)) for editor in EDITORS.values()]
    looked_at = [_editor(editor, program, machine, command) for editor, program in found if program]
    if not looked_at:
        names = ", ".join(editor.title for editor in EDITORS.values())
        fix = "install one, or start `foretype lsp` from yours (editors/README.md)"
        yield warning("editors", f"none of {names} is on the PATH", fix)
    has_one = any(finding.state == "ok" for finding in looked_at)
    for finding in looked_at:
        # Who has set up one editor does not want to hear of every other on the machine.
        is_spare = has_one and finding.found.endswith(_NOT_SET_UP)
        yield ok(finding.name, f"{finding.found} ({finding.fix})") if is_spare else finding


def _editor(editor: Editor, program: Path, machine: Machine, command: list[str]) -> CheckResult:
    version = neovim_version(program) if editor.name == "nvim" else None
    if version is not None and version < NEOVIM_NEEDED:
        shown = ".".join(map(str, version))
        return warning(editor.title, f"{program} is {shown}", "install Neovim 0.11 or newer")
    try:
        is_set_up = editor.is_set_up(machine, command)
    except SetupError as error:
        return warning(editor.title, str(error), "make the file readable")
    if is_set_up:
        return ok(editor.title, f"{program} starts foretype")
    fix = f"foretype setup {editor.name}, then the same with --write"
    return warning(editor.title, f"{program} {_NOT_SET_UP}", fix)


def neovim_version(program: Path) -> tuple[int, int] | None:
    """Return the version that the program says it is, None if it does not say."""
    try:
        said = subprocess.run(  # noqa: S603 - a program on the user's own PATH
            [str(program), "--version"],
            capture_output=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
            cwd=program.parent,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(rb"NVIM v(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None
