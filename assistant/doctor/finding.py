"""What a check found. Knows no check and no output."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """One thing looked at, and what to do if it is not as it should be."""

    name: str
    state: State
    found: str
    fix: str = ""  # empty: nothing to do


def ok(name: str, found: str) -> CheckResult:
    """Return that something is as it should be."""
    return CheckResult(name=name, state="ok", found=found)


def warning(name: str, found: str, fix: str) -> CheckResult:
    """Return that something could be better."""
    return CheckResult(name=name, state="warning", found=found, fix=fix)


def broken(name: str, found: str, fix: str) -> CheckResult:
    """Return that something keeps foretype from working."""
    return CheckResult(name=name, state="broken", found=found, fix=fix)
