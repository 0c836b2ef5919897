"""What a server's text must pass before it may be shown: it is text from a stranger.

Stand-ins of personal data are put back. An answer with a stand-in of a secret, with what looks like
a secret of its own, or with characters that hide or reorder text is not shown at all.
"""

import unicodedata

from assistant.completion import CompletionRequest
from assistant.redaction import find
from assistant.remote.errors import WithheldError
from assistant.remote.outgoing import Parcel

_BEFORE_CHARS = 300  # of the cursor's line: the name that a value is given to
_PLAIN_CONTROLS = frozenset("\n\t")


def unpack(text: str, parcel: Parcel, request: CompletionRequest) -> str:
    """Return the text to suggest; WithheldError if there is none that may be shown."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(stand_in in text for stand_in in parcel.hidden):
        raise WithheldError("the answer repeats the place of a secret")
    for stand_in in sorted(parcel.personal, key=len, reverse=True):
        text = text.replace(stand_in, parcel.personal[stand_in])
    if any(_hides(char) and char not in request.text for char in set(text)):
        raise WithheldError("the answer holds invisible or control characters")
    if _has_secret(text, parcel, request):
        raise WithheldError("the answer looks like a secret")
    return text


def _hides(char: str) -> bool:
    """Say whether a character is shown as nothing, or changes how its neighbours are shown."""
    return unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") and char not in _PLAIN_CONTROLS


def _has_secret(text: str, parcel: Parcel, request: CompletionRequest) -> bool:
    line_start = request.text.rfind("\n", 0, request.offset) + 1
    before = request.text[max(line_start, request.offset - _BEFORE_CHARS) : request.offset]
    after = request.text[request.offset : request.offset + 1]  # often the closing quote
    known = set(parcel.personal.values())
    joined = before + text + after
    return any(
        item.end > len(before) and joined[item.start : item.end] not in known
        for item in find(joined)
    )
