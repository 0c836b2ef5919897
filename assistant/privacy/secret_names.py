"""Values given to names that speak of secrets: `API_KEY = "..."`, and whether they are random.

A name alone proves nothing (`token = "identifier"`); the value must look drawn, not written. Knows
no known key format: those need no name.
"""

import re
from collections.abc import Iterator

_MIN_RANDOM_CHARS = 12
_MIN_PASSWORD_CHARS = 8
_MIN_CHANGES = 4  # between letters and digits; words with a version number have one or two
_MIN_MIXED_CHARS = 16
_MIN_CASE_CHANGE_FRAC = 0.42  # of the characters; drawn letters have a half, camelCase two fifths
_MIN_DISTINCT_FRAC = 0.3

_KEYWORDS = (
    "secret token password passwd pwd apikey api_key accesskey access_key privatekey private_key"
    " authkey auth_key signingkey signing_key encryptionkey encryption_key credential"
).split()
# From a keyword on: a bounded rest of the name, closers, a type, an assignment, the quoted value.
_NAMED_VALUE = re.compile(
    r"(?P<name>\w{3,50})[\"'\])]{0,3}\s{0,4}(?::\s{0,2}[\w&' ]{1,20}?)?\s{0,4}"
    r"(?::=|=>|==|=|:)\s{0,4}[A-Za-z]{0,2}(?P<quote>[\"'`])(?P<value>[^\"'`\s]{8,300})(?P=quote)"
)
_ASCII_LOWER = {code: code + 32 for code in range(0x41, 0x5B)}
_NOT_ONE_WORD = re.compile(r"[{}<>$()\[\]\\,;|]|://|%[(s]|\.\.")
_PASSWORD = re.compile(r"passw|pwd", re.IGNORECASE)
_PIECE = re.compile(r"[A-Za-z0-9+/]+")
_CHANGE = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z])")


def named_values(text: str) -> Iterator[re.Match[str]]:
    """Yield the quoted values (group "value") of secrets' names (group "name", from a keyword)."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters have longer small forms
        lower = text.translate(_ASCII_LOWER)
    places = set()
    for keyword in _KEYWORDS:
        at = lower.find(keyword)
        while at >= 0:
            places.add(at)
            at = lower.find(keyword, at + len(keyword))
    for place in sorted(places):
        match = _NAMED_VALUE.match(text, place)
        if match:
            yield match


def is_random(value: str, name: str) -> bool:
    """Say whether the value of a secret's name was drawn by a machine, or is a strong password."""
    if _NOT_ONE_WORD.search(value):
        return _is_strong_password(value, name)
    longest = max(_PIECE.findall(value), key=len, default="")
    if len(longest) >= _MIN_RANDOM_CHARS:
        n_distinct = len(set(longest))
        is_varied = n_distinct >= min(8, _MIN_DISTINCT_FRAC * len(longest))
        if is_varied and (len(_CHANGE.findall(longest)) >= _MIN_CHANGES or _is_mixed(longest)):
            return True
    return _is_strong_password(value, name)


def _is_mixed(value: str) -> bool:
    """Say whether large and small letters change places as if by chance."""
    n_changes = len(_CASE_CHANGE.findall(value)) + len(_CHANGE.findall(value))
    return len(value) >= _MIN_MIXED_CHARS and n_changes >= _MIN_CASE_CHANGE_FRAC * len(value)


def _is_strong_password(value: str, name: str) -> bool:
    """Say whether four kinds of characters are mixed in the value of a password's name."""
    if not _PASSWORD.search(name) or len(value) < _MIN_PASSWORD_CHARS:
        return False
    if re.search(r"[{}<>\\]|%\(|://", value):
        return False
    kinds = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())
    return all(any(map(kind, value)) for kind in kinds)
