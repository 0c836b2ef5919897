"""Secrets and personal data in source text: where they are, and stand-ins of the same type.

A stand-in keeps a key's prefix and length, an e-mail address stays one, and so does an IP address;
equal values get equal stand-ins within a text, numbered in the order of the text, so that nothing
of the value can be guessed from them. Redacting twice changes nothing. Patterns look at no more
than a bounded piece of text from any start, so hostile text costs linear time. Knows no file.

Of e-mail and IP addresses, those of examples, clone commands and inner networks stay.
"""

import ipaddress
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from assistant.privacy.secret_names import (
    KUBERNETES,
    is_drawn,
    is_in_context,
    is_random,
    kubernetes_secrets,
    named_secrets,
)
from assistant.privacy.token_formats import encoded_token, headed_tokens, key_runs, odd_tokens

MAIL, ADDRESS = "e-mail address", "IP address"
PERSONAL = frozenset({MAIL, ADDRESS})
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

# A pattern that begins with plain characters is searched many times faster than one that looks
# back first; so does every pattern here that is not hinted at.
_EMAIL = re.compile(
    r"@(?<=[\w.+%-]@)((?:[A-Za-z0-9-]{1,63}\.){1,5}([A-Za-z]{2,15}))\b(?![(\[\w@-])"
)
_MAX_LOCAL_CHARS = 64
_LOCAL_REVERSED = re.compile(r"[\w.+%-]{0,63}[A-Za-z0-9_](?![\w.+%/-])")
_MAX_URL_USER_CHARS = 80
_IN_URL = re.compile(r"://[^\s/@\"']*:\Z")  # then `password@host` follows, not an address
_MAIL_ENDINGS = frozenset(
    "com org net edu gov mil int info biz name io dev app ai co me xyz tech cloud online site email"
    " group team systems software science tools example eu".split()
)
_FILE_ENDINGS = frozenset("py js ts md sh rs pl cc so".split())  # also ends of countries' domains
_EXAMPLE_NAMES = frozenset(
    "example test tests testing foo bar baz foobar domain acme company localhost sample".split()
)
_SYSTEM_USERS = frozenset({"git", "hg", "svn"})  # of clone addresses

_IPV4 = re.compile(r"[0-9](?<![\w.-][0-9])[0-9]{0,2}\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?![\w-]|\.\w)")
_VERSION_BEFORE = re.compile(r"(?i)(?:version|ver|release|[=<>~!^]=)\W{0,6}$")
_WELL_KNOWN = frozenset(
    {"1.1.1.1", "1.0.0.1", "1.2.3.4", "4.3.2.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"}
)
_MAX_VERSION_PART = 20  # four numbers all below it are a version, hardly ever an address
_STAND_IN_NET = ipaddress.ip_network("192.0.2.0/24")  # reserved for documentation
# The other two that are may go: what is in them may be real by mistake.
_OTHER_EXAMPLE_NETS = tuple(map(ipaddress.ip_network, ("198.51.100.0/24", "203.0.113.0/24")))
_IPV6 = re.compile(
    r"[23](?<![\w:.][23])[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])"
)
# The same addresses, roughly: what begins with one character is ruled out ten times as quickly.
_MAYBE_IPV4 = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_MAYBE_IPV6 = (re.compile(r"2[0-9A-Fa-f]{3}:"), re.compile(r"3[0-9A-Fa-f]{3}:"))
_STAND_IN_NET_V6 = ipaddress.ip_network("2001:db8::/32")


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
        secrets = (*_tokens(masked), *_named(masked))
        new = [*_private_keys(masked)]
        new += (each for each in secrets if not _is_stand_in(masked[each.start : each.end]))
        if not new:
            break
        found = _joined([*found, *new])
        masked = substitute(
            text, ((each, _filled(text[each.start : each.end], 1)) for each in found)
        )
    return _joined([*found, *_emails(masked), *_ip_addresses(masked)])


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
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)  # by kind, then by value
    found = []
    for finding in find(text):
        value, known = text[finding.start : finding.end], numbers[finding.kind]
        number = known.setdefault(value, len(known) + 1)
        found.append((finding, _stand_in(finding.kind, value, number)))
    return found


def redact(text: str) -> tuple[str, Counter[str]]:
    """Return the text with stand-ins for all that `find` finds, and how many of each kind."""
    found = stand_ins(text)
    return substitute(text, found), Counter(finding.kind for finding, _ in found)


def _stand_in(kind: str, value: str, number: int) -> str:
    if kind == MAIL:
        return f"user{number}@example.com"
    if kind == ADDRESS:  # nobody's
        is_v6 = ":" in value
        return str(_STAND_IN_NET_V6[number] if is_v6 else _STAND_IN_NET[(number - 1) % 254 + 1])
    if kind == "private key":
        return _PEM_RUN.sub(lambda run: run[1] or _filled(run[2], 1), value)
    return _filled(value, number)


def _filled(value: str, number: int) -> str:
    """Return as many filler characters; separators and lines stay, the number is at the end."""
    filler = "x" if any(map(str.islower, value)) else "X"
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        filler = "0"
    chars = [char if char in "./-_:=\r\n" else filler for char in value]
    places = [place for place, char in enumerate(chars) if char == filler]
    digits = str(number) if number > 1 else ""
    for place, digit in zip(reversed(places), reversed(digits), strict=False):
        chars[place] = digit
    return "".join(chars)


def _is_stand_in(value: str) -> bool:
    """Say whether a value is a stand-in already, or shows in another way that it is none."""
    bare = re.sub(r"[./\-_:=\r\n]", "", value)
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


def _tokens(text: str) -> Iterator[SecretFinding]:
    """Yield keys by their formats, drawn values that no name is given to, and stand-ins of both."""
    for kind, start, end in odd_tokens(text):
        value = text[start:end]
        is_none = (kind == "URL password" and _is_no_password(value)) or (
            kind == "URL token" and not is_random(value, "")
        )
        if not is_none:
            yield SecretFinding(kind=kind, start=start, end=end)
    for start, end in key_runs(text):
        found = headed_tokens(text, start, end)
        if not found and _CHANGE.search(text, start, end):
            found = _unnamed(text, start, end)
        yield from itertools.starmap(SecretFinding, found)


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
        yield SecretFinding(kind=NAMED, start=start, end=end)


def _emails(text: str) -> Iterator[SecretFinding]:
    for match in _EMAIL.finditer(text):
        low = max(0, match.start() - _MAX_LOCAL_CHARS - 1)
        local = _LOCAL_REVERSED.match(text[low : match.start()][::-1])
        if local is None or not _is_mail(local[0][::-1], match[1], match[2]):
            continue
        start = match.start() - local.end()
        if not _IN_URL.search(text, start - _MAX_URL_USER_CHARS, start):
            yield SecretFinding(kind=MAIL, start=start, end=match.end())


def _is_mail(local: str, domain: str, ending: str) -> bool:
    """Say whether `local@domain` is a person's: no product of matrices, no example, no clone."""
    lower = ending.lower()
    if ending not in {lower, ending.upper()}:
        return False
    if len(lower) == 2:
        is_known = lower not in _FILE_ENDINGS and len(local) > 1
    else:
        is_known = lower in _MAIL_ENDINGS
    name = domain[: -len(ending) - 1].rpartition(".")[2].lower()
    is_replaced = len(local) > 3 and _is_stand_in(local)  # with a private key before it
    is_known = is_known and not is_replaced
    return is_known and name not in _EXAMPLE_NAMES and local.lower() not in _SYSTEM_USERS


def _ip_addresses(text: str) -> Iterator[SecretFinding]:
    for match in _IPV4.finditer(text) if _MAYBE_IPV4.search(text) else ():
        start = match.start()
        if _is_public_v4(match[0]) and not _VERSION_BEFORE.search(text, start - 16, start):
            yield SecretFinding(kind=ADDRESS, start=start, end=match.end())
    for match in _IPV6.finditer(text) if any(p.search(text) for p in _MAYBE_IPV6) else ():
        if _is_public_v6(match[0]):
            yield SecretFinding(kind=ADDRESS, start=match.start(), end=match.end())


def _is_public_v4(value: str) -> bool:
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        return False
    if value in _WELL_KNOWN or max(address.packed) < _MAX_VERSION_PART:
        return False
    is_public = address.is_global or any(address in net for net in _OTHER_EXAMPLE_NETS)
    return is_public and not address.is_multicast and address.packed[-1] not in {0, 255}


def _is_public_v6(value: str) -> bool:
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return False
    n_groups = sum(map(bool, value.split(":")))  # two are a slice with a step, or a network
    return n_groups > 2 and address not in _STAND_IN_NET_V6
