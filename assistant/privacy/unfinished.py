"""Secrets that are being typed: where one may have begun that is not finished at the cursor.

Whole secrets are told by their length and their end; at the cursor neither is there yet. So what
may become a secret counts: behind a key's head, behind a name that speaks of one, in a URL. It is
kept from everybody else, and nothing is lost but a suggestion. Looks at little text before the
cursor. Knows whole secrets only through `find`.
"""

import re

from assistant.privacy.redaction import KEY_BLOCK, KEY_BLOCK_END, PERSONAL, find, has_key_block
from assistant.privacy.secret_names import (
    ASSIGNMENT,
    KUBERNETES,
    SCHEME,
    VALUE,
    goes_on,
    is_random,
    line_start,
    names_in,
    speaks_of_secret,
)
from assistant.privacy.token_formats import HEADS, begins_encoded_token
from assistant.source.blocks import n_common

_LINE_CHARS = 400  # before the cursor
_LINES_UP = 2  # a statement may go on over so many line ends
_DESCRIBED_CHARS = 400  # before a value in which the name may stand whose value it is
_MAX_PEM_CHARS = 10_000
_MAX_YAML_CHARS = 4_000

_TAIL = re.compile(r"[\w+/=.~%$-]*\Z", re.ASCII)  # what a key with a head is made of
_RUN = re.compile(r"[A-Za-z0-9+/=-]{4,400}\Z")
_CHANGE = re.compile(r"[A-Za-z][0-9]|[0-9][A-Za-z]")
_CLEAR_HEAD_CHARS = 4  # shorter heads also begin words
_SCHEME = re.compile(SCHEME)
_VARIABLE = re.compile(
    r"(?<![\w.$-])[A-Z][A-Z0-9_]{2,60}=(?P<value>[^\s\"'`=()\[\]{},;$<>]{1,300})\Z"
)
_BARE = re.compile(
    ASSIGNMENT + r"(?:[|>][+-]?\s)?\s{0,40}+(?:[A-Za-z@&$]{0,2}\\?[\"'`]{1,3})?"
    rf"(?:{SCHEME})?(?P<value>[^\"'`\s\\,;(){{}}<>\[\]]{{1,300}})\Z"
)
_VALUE = re.compile(rf"{VALUE}(?P<value>[^\"'\s,]{{1,300}})\Z")
_PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        r"://[^\s:/@\"'`{}<>]{0,64}:(?!\d{0,5}\Z)([^\s@/\"'`]{1,128})\Z",  # a port is none
        r"hooks\.slack\.com/\w{8,9}/(\S{1,90})\Z",
        r"webhook\.office\.com/\w{1,20}/(\S{1,140})\Z",
        r"/api/webhooks/\d{16,20}/([\w-]{1,90})\Z",
        r"\b\d{8,10}:([\w-]{1,40})\Z",
        r"[?&;](?:sig|key|(?:X-Amz-)?Signature)=([\w%+/-]{1,120})\Z",
        r"://([\w-]{14,200})\Z",  # of a host's name, or of its user's
        r"\"(?:k|d|p|q|dp|dq|qi)\\?\"[ \t]{0,3}:[ \t]{0,3}\\?\"([\w-]{1,700})\Z",
        r"jdbc:oracle:\w{1,8}:[\w.-]{1,64}/([^\s\"'@]{1,128})\Z",
        r"(?:mysql|mariadb|login|redis-cli) [^\n|;&]{0,160}-[pa] ?[\"']?([^\s\"'$-]{1,128})\Z",
        r"sshpass -p ?[\"']?([^\s\"'$]{1,128})\Z",
        r"-(?:u|-user)[ =][\"']?[\w.-]{1,64}:([^\s\"'@/$]{1,128})\Z",
        r"[\"'`][\w.-]{1,32}:(?!\d*\Z)([^\s:/@\"'`{}<>]{1,128})\Z",
        r"(?i:cookie)[\"']?: ?[\"']?(?:[^\s\"';]{1,200}; ?){0,9}[\w.-]{1,40}=([^\s\"';]{1,200})\Z",
    )
)
_PEM_CHARS = re.compile(  # behind its headers
    r"(?:\s{0,20}[A-Z][\w-]{1,30}:[^\n]{0,100}(?:\n|\Z)){0,8}[A-Za-z0-9+/=\s\"'\\,.()#*>-]*\Z"
)
_QUOTE = re.compile(r"(?<!\\)[\"'`]")
_YAML_VALUE = re.compile(r"\s{0,40}\"?[\w.-]{1,80}\"?:[ \t]{0,4}[\"']?([^\s\"']{1,400})\Z")


def open_secret(text: str, cursor: int) -> int | None:
    """Return where what may be a secret begins that is being typed at `cursor`; None if nothing."""
    low = line_start(text, cursor, _LINE_CHARS)
    line = text[low:cursor]
    statement = _statement(text, low, cursor)
    finders = (_behind_head, _in_place, _at_end_of_run, _at_end_of_finding)
    found = [(low, finder(line)) for finder in finders]
    found.append((cursor - len(statement), _behind_name(statement)))
    found += [(0, _in_block(text, low, cursor)), (0, _described(text, low, cursor))]
    starts = [base + start for base, start in found if start is not None]
    if not starts:
        return None
    start = min(starts)
    return start if start < cursor or text[cursor : cursor + 1].isalnum() else None


def without_open_secret(text: str, cursor: int) -> str:
    """Return a text without what may be a secret that was being typed at `cursor`."""
    start = open_secret(text, cursor)
    return text if start is None else text[:start] + text[cursor:]


def edited_at(before: str, after: str) -> int:
    """Return where in `after` the text stops that `before` did not hold."""
    start = n_common(before, after)
    return len(after) - n_common(before[start:][::-1], after[start:][::-1])


def _statement(text: str, low: int, cursor: int) -> str:
    """Return the line before the cursor, with those above that it goes on from."""
    start = low
    for _ in range(_LINES_UP):
        if text[start - 1 : start] == "\n" and goes_on(text, start - 1):
            start = line_start(text, start - 1, _LINE_CHARS)
    return text[start:cursor]


def _behind_head(line: str) -> int | None:
    """Return where the rest of a key begins whose head is on the line."""
    tail = _TAIL.search(line)
    assert tail is not None
    starts = []
    for head in HEADS:
        at = line.find(head, tail.start())
        if at != -1 and _may_begin(line, at, head):
            starts.append(at + len(head))
    return min(starts, default=None)


def _may_begin(line: str, at: int, head: str) -> bool:
    """Say whether a head is one, not a part of a word; a short one also begins words."""
    before = line[at - 1 : at]
    is_clear = len(head) >= _CLEAR_HEAD_CHARS or before in ("'", '"', "`")
    rest = line[at + len(head) :]
    return not before.isalnum() and (is_clear or any(map(str.isdigit, rest)))


def _in_place(line: str) -> int | None:
    """Return where the secret part of a URL, a hook or a command begins."""
    starts = [match.start(1) for pattern in _PLACES if (match := pattern.search(line))]
    return min(starts, default=None)


def _at_end_of_run(line: str) -> int | None:
    """Return where letters and digits begin that look drawn, or are base64 of a key's head."""
    run = _RUN.search(line)
    if run is None:
        return None
    is_drawn = _CHANGE.search(run[0]) and is_random(run[0], "password")
    return run.start() if is_drawn or begins_encoded_token(run[0]) else None


def _at_end_of_finding(line: str) -> int | None:
    """Return where a whole secret begins that ends at the cursor."""
    for finding in find(line):
        if finding.end == len(line) and finding.kind not in PERSONAL:
            return finding.start
    return None


def _behind_name(statement: str) -> int | None:
    """Return where the value begins of a name that speaks of a secret."""
    names = names_in(statement)
    quote = _open_quote(statement)
    if quote is not None:
        start = quote + 1
        if scheme := _SCHEME.match(statement, start):
            start = scheme.end()
        is_word = not any(map(str.isspace, statement[start:]))
        is_named = any(end <= quote for _, end in names) or speaks_of_secret(statement[:quote])
        if is_word and is_named:
            return start
    for _, end in names:
        if value := _BARE.match(statement, end):
            return value.start("value")
    variable = _VARIABLE.search(statement)  # of a shell, or a file of them
    if variable and speaks_of_secret(statement[: variable.start("value")]):
        return variable.start("value")
    return None


def _described(text: str, low: int, cursor: int) -> int | None:
    """Return where the value begins of a name that is itself a value, some lines up."""
    value = _VALUE.match(text[low:cursor])
    above = text[max(0, low - _DESCRIBED_CHARS) : low]
    return low + value.start("value") if value and names_in(above) else None


def _open_quote(statement: str) -> int | None:
    """Return where the string begins in which the statement ends."""
    opened: re.Match[str] | None = None
    for quote in _QUOTE.finditer(statement):
        if opened is None:
            opened = quote
        elif quote[0] == opened[0]:
            opened = None
    return opened.end() - 1 if opened else None


def _in_block(text: str, low: int, cursor: int) -> int | None:
    """Return where a private key or the value of a Kubernetes Secret begins."""
    before = text[max(0, cursor - _MAX_PEM_CHARS) : cursor]
    for begin in KEY_BLOCK.finditer(before) if has_key_block(before) else ():
        body = before[begin.end() :]
        if not KEY_BLOCK_END.search(body) and _PEM_CHARS.match(body):
            return cursor - len(body)
    if KUBERNETES.search(text, cursor - _MAX_YAML_CHARS, cursor):
        value = _YAML_VALUE.match(text[low:cursor])
        return low + value.start(1) if value else None
    return None
