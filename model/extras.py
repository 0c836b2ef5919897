"""How what an installation lacks is put into it: parts of foretype that not everybody needs."""

import importlib.util
import sys
from pathlib import Path


def how_to_add(extra: str) -> str:
    """Return the command that adds an extra to the environment that runs this.

    Those that uv makes, by itself or for pipx and our VS Code extension, have no pip.
    """
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    if importlib.util.find_spec("pip") is not None:
        start = f"{python} -m pip install"
    elif Path(sys.prefix, "pipx_metadata.json").is_file():
        start = f"pipx runpip {Path(sys.prefix).name} install"
    else:
        start = f"uv pip install --python {python}"
    return f'{start} "foretype[{extra}]"'
