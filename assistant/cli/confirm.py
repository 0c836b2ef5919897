"""A yes or no from whoever sits at the terminal. Knows nothing of what is asked."""

import sys


def agrees(question: str) -> bool:
    """Ask; no answer, as without a terminal, is a no."""
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        sys.stdout.write("no answer; --yes agrees beforehand\n")
        return False
