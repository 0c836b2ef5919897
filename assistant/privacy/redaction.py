"""Secrets and personal data in source text: where they are, and stand-ins of the same type.

A stand-in keeps a key's prefix and length, an e-mail address stays one, and so does an IP address;
equal values get equal stand-ins within a text, numbered in the order of the text, so that nothing
of the value can be guessed from them. Redacting twice changes nothing. Patterns look at no more
than a bounded piece of text from any start, so hostile text costs linear time. Knows no file.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from assistant.privacy import personal
from assistant.privacy.secret_names import (
    KUBERNETES,
    is_drawn,
    is_in_context,
    is_random,
    kubernetes_secrets,
    named_secrets,
)
from assistant.privacy.token_formats import encoded_token, headed_tokens, key_runs, odd_tokens

NAMED = "named secret"
_MAX_PASSES = 4
_MAX_PEM_CHARS = 10_000
_MIN_PEM_RUN_CHARS = 24  # of base64; words of documentation are shorter
_CHANGE = re.compile(r"[A-Za-z][0-9]|[0-9][A-Za-z]")  # every random run has some

KEY_BLOCK = re.compile(  # OpenSSL's, OpenSSH's, PGP's, SSH2's, OpenVPN's, PuTTY's
    r"-{4,5} ?BEGIN [\w ]{0,24}(?:PRIVATE KEY(?: BLOCK)?|Static key V\d) ?-{0,5}|Private-Lines: \d+"
)
_KEY_BLOCK_HINTS = ("PRIVATE KEY", "Static key", "Private-Lines")
KEY_BLOCK_END = re.compile(r"---- ?END|Private-MAC")
_PEM_BODY = re.compile(  # of one that breaks off: lines of base64, the last one filled up
    r"(?:(?:\\[nrt]|[\s\"'+\\,.()#*>/]){0,40}[A-Za-z0-9+/]{16,100}={0,2}){0,200}"
    r"(?:(?:\\[nrt]|[\s\"'+\\,.()#*>/]){0,40}[A-Za-z0-9+/]{1,15}={1,2})?"
)
_PEM_RUN = re.compile(r"(\\[nrt])|([A-Za-z0-9+/]{4,}={0,2})")

_STAND_IN = re.compile(r"([xX0*])\1*\d{0,6}")
_PASSWORD_WORD = re.compile(
    r"(?i)(?:my|your|the|test|some|db)?[_-]?(?:pass(?:word|wd)?|pwd?|pw|secret|token|key|credentials?"
    r"|change_?me|guest|admin|root|user(?:name)?|postgres|mysql|redis|rabbitmq|test|foo|bar|example)"
    r"\d{0,4}|\*+|\.{3}|%s"
)


class SecretFinding(NamedTuple):
    """One secret or piece of personal data; only what must go, without a key's known prefix."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[SecretFinding]:
    """Return what must not leave its owner, in the order of the text, without overlaps."""
    found: list[SecretFinding] = []
    masked = text
    for _ in range(_MAX_PASSES):  # what is replaced may bare a name's value behind it
        new = [*_private_keys(masked), *_keys(masked), *_named(masked)]
        if not new:
            break
        found = _joined([*found, *new])
        masked = substitute(
            text, ((each, _filled(text[each.start : each.end], 1)) for each in found)
        )
    people = (SecretFinding(kind=k, start=i, end=j) for k, i, j in personal.addresses(masked))
    return _joined([*found, *people])


def _joined(found: list[SecretFinding]) -> list[SecretFinding]:
    """Return findings in order; of those that overlap the first names the kind of both."""
    joined: list[SecretFinding] = []
    for finding in sorted(found, key=lambda finding: finding.start):  # stable: certain kinds first
        if not joined or finding.start >= joined[-1].end:
            joined.append(finding)
        else:
            joined[-1] = joined[-1]._replace(end=max(finding.end, joined[-1].end))
    return joined


def substitute(
    text: str, found: Iterable[tuple[SecretFinding, str]], start: int = 0, end: int | None = None
) -> str:
    """Return the text from `start` to `end`, with the stand-in of each finding that is in there."""
    end = len(text) if end is None else end
    pieces: list[str] = []
    at = start
    for finding, stand_in in found:
        if start <= finding.start and finding.end <= end:
            pieces += (text[at : finding.start], stand_in)
            at = finding.end
    return "".join([*pieces, text[at:end]])


def has_key_block(text: str) -> bool:
    """Say whether a text may have a private key in a frame; quick."""
    return any(hint in text for hint in _KEY_BLOCK_HINTS)


def spans_paragraphs(text: str) -> bool:
    """Say whether a text must be looked at whole: what tells a secret may be paragraphs away."""
    return has_key_block(text) or KUBERNETES.search(text) is not None


def stand_ins(text: str) -> list[tuple[SecretFinding, str]]:
    """Return what `find` finds, each with the text that may take its place."""
    numbers: dict[tuple[str, str], int] = {}
    n_of_kind: Counter[str] = Counter()
    found = []
    for finding in find(text):
        value = text[finding.start : finding.end]
        key = (finding.kind, value)
        if key not in numbers:
            n_of_kind[finding.kind] += 1
            numbers[key] = n_of_kind[finding.kind]
        found.append((finding, _stand_in(finding.kind, value, numbers[key])))
    return found


def redact(text: str) -> tuple[str, Counter[str]]:
    """Return the text with stand-ins for all that `find` finds, and how many of each kind."""
    found = stand_ins(text)
    return substitute(text, found), Counter(finding.kind for finding, _ in found)


def _stand_in(kind: str, value: str, number: int) -> str:
    if kind in personal.KINDS:
        return personal.stand_in_of(kind, value, number)
    if kind == "private key":
        return _PEM_RUN.sub(lambda run: run[1] or _filled(run[2], 1), value)
    return _filled(value, number)


def _filled(value: str, number: int) -> str:
    """Return as many filler characters; separators stay, and the number is at the end."""
    filler = "x" if any(map(str.islower, value)) else "X"
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        filler = "0"
    chars = [char if char in "./-_:=" else filler for char in value]
    places = [place for place, char in enumerate(chars) if char == filler]
    digits = str(number) if number > 1 else ""
    for place, digit in zip(reversed(places), reversed(digits), strict=False):
        chars[place] = digit
    return "".join(chars)


def _is_stand_in(value: str) -> bool:
    """Say whether a value is a stand-in already, or shows in another way that it is none."""
    bare = re.sub(r"[./\-_:=]", "", value)
    return _STAND_IN.fullmatch(bare) is not None or "EXAMPLE" in value.upper()


def _private_keys(text: str) -> Iterator[SecretFinding]:
    if not has_key_block(text):
        return
    end = 0
    for begin in KEY_BLOCK.finditer(text):
        if begin.start() < end:
            continue  # looked at already
        if end_line := KEY_BLOCK_END.search(text, begin.end(), begin.end() + _MAX_PEM_CHARS):
            end = end_line.start()
        else:
            body = _PEM_BODY.match(text, begin.end())
            assert body is not None  # it may be empty
            end = body.end()
        runs = (run[2] or "" for run in _PEM_RUN.finditer(text, begin.end(), end))
        if any(len(run) >= _MIN_PEM_RUN_CHARS and not _is_stand_in(run) for run in runs):
            yield SecretFinding(kind="private key", start=begin.end(), end=end)


def _keys(text: str) -> Iterator[SecretFinding]:
    for kind, start, end in odd_tokens(text):
        value = text[start:end]
        is_none = (kind == "URL password" and _is_no_password(value)) or (
            kind == "URL token" and not is_random(value, "")
        )
        if not (is_none or _is_stand_in(value)):
            yield SecretFinding(kind=kind, start=start, end=end)
    for start, end in key_runs(text):
        found = headed_tokens(text, start, end)
        if not found and _CHANGE.search(text, start, end):
            found = _unnamed(text, start, end)
        for kind, begin, stop in found:
            if not _is_stand_in(text[begin:stop]):
                yield SecretFinding(kind=kind, start=begin, end=stop)


def _unnamed(text: str, start: int, end: int) -> list[tuple[str, int, int]]:
    """Return what else a run of a key's characters holds: base64 of a key, or a drawn value."""
    if encoded := encoded_token(text, start):
        return [encoded]
    is_secret = is_drawn(text, start, end) and is_in_context(text, start)
    return [(NAMED, start, end)] if is_secret else []


def _is_no_password(value: str) -> bool:
    """Say whether what stands for a password in a URL is a variable or a word for one."""
    has_variable = any(mark in value for mark in "{}$<>[]()\"'`|,") or "%(" in value
    return has_variable or _PASSWORD_WORD.fullmatch(value) is not None


def _named(text: str) -> Iterator[SecretFinding]:
    for start, end in (*named_secrets(text), *kubernetes_secrets(text)):
        if not _is_stand_in(text[start:end]):
            yield SecretFinding(kind=NAMED, start=start, end=end)
