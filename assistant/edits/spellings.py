"""A renamed word in its other spellings: `user_id` to `owner_id` makes `UserId` to `OwnerId`."""

import re
from functools import lru_cache

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
MIN_CHARS = 4  # of the old word; a shorter one stands in many others


def _spellings(word: str) -> list[str]:
    parts = [part.lower() for part in _PART.findall(word)]
    capitals = [part.capitalize() for part in parts]
    camel = "".join([*parts[:1], *capitals[1:]])
    joined = "_".join(parts)
    return [joined, joined.upper(), camel, "".join(capitals), "-".join(parts)]


@lru_cache(maxsize=256)
def _replacements(old: str, new: str) -> tuple[re.Pattern[str], dict[str, str]]:
    table = dict(zip(_spellings(old), _spellings(new), strict=True)) | {old: new}
    longest_first = sorted(table, key=len, reverse=True)
    words = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])"), table


def respell(old: str, new: str, line: str) -> str:
    """Return `line` with the word `old` renamed to `new` in every spelling, within words, too.

    >>> respell("user_id", "owner_id", "self.user_id = load_user_id(USER_ID, userId)")
    'self.owner_id = load_owner_id(OWNER_ID, ownerId)'
    """
    if len(old) < MIN_CHARS or not _PART.search(old) or not _PART.search(new):
        return line
    pattern, table = _replacements(old, new)
    return pattern.sub(lambda match: table[match[0]], line)
