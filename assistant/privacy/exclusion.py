"""When nothing is suggested at all: switched off, secret files, files the user names, other text.

Looks at a request and the settings; no model needed.
"""

import fnmatch
import functools
import re

from assistant.path_patterns import matches
from assistant.request import CompletionRequest
from assistant.settings import Settings
from assistant.source.languages import is_text_completed, language_of

# Larger files are data or machine-made; parsing them at every keystroke would be felt.
MAX_TEXT_CHARS = 2_000_000

# A suggestion needs the text around the cursor, and in these files that text is keys and passwords.
SECRET_PATTERNS = tuple(
    ".env* *.env *.pem *.key *.p12 *.pfx *.jks *.keystore *.kdbx *.ppk id_rsa* id_dsa*"
    " id_ecdsa* id_ed25519* .netrc _netrc .pgpass .pypirc .npmrc .htpasswd .git-credentials"
    " credentials* secret.y*ml secrets.y*ml secret.json secrets.json secrets.toml *kubeconfig*"
    " .renviron .dev.vars* *.tfstate *.tfstate.* *.tfvars .ssh/* .aws/* .gnupg/*"
    " .docker/config.json .kube/config".split()
)


def why_refused(request: CompletionRequest, settings: Settings) -> str | None:
    """Return why `request` gets no suggestion whatever the model may say; None if it may."""
    if not settings.enabled:
        return "disabled"
    if any(is_excluded(name, settings.exclude) for name in (request.path, *request.names)):
        return "excluded file"
    is_known = language_of(request.path, request.language) is not None
    if not is_known and not is_text_completed(request.path, request.language):
        return "unknown language"
    if len(request.text) > MAX_TEXT_CHARS:
        return f"over {MAX_TEXT_CHARS} characters"
    return None


def is_excluded(path: str, extra: tuple[str, ...] = ()) -> bool:
    """Say whether the file at `path` must not be completed; `extra` patterns only add."""
    return _is_secret(path) or matches(path, extra)


@functools.lru_cache(maxsize=256)  # some forty patterns, and asked at every key
def _is_secret(path: str) -> bool:
    parts = [part for part in path.replace("\\", "/").casefold().split("/") if part]
    return bool(parts) and bool(_NAMES.match(parts[-1]) or _TAILS.search("/" + "/".join(parts)))


# A name in the list is a file's name, never a folder's: `credentials/` holds code, too.
_OF_NAMES = [fnmatch.translate(item) for item in SECRET_PATTERNS if "/" not in item]
_OF_PATHS = [fnmatch.translate(item) for item in SECRET_PATTERNS if "/" in item]
_NAMES = re.compile("|".join(_OF_NAMES))
_TAILS = re.compile("/(?:" + "|".join(_OF_PATHS) + ")")
