"""When nothing is suggested at all: switched off, secret files, files the user names, other text.

Looks at a request and the settings; no model needed. A pattern without a slash is matched against
the file name, one with a slash against the whole path or any tail of it; letter case does not
matter.
"""

import fnmatch
import functools
import re

from assistant.request import CompletionRequest
from assistant.settings import Settings
from assistant.source.languages import language_of

# Larger files are data or machine-made; parsing them at every keystroke would be felt.
MAX_TEXT_CHARS = 2_000_000

# A suggestion needs the text around the cursor, and in these files that text is keys and passwords.
SECRET_PATTERNS = (
    ".env*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".pypirc",
    ".npmrc",
    ".htpasswd",
    ".git-credentials",
    "credentials*",
    "secrets.y*ml",
    "secrets.json",
    "secrets.toml",
    "*.tfstate",
    "*.tfstate.*",
    "*.tfvars",
    ".ssh/*",
    ".aws/*",
    ".gnupg/*",
    ".docker/config.json",
    ".kube/config",
)

_NEVER = r"(?!)"


def why_refused(request: CompletionRequest, settings: Settings) -> str | None:
    """Return why `request` gets no suggestion whatever the model may say; None if it may."""
    if not settings.enabled:
        return "disabled"
    if is_excluded(request.path, settings.exclude):
        return "excluded file"
    if language_of(request.path, request.language) is None:
        return "unknown language"
    if len(request.text) > MAX_TEXT_CHARS:
        return f"over {MAX_TEXT_CHARS} characters"
    return None


def is_excluded(path: str, extra: tuple[str, ...] = ()) -> bool:
    """Say whether the file at `path` must not be completed; `extra` patterns only add."""
    return matches(path, (*SECRET_PATTERNS, *extra))


@functools.lru_cache(maxsize=256)  # some forty patterns, and asked at every key
def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Say whether one of the patterns means the file at `path`."""
    parts = [part for part in path.replace("\\", "/").casefold().split("/") if part]
    if not parts:
        return False
    names, tails = _compiled(patterns)
    return bool(names.match(parts[-1]) or tails.search("/" + "/".join(parts)))


@functools.lru_cache(maxsize=16)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what matches a file's name, and what an end of its path that begins with "/"."""
    plain = (pattern.replace("\\", "/").casefold().strip("/") for pattern in patterns)
    names, tails = [_NEVER], [_NEVER]
    for pattern in filter(None, plain):
        (tails if "/" in pattern else names).append(fnmatch.translate(pattern))
    return re.compile("|".join(names)), re.compile("/(?:" + "|".join(tails) + ")")
