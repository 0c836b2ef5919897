"""This user's machine as the set-up of editors sees it: home, settings folders, programs.

Knows no editor. Everything comes in by values, so that another home can be looked at too.
"""

import os
import shutil
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[2] / "foretype.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where one user's programs and settings are."""

    home: Path
    environ: Mapping[str, str]
    platform: str = sys.platform
    python: Path = field(default_factory=lambda: Path(sys.executable))

    @property
    def config_home(self) -> Path:
        """The folder in which programs keep their settings."""
        named = self.environ.get("XDG_CONFIG_HOME", "")
        if Path(named).is_absolute():
            return Path(named)
        if self.platform == "win32":
            return Path(self.environ.get("LOCALAPPDATA") or self.home / "AppData" / "Local")
        return self.home / ".config"

    @property
    def data_home(self) -> Path:
        """The folder in which programs keep data that lasts."""
        named = self.environ.get("XDG_DATA_HOME", "")
        return Path(named) if Path(named).is_absolute() else self.home / ".local" / "share"

    @property
    def application_folder(self) -> Path:
        """Where desktop programs keep their settings, which differs by system."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environ.get("APPDATA") or self.home / "AppData" / "Roaming")
        return self.config_home

    def program(self, *names: str) -> Path | None:
        """Return the first of these programs that is on the PATH."""
        search = self.environ.get("PATH", "")
        found = (shutil.which(name, path=search) for name in names)
        return next((Path(place).absolute() for place in found if place), None)


def this_machine() -> Machine:
    """Return the machine that we run on."""
    return Machine(home=Path.home(), environ=os.environ)


def server_command(machine: Machine) -> list[str]:
    """Return the command line of the language server, with full paths.

    Editors that are started from a desktop often have another PATH than the shell. And Python is
    isolated: what PYTHONPATH names, and the folder that it is started in, bring nothing in.
    """
    is_installed = LAUNCHER.parent in [Path(place).resolve() for place in site.getsitepackages()]
    launcher = ["-m", "foretype"] if is_installed else [str(LAUNCHER)]
    return [str(machine.python), "-I", *launcher, "lsp"]


def find_program(machine: Machine) -> Path | None:
    """Return our program, for editors that take a program only."""
    name = "foretype.exe" if machine.platform == "win32" else "foretype"
    beside = machine.python.parent / name
    return machine.program("foretype") or (beside if beside.is_file() else None)


def shipped(name: str) -> Path | None:
    """Return our folder of files for the editor `name`: from the package, or from the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "setup" / "editors" / name, package.parent / "editors" / name):
        if folder.is_dir():
            return folder
    return None
