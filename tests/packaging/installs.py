"""Real installs of this checkout in fresh environments, for the tests beside this file.

Dependencies come from the running environment by a path file, so nothing is fetched.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.programs import ROOT

PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input"]


def run(command: list[str], **options: object) -> str:
    """Run, and show what the program said if it failed."""
    done = subprocess.run(  # type: ignore[call-overload]
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, **options
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return str(done.stdout)


def build(kind: str, folder: Path) -> Path:
    """Build a "wheel" or an "sdist" of this checkout into `folder`."""
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)], cwd=ROOT)
    (built,) = folder.iterdir()
    return built


def install(what: list[str], folder: Path) -> Path:
    """Install into a fresh environment in `folder`; return its folder of programs."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # pip's own interpreter option makes the new environment the target.
    target = ["--python", str(folder / "bin" / "python"), "install"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    run([sys.executable, *PIP, *target, *options, *what])
    return folder / "bin"
