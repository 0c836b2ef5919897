"""The `train` extra, which a serving installation lacks: installed on consent when needed."""

import importlib.metadata
import importlib.util
import subprocess
import sys

from assistant.cli.command import agrees


def offer_to_install(command: str, missing: str) -> bool:
    """Say what a command needs; at a terminal, ask and install it. Return whether it is there."""
    advice = f'install it with: {sys.executable} -m pip install "foretype[train]"'
    sys.stderr.write(f"foretype: `{command}` needs {missing}; {advice}\n")
    requirements = _requirements()
    can_ask = requirements and importlib.util.find_spec("pip") and sys.stdin.isatty()
    if not can_ask or not agrees(f"Install {', '.join(requirements)} now (PyTorch is large)?"):
        return False
    return not subprocess.call([sys.executable, "-m", "pip", "install", *requirements])  # noqa: S603


def _requirements() -> list[str]:
    """Return the packages of the extra; none where foretype itself is not installed."""
    try:
        declared = importlib.metadata.requires("foretype") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    parts = (requirement.partition(";") for requirement in declared)
    return [name.strip() for name, _, marker in parts if "train" in marker]
