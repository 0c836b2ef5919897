"""Secrets and personal data in source text: where they are, and stand-ins of the same type.

A stand-in keeps a key's prefix and length, an e-mail address stays one, and so does an IP address;
equal values get equal stand-ins within a text, numbered in the order of the text, so that nothing
of the value can be guessed from them. Redacting twice changes nothing. Patterns look at no more
than a bounded piece of text from any start, so hostile text costs linear time. Knows no file.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from assistant.privacy.secret_names import is_random, named_values

_MAX_PEM_CHARS = 10_000
_MIN_PEM_CHARS = 32  # of base64; documentation shows less

# (kind, texts one of which must be there: looking for them is quick; pattern with what to fill)
_TOKENS: tuple[tuple[str, list[str], re.Pattern[str]], ...] = tuple(
    (kind, hints.split(), re.compile(pattern))
    for kind, hints, pattern in (
        ("AWS key id", "AKIA", r"\bAKIA([A-Z2-7]{16})\b"),
        ("AWS key id", "ASIA", r"\bASIA([A-Z2-7]{16})\b"),
        (
            "AWS secret",
            "ecret",
            r"(?i:aws.{0,20}secret.{0,20}[=:]\s{0,9})[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
        ),
        ("Azure key", "ccountKey=", r"[Aa]ccountKey=([A-Za-z0-9/+]{60,120}={0,2})"),
        ("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_([A-Za-z0-9]{36,255})"),
        ("GitHub token", "github_pat_", r"\bgithub_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})"),
        ("GitLab token", "glpat-", r"\bglpat-([A-Za-z0-9_\-]{20,64})"),
        ("Slack token", "xox", r"\bxox[abeposr]-(\d{6,16}-[A-Za-z0-9-]{10,200})"),
        ("Slack token", "xapp-", r"\bxapp-(\d-[A-Z0-9]{8,20}-\d{8,16}-[a-f0-9]{32,80})"),
        (
            "Slack hook",
            "hooks.slack",
            r"hooks\.slack\.com/services/(T\w{4,20}/B\w{4,20}/\w{16,40})",
        ),
        ("Discord hook", "/api/webhooks/", r"/api/webhooks/(\d{16,20}/[\w-]{60,90})"),
        ("Telegram token", ":AA", r"\b(\d{8,10}:AA[\w-]{33})\b"),
        ("Google key", "AIza", r"\bAIza([0-9A-Za-z_\-]{35})"),
        ("Google key", "GOCSPX-", r"\bGOCSPX-([\w-]{28})"),
        ("Google key", "ya29.", r"\bya29\.([\w-]{40,300})"),
        ("Stripe key", "k_live_ k_test_", r"\b[sr]k_(?:live|test)_([0-9A-Za-z]{16,250})"),
        ("Stripe key", "whsec_", r"\bwhsec_([0-9A-Za-z+/]{32,64})"),
        (
            "model API key",
            "sk-ant- sk-proj- sk-svcacct- sk-or-",
            r"\bsk-(?:ant-|proj-|svcacct-|or-)([A-Za-z0-9_\-]{20,250})",
        ),
        ("model API key", "sk-", r"\bsk-([A-Za-z0-9]{40,64})\b"),
        ("Hugging Face token", "hf_", r"\bhf_(?=[A-Za-z]{0,40}\d)([A-Za-z0-9]{30,64})\b"),
        ("PyPI token", "pypi-AgE", r"\bpypi-(AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,250})"),
        ("npm token", "npm_", r"\bnpm_([A-Za-z0-9]{36})\b"),
        ("Docker token", "dckr_pat_", r"\bdckr_pat_([\w-]{27})"),
        ("DigitalOcean token", "_v1_", r"\bdo[opr]_v1_([a-f0-9]{64})\b"),
        (
            "Shopify token",
            "shpat_ shpca_ shppa_ shpss_",
            r"\bshp(?:at|ca|pa|ss)_([a-fA-F0-9]{32})\b",
        ),
        ("SendGrid key", "SG.", r"\bSG\.([\w\-]{22}\.[\w\-]{43})"),
        ("Mailgun key", "key-", r"\bkey-([a-f0-9]{32})\b"),
        ("JWT", "eyJ", r"\beyJ([\w\-]{8,500}\.eyJ[\w\-]{8,4000}\.[\w\-]{10,1000})"),
        (
            "URL password",
            "://",
            r"://(?<=[a-z0-9+.-]{2}://)[^\s:/@\"'`{}<>]{0,64}:([^\s@/]{3,128})@",
        ),
    )
)
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(rf"[A-Za-z0-9+/=\s\"'\\,.()]{{0,{_MAX_PEM_CHARS}}}")
_PEM_RUN = re.compile(r"(\\[nrt])|([A-Za-z0-9+/]{4,}={0,2})")

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
_INNER_NETS = tuple(
    ipaddress.ip_network(net)
    for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15")
)
_STAND_IN_NET = ipaddress.ip_network("192.0.2.0/24")  # reserved for documentation
_IPV6 = re.compile(
    r"[23](?<![\w:.][23])[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])"
)
# The same addresses, roughly: what begins with one character is ruled out ten times as quickly.
_MAYBE_IPV4 = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_MAYBE_IPV6 = (re.compile(r"2[0-9A-Fa-f]{3}:"), re.compile(r"3[0-9A-Fa-f]{3}:"))
_STAND_IN_NET_V6 = ipaddress.ip_network("2001:db8::/32")

_STAND_IN = re.compile(r"([xX0*])\1*\d{0,6}")
_PASSWORD_WORD = re.compile(
    r"(?i)(?:my|your|the|test|some|db)?[_-]?(?:pass(?:word|wd)?|pwd?|pw|secret|token|key|credentials?"
    r"|change_?me|guest|admin|root|user(?:name)?|postgres|mysql|redis|rabbitmq|test|foo|bar|example)"
    r"\d{0,4}|\*+|\.{3}|%s"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretFinding:
    """One secret or piece of personal data; only what must go, without a key's known prefix."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[SecretFinding]:
    """Return what must not leave its owner, in the order of the text, without overlaps."""
    found = [*_private_keys(text), *_tokens(text), *_named(text), *_emails(text), *_addresses(text)]
    found.sort(key=lambda finding: finding.start)  # stable: the more certain kind stays first
    kept: list[SecretFinding] = []
    for finding in found:
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


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
    pieces: list[str] = []
    at = 0
    counts: Counter[str] = Counter()
    for finding, stand_in in stand_ins(text):
        pieces += (text[at : finding.start], stand_in)
        counts[finding.kind] += 1
        at = finding.end
    return "".join([*pieces, text[at:]]), counts


def _stand_in(kind: str, value: str, number: int) -> str:
    if kind == "e-mail address":
        return f"user{number}@example.com"
    if kind == "IP address":
        if ":" in value:
            return f"2001:db8::{number:x}" if number < 1 << 16 else "2001:db8::"
        return str(_STAND_IN_NET[(number - 1) % 254 + 1])
    if kind == "private key":
        return _PEM_RUN.sub(lambda run: run[1] or _filled(run[2], 1), value)
    return _filled(value, number)


def _filled(value: str, number: int) -> str:
    """Return as many filler characters; separators stay, and the number is at the end."""
    filler = "x" if any(char.islower() and char > "f" for char in value) else "X"
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        filler = "0"
    chars = [char if char in "./-_:=" else filler for char in value]
    tail = str(number) if number > 1 else ""
    places = [i for i, char in enumerate(chars) if char == filler][-len(tail) :] if tail else []
    for place, digit in zip(places, tail[-len(places) :] if places else "", strict=True):
        chars[place] = digit
    return "".join(chars)


def _is_stand_in(value: str) -> bool:
    """Say whether a value is a stand-in already, or shows in another way that it is none."""
    bare = re.sub(r"[./\-_:=]", "", value)
    return _STAND_IN.fullmatch(bare) is not None or "EXAMPLE" in value.upper()


def _private_keys(text: str) -> Iterator[SecretFinding]:
    if "PRIVATE KEY" not in text:
        return
    end = 0
    for begin in _PEM_BEGIN.finditer(text):
        if begin.start() < end:
            continue  # looked at already
        end = text.find("-----END", begin.end(), begin.end() + _MAX_PEM_CHARS)
        if end < 0:
            body = _PEM_BODY.match(text, begin.end())
            end = body.end() if body else begin.end()
        runs = [run[2] for run in _PEM_RUN.finditer(text, begin.end(), end) if run[2]]
        if sum(map(len, runs)) >= _MIN_PEM_CHARS and not all(map(_is_stand_in, runs)):
            yield SecretFinding(kind="private key", start=begin.end(), end=end)


def _tokens(text: str) -> Iterator[SecretFinding]:
    for kind, hints, pattern in _TOKENS:
        if not any(hint in text for hint in hints):
            continue
        for match in pattern.finditer(text):
            value = match[1]
            if _is_stand_in(value) or (kind == "URL password" and _is_no_password(value)):
                continue
            yield SecretFinding(kind=kind, start=match.start(1), end=match.end(1))


def _is_no_password(value: str) -> bool:
    """Say whether what stands for a password in a URL is a variable or a word for one."""
    has_variable = any(mark in value for mark in "{}$<>[]()\"'`|,") or "%(" in value
    return has_variable or _PASSWORD_WORD.fullmatch(value) is not None


def _named(text: str) -> Iterator[SecretFinding]:
    for match in named_values(text):
        value = match["value"]
        if is_random(value, match["name"]) and not _is_stand_in(value):
            yield SecretFinding(
                kind="named secret", start=match.start("value"), end=match.end("value")
            )


def _emails(text: str) -> Iterator[SecretFinding]:
    for match in _EMAIL.finditer(text):
        low = max(0, match.start() - _MAX_LOCAL_CHARS - 1)
        local = _LOCAL_REVERSED.match(text[low : match.start()][::-1])
        if local is None or not _is_mail(local[0][::-1], match[1], match[2]):
            continue
        start = match.start() - local.end()
        if not _IN_URL.search(text, max(0, start - _MAX_URL_USER_CHARS), start):
            yield SecretFinding(kind="e-mail address", start=start, end=match.end())


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


def _addresses(text: str) -> Iterator[SecretFinding]:
    for match in _IPV4.finditer(text) if _MAYBE_IPV4.search(text) else ():
        before = text[max(0, match.start() - 16) : match.start()]
        if _is_public_v4(match[0]) and not _VERSION_BEFORE.search(before):
            yield SecretFinding(kind="IP address", start=match.start(), end=match.end())
    for match in _IPV6.finditer(text) if any(p.search(text) for p in _MAYBE_IPV6) else ():
        if _is_public_v6(match[0]):
            yield SecretFinding(kind="IP address", start=match.start(), end=match.end())


def _is_public_v4(value: str) -> bool:
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        return False
    if value in _WELL_KNOWN or max(address.packed) < _MAX_VERSION_PART or address in _STAND_IN_NET:
        return False
    # The other documentation networks may go: what is in them may be real by mistake.
    reserved = address.is_loopback or address.is_multicast or address.is_link_local
    is_mask = address.packed[0] in {0, 255} or address.packed[-1] in {0, 255}
    return not (reserved or is_mask or address.is_reserved) and not any(
        address in net for net in _INNER_NETS
    )


def _is_public_v6(value: str) -> bool:
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return False
    n_groups = sum(map(bool, value.split(":")))  # two are a slice with a step, or a network
    return n_groups > 2 and address not in _STAND_IN_NET_V6
