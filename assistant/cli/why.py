"""`foretype why FILE:LINE:COL`: how the suggestion at a cursor came about, or why there is none.

The same arguments and exit codes as `foretype complete`; --json prints the whole record.
"""

import functools
from collections.abc import Sequence

from assistant.cli import complete

_parser = functools.partial(complete._parser, explains=True)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    return complete.main(argv, explains=True)
