"""`foretype doctor`: what is installed and how well it works, each fault with its remedy."""

import functools
from typing import Literal, NamedTuple

State = Literal["ok", "warning", "broken"]


class CheckResult(NamedTuple):
    """One thing looked at, and what to do if it is not as it should be."""

    state: State
    name: str
    found: str
    fix: str = ""  # empty: nothing to do


ok = functools.partial(CheckResult, "ok")
warning = functools.partial(CheckResult, "warning")  # it could be better
broken = functools.partial(CheckResult, "broken")  # it keeps foretype from working
