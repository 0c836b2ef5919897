"""Imports the protocol's classes in half the time.

lsprotocol builds 554 classes when it is imported, most of the time for comparing and printing their
objects. We do neither, and what cannot be printed cannot put the user's text into a log. This is a
fifth of the time from start to the first suggestion.
"""

import functools
import sys

import attrs


def import_lsprotocol() -> None:
    """Import lsprotocol.types without those methods, unless it is imported already.

    No other thread may be defining classes with attrs meanwhile; the engine has none.
    """
    if "lsprotocol.types" in sys.modules:
        return
    define = attrs.define
    attrs.define = functools.partial(define, eq=False, repr=False)
    try:
        import lsprotocol.types  # noqa: F401
    finally:
        attrs.define = define
