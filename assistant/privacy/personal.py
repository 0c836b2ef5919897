"""E-mail and public IP addresses in source text, and stand-ins of the same type.

Addresses of examples, of clone commands and of inner networks stay. Knows no secret.
"""

import ipaddress
import re
from collections.abc import Iterator

MAIL, ADDRESS = "e-mail address", "IP address"
KINDS = frozenset({MAIL, ADDRESS})

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


def stand_in_of(kind: str, value: str, number: int) -> str:
    """Return an address that is nobody's; `number` tells those of one text apart."""
    if kind == MAIL:
        return f"user{number}@example.com"
    if ":" in value:
        return str(_STAND_IN_NET_V6[number])
    return str(_STAND_IN_NET[(number - 1) % 254 + 1])


def addresses(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end) of what is somebody's."""
    yield from _emails(text)
    yield from _ip_addresses(text)


def _emails(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _EMAIL.finditer(text):
        low = max(0, match.start() - _MAX_LOCAL_CHARS - 1)
        local = _LOCAL_REVERSED.match(text[low : match.start()][::-1])
        if local is None or not _is_mail(local[0][::-1], match[1], match[2]):
            continue
        start = match.start() - local.end()
        if not _IN_URL.search(text, start - _MAX_URL_USER_CHARS, start):
            yield MAIL, start, match.end()


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
    return is_known and name not in _EXAMPLE_NAMES and local.lower() not in _SYSTEM_USERS


def _ip_addresses(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _IPV4.finditer(text) if _MAYBE_IPV4.search(text) else ():
        start = match.start()
        if _is_public_v4(match[0]) and not _VERSION_BEFORE.search(text, start - 16, start):
            yield ADDRESS, start, match.end()
    for match in _IPV6.finditer(text) if any(p.search(text) for p in _MAYBE_IPV6) else ():
        if _is_public_v6(match[0]):
            yield ADDRESS, match.start(), match.end()


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
