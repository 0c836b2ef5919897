"""What leaves, and what may come in: texts with secrets replaced, and looked for again.

Out goes a window around the cursor, with secrets and personal data replaced; a secret that the
window's edge would cut in two is found too, and with the cursor in one nothing is sent. Of an
answer, a text from a stranger, personal data are put back; one with a stand-in of a secret, with
what looks like a secret of its own, or with characters that hide or reorder text is not shown.
Knows texts, no server and no network.
"""

import json
import unicodedata
from collections import Counter
from dataclasses import dataclass

from assistant.privacy.redaction import SecretFinding, find, stand_ins
from assistant.remote.backend import Backend, Question
from assistant.remote.errors import WithheldError
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.source.languages import language_of

PERSONAL = frozenset({"e-mail address", "IP address"})  # of use in an answer; secrets are not
_MARGIN_CHARS = 12_000  # looked at beyond the window; the longest secrets known have 10,000
_OPEN_VALUE_CHARS = 400  # before the cursor, in which a value may have begun that is not yet closed


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """A request's body, and what there is to say of it."""

    body: bytes
    question: Question
    ranges: tuple[tuple[int, int], ...]  # of the document's UTF-8 bytes that the body is made from
    redactions: dict[str, int]  # kind -> how many
    personal: dict[str, str]  # stand-in -> what it stands for
    hidden: frozenset[str]  # stand-ins of secrets


def pack(
    request: CompletionRequest, settings: RemoteSettings, backend: Backend, *, single_line: bool
) -> Parcel:
    """Return what would be sent for `request`; WithheldError if that must not leave."""
    text, cursor = request.text, request.offset
    start = _line_start(text, max(0, cursor - settings.prefix_chars), cursor)
    end = _line_end(text, min(len(text), cursor + settings.suffix_chars), cursor)
    low, high = max(0, start - _MARGIN_CHARS), min(len(text), end + _MARGIN_CHARS)
    found = [(_moved(finding, low), new) for finding, new in stand_ins(text[low:high])]
    _check_cursor(text, cursor, [finding for finding, _ in found])
    for finding, _ in found:  # a secret across the window's edge stays out
        if finding.start < start < finding.end:
            start = finding.end
        if finding.start < end < finding.end:
            end = finding.start
    inside = [(item, new) for item, new in found if start <= item.start and item.end <= end]
    language = language_of(request.path, request.language)
    question = Question(
        prefix=_redacted(text, start, cursor, inside),
        suffix=_redacted(text, cursor, end, inside),
        language=language.name if language else "",
        max_new_tokens=settings.max_new_tokens,
        single_line=single_line,
    )
    return Parcel(
        body=json.dumps(backend.body(question), ensure_ascii=False).encode("utf-8", "replace"),
        question=question,
        ranges=_byte_ranges(text, start, cursor, end),
        redactions=dict(Counter(item.kind for item, _ in inside)),
        personal={new: text[i.start : i.end] for i, new in inside if i.kind in PERSONAL},
        hidden=frozenset(new for item, new in inside if item.kind not in PERSONAL),
    )


def _line_start(text: str, at: int, cursor: int) -> int:
    """Return the first line start in [at, cursor]; `at` itself if the line is that long."""
    if at == 0:
        return 0
    newline = text.find("\n", at - 1, cursor)
    return newline + 1 if newline >= 0 else at


def _line_end(text: str, at: int, cursor: int) -> int:
    """Return the last line end in [cursor, at]; `at` itself if the line is that long."""
    if at == len(text):
        return at
    newline = text.rfind("\n", cursor, at)
    return newline + 1 if newline >= 0 else at


def _moved(finding: SecretFinding, by: int) -> SecretFinding:
    return SecretFinding(kind=finding.kind, start=finding.start + by, end=finding.end + by)


def _check_cursor(text: str, cursor: int, found: list[SecretFinding]) -> None:
    """Refuse where a secret is being typed: also one whose quote is not closed yet."""
    if any(item.start < cursor <= item.end and item.kind not in PERSONAL for item in found):
        raise WithheldError("the cursor is in a secret")
    line = text[max(text.rfind("\n", 0, cursor) + 1, cursor - _OPEN_VALUE_CHARS) : cursor]
    for quote in "\"'`":
        if quote in line and any(item.end == len(line) for item in find(line + quote)):
            raise WithheldError("the cursor is in a secret that is being typed")


def _redacted(text: str, start: int, end: int, found: list[tuple[SecretFinding, str]]) -> str:
    pieces, at = [], start
    for finding, stand_in in found:
        if start <= finding.start and finding.end <= end:
            pieces += [text[at : finding.start], stand_in]
            at = finding.end
    return "".join([*pieces, text[at:end]])


def _byte_ranges(text: str, start: int, cursor: int, end: int) -> tuple[tuple[int, int], ...]:
    first, middle, last = (len(text[:at].encode("utf-8", "replace")) for at in (start, cursor, end))
    return tuple(pair for pair in ((first, middle), (middle, last)) if pair[0] < pair[1])


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
