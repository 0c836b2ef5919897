"""What leaves, and what may come in: files that may be sent, texts with secrets replaced.

No file is sent that is excluded, that git ignores, or that is not saved. Of others a window around
the cursor goes out, with secrets and personal data replaced; a secret that the window's edge would
cut in two is found too, and with the cursor in one nothing is sent. Of an answer, a text from a
stranger, personal data are put back; one with a stand-in of a secret, with what looks like a secret
of its own, or with characters that hide or reorder text is not shown.
"""

import functools
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import regex

from assistant.errors import withheld
from assistant.generate.prompt import window
from assistant.git import GitError, find_work_tree, git
from assistant.path_patterns import matches
from assistant.privacy.exclusion import is_excluded
from assistant.privacy.redaction import PERSONAL, find, stand_ins, substitute
from assistant.privacy.unfinished import open_secret
from assistant.remote.formats import FORMATS, write_body
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.source.blocks import opened_block
from assistant.source.languages import language_of

_GIT_S = 5.0
_REMEMBERED_S = 60.0  # at most, what git says
_MAX_LISTING_BYTES = 1 << 20

Locate = Callable[[str], Path | None]  # a request's document -> the file itself
_MARGIN_CHARS = 12_000  # looked at beyond the window; the longest secrets known have 10,000
_BEFORE_CHARS = 300  # of the cursor's line: the name that a value is given to
_BEGUN_MAIL = re.compile(r"[\w.+%-]@[A-Za-z0-9.-]*\Z")
_NEVER_SHOWN = regex.compile(r"[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]")  # or what reorders
# Formats, private and half characters, separators, blanks, and what else shows nothing.
_HIDDEN = regex.compile(r"[\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{DI}\u2800]|[^\P{Zs} ]")


class FilePolicy(NamedTuple):
    """Judges files by their names, then by git."""

    settings: RemoteSettings
    locate: Locate
    exclude: tuple[str, ...] = ()
    clock: Callable[[], float] = time.monotonic

    def check_name(self, request: CompletionRequest) -> None:
        """Raise RemoteError if name or language say that the file must stay; reads no disk."""
        settings, known = self.settings, language_of(request.path, request.language)
        patterns = (*self.exclude, *settings.deny)
        if any(is_excluded(name, patterns) for name in (request.path, *request.names)):
            raise withheld("the file is excluded")
        if settings.allow and not matches(request.path, settings.allow):
            raise withheld("the file is not among those in `allow`")
        if known is None:
            raise withheld("the language is not known")
        if settings.languages and known.name not in settings.languages:
            raise withheld("the language is not among those in `languages`")

    def check(self, request: CompletionRequest) -> None:
        """Raise RemoteError if the file must stay here."""
        self.check_name(request)
        file = self.locate(request.document)
        if file is None:
            raise withheld("the document is no file of a workspace folder")
        if reason := _find_reason(file, int(self.clock() / _REMEMBERED_S)):
            raise withheld(reason)


@functools.lru_cache(maxsize=256)
def _find_reason(file: Path, _period: int) -> str:
    """Return why a file must stay, "" if it may go; asked anew in each period."""
    real = Path(os.path.realpath(file))  # unlike pathlib's, of a loop of links, too
    if is_excluded(str(real)):
        return "the file is excluded"  # by the name that a link leads to
    if not os.path.isfile(real):  # noqa: PTH113 - any name may be asked for
        return "the file is not saved yet, so git cannot say whether it ignores it"
    root = find_work_tree(real.parent)
    if root is None:
        return ""
    wanted = real.relative_to(root).as_posix()
    try:
        listing = git(
            root,
            *("ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", wanted),
            timeout_s=_GIT_S,
            max_bytes=_MAX_LISTING_BYTES,
        )
    except GitError:
        return "git cannot say whether it ignores the file"
    return "" if os.fsencode(wanted) in listing.split(b"\0") else "git ignores the file"


class Payload(NamedTuple):
    """A request's body, and what there is to say of it."""

    body: bytes
    ranges: tuple[tuple[int, int], ...]  # of the document's UTF-8 bytes that the body is made from
    redactions: dict[str, int]  # kind -> how many
    personal: dict[str, str]  # stand-in -> what it stands for
    hidden: frozenset[str]  # stand-ins of secrets


def is_single_line(request: CompletionRequest, *, blocks: bool) -> bool:
    """Say whether the rest of the line is wanted, and no more."""
    language = language_of(request.path, request.language)
    return not blocks or opened_block(request.text, request.offset, language) is None


def build_payload(
    request: CompletionRequest, settings: RemoteSettings, *, single_line: bool
) -> Payload:
    """Return what would be sent for `request`; RemoteError (withheld) if that must not leave."""
    text, cursor = request.text, request.offset
    prefix, suffix = window(
        request, prefix_chars=settings.prefix_chars, suffix_chars=settings.suffix_chars
    )
    start, end = cursor - len(prefix), cursor + len(suffix)
    low = max(0, start - _MARGIN_CHARS)
    found = [
        (item._replace(start=item.start + low, end=item.end + low), new)
        for item, new in stand_ins(text[low : end + _MARGIN_CHARS])
    ]
    if any(item.start < cursor <= item.end and item.kind not in PERSONAL for item, _ in found):
        raise withheld("the cursor is in a secret")
    is_cut = any(item.start < cursor < item.end for item, _ in found)  # and neither half replaced
    is_begun = _BEGUN_MAIL.search(text, max(0, cursor - _BEFORE_CHARS), cursor) is not None
    if is_cut or (is_begun and all(item.end != cursor for item, _ in found)):
        raise withheld("the cursor is in an address of a person or a machine")
    if open_secret(text, cursor) is not None:
        raise withheld("the cursor is in a secret that is being typed")
    for item, _ in found:  # a secret across the window's edge stays out
        start = item.end if item.start < start < item.end else start
        end = item.start if item.start < end < item.end else end
    found = [(item, new) for item, new in found if start <= item.start and item.end <= end]
    language = language_of(request.path, request.language)
    body = write_body(
        settings,
        substitute(text, found, start, cursor),
        substitute(text, found, cursor, end),
        language=language.name if language else "",
        single_line=single_line,
    )
    a, b, c = (len(text[:at].encode("utf-8", "replace")) for at in (start, cursor, end))
    return Payload(
        body=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        ranges=tuple(pair for pair in ((a, b), (b, c)) if pair[0] < pair[1]),
        redactions=dict(Counter(item.kind for item, _ in found)),
        personal={new: text[it.start : it.end] for it, new in found if it.kind in PERSONAL},
        hidden=frozenset(new for item, new in found if item.kind not in PERSONAL),
    )


def restore_answer(text: str, payload: Payload, request: CompletionRequest) -> str:
    """Return the text to suggest; RemoteError (withheld) if there is none that may be shown."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(stand_in in text for stand_in in payload.hidden):
        raise withheld("the answer repeats the place of a secret")
    for stand_in in sorted(payload.personal, key=len, reverse=True):
        text = text.replace(stand_in, payload.personal[stand_in])
    # Where the document holds such a character, it may come back.
    if _NEVER_SHOWN.search(text) or not set(_HIDDEN.findall(text)) <= set(request.text):
        raise withheld("the answer holds invisible or control characters")
    line_start = request.text.rfind("\n", 0, request.offset) + 1
    before = request.text[max(line_start, request.offset - _BEFORE_CHARS) : request.offset]
    joined = before + text + request.text[request.offset : request.offset + 1]  # often a quote
    known = set(payload.personal.values())
    for item in find(joined):
        if item.end > len(before) and joined[item.start : item.end] not in known:
            raise withheld("the answer looks like a secret")
    return text


def build_headers(settings: RemoteSettings, key: str) -> dict[str, str]:
    """Return all that a request says besides its body; no version, no machine, no user."""
    headers = {
        "accept": FORMATS[settings.provider].stream_type,
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "foretype",
    }
    return headers | ({"authorization": f"Bearer {key}"} if key else {})
