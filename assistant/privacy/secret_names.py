"""Values of names that speak of secrets (`API_KEY = "..."`), and whether they are random.

A name alone proves nothing (`token = "identifier"`); the value must look drawn, not written. The
nearer it is to the name, the less is asked of it: assigned to it, on its line, on the next one.
All values of a Kubernetes Secret are secret, whatever their keys are called.
"""

import base64
import itertools
import re
import string
from collections.abc import Iterator

_MIN_RANDOM_CHARS = 12
_MIN_PASSWORD_CHARS = 8
_MIN_CHANGES = 4  # between letters and digits; words with a version number have one or two
_MIN_PASSWORD_CHANGES = 3
_MIN_MIXED_CHARS = 16
_MIN_CASE_CHANGE_FRAC = 0.42  # of the characters; drawn letters have a half, camelCase two fifths
_MIN_DISTINCT_FRAC = 0.3
_MIN_ENCODED_CHARS = 8
_REST_CHARS = 240  # behind a name in which its value may stand
_REST_LINES = 3
_BEFORE_CHARS = 160  # of a line before a random run that may say what it is

_KEYWORDS = (
    *"secret token credential bearer contrase senha kennwort".split(),
    *"密码 密碼 パスワード 비밀번호 пароль".split(),
    *("login(", "identified by", "connection(", "real_connect(", 'begin("'),
)
_STEMS = {  # of words, and which of those that hold one speak of a secret
    "pass": re.compile(r"pass(?:w|phrase|code|e?(?![a-z]))|(?<=_)pass"),
    "pw": re.compile(r"pwd|(?<![a-z])pw(?![a-z])"),
    "psk": re.compile(r"(?<![a-z])psk(?![a-z])"),
    "auth": re.compile(r"auth(?:orization|=?\()|(?<=_)auth"),
}
_PASSWORD = re.compile(
    "pass|pw|psk|secret|auth=?\\(|contrase|senha|kennwort|密码|密碼|パスワード|비밀번호|пароль"
    "|login\\(|identified|connection\\(|connect\\(|begin\\(",
    re.IGNORECASE,
)
_KEY_BEFORE = re.compile(
    r"(?:api|access|account|private|shared|auth|sign(?:ing)?|encryption|client)[ _-]?\Z"
)
_SHORT_NAMES = ("pass", "pw", "psk")  # only what is assigned to one is its value
_MAX_KEY_CHARS = 12  # before the word "key" in the names above
_NAME = re.compile(r"\w(?:[\w-]{0,58}\w)?(?:=?\()?")
# From a name on: closers, a type (what stands before an unquoted `=` is a value's own beginning),
# an assignment. Blanks are not given back: some texts have many.
ASSIGNMENT = (
    r"[\"'`\])}\\]{0,3}[ \t]{0,20}+"
    r"(?::[ \t]{0,2}[\w&'<>\[\].|*][\w&'<>\[\]. |*]{0,29}?(?=[ \t]|:?=[\w@&$]{0,2}\\?[\"'`]))?"
    r"[ \t]{0,4}+"
    r"(?::{1,2}=|=>|={1,3}|!==?|\?=|->|[:\uff1a>,]|\|\||\?\?"
    r"|(?<=[ \t])(?:is|was|by)[ \t]|(?<=[ \t(]))[ \t]{0,20}+"
)
SCHEME = r"(?i:basic|bearer|token|digest|apikey|bot)[ \t]{1,4}"  # of an Authorization header
_ASSIGNED = re.compile(
    ASSIGNMENT + r"(?:(?:[\\(]|[|>][+-]?)?[ \t]{0,8}\r?\n[ \t]{0,40}+)?"
    r"(?:[A-Za-z@&$]{0,2}(?P<quote>\\?[\"'`]))?"
    rf"(?:{SCHEME})?(?P<value>(?![:=])[^\"'`\s\\,;(){{}}<>\[\]]{{6,300}})"
)
_REST_OF_STRING = re.compile(r"[^\"'`\s\\]{0,300}")
_NAME_CLOSED = re.compile(r"[)}\]]{0,3}\\?[\"'`](?![\w$])")
_QUOTED = re.compile(r"(?P<quote>\\?[\"'`])(?P<value>[^\"'`\s]{8,300}?)(?P=quote)")
VALUE = r"[ \t]{0,40}[\"']?(?:value|default)[\"']?[ \t]{0,8}[:=][ \t]{0,4}[\"']?"
_DESCRIBED = re.compile(  # the name is itself a value: of a variable, or of an entry of a list
    rf"[\"']?[ \t]{{0,4}}[,{{]?[ \t]{{0,4}}\r?\n(?:[^\n]{{0,100}}\n){{0,3}}?{VALUE}"
    r"(?P<value>[^\"'\s,]{6,300})"
)
_GOES_ON = re.compile(r"(?:[,(=\\:+{\[|]|[>|][+-])\s*\Z")  # at the end of a line
_STILL_ON = re.compile(r"\n[ \t]{0,60}(?:\.\w|\|\||\?\?|&&|\+)")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NOT_ONE_WORD = re.compile(r"[{}<>$()\[\]\\,;|]|://|%[(s]|\.\.")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:[./:-]+[A-Za-z_]\w*)+")  # of code
_WORD = re.compile(r"[A-Za-z_.:]+")
_PIECE = re.compile(r"[A-Za-z0-9+/]+")
_CHANGE = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z])")
_PARAMETER = re.compile(r"&\w+=")

_CONTEXT_WORDS = (
    *"secret passw passphrase pwd token credential bearer authoriz private cookie".split(),
    *("apikey", "api_key", "api-key", "api key"),
)
_CALL_WORDS = (  # of the calls and names
    *("key", "auth", "login", "connect", "client(", "session("),
    *("hmac", "jwt", "fernet", "cipher", "otp(", "aes."),
)
_CONTEXT = re.compile(
    r"(?i:auth\w{0,12}[\"']?\s?[:=(,]|(?:login|connect)\w{0,9}\(|(?:client|session)\()"
    r"|(?:[_?&-](?i:key)|[a-z]Key)s?(?:[_-]\w{1,12})?\b[\"'`\])]{0,3}\s{0,4}[:=,(]"
)
_KEYED = re.compile(
    r"(?i)(?:hmac|jwt|fernet|cipher|[th]otp|\baes)[\w.]{0,24}\([^)]{0,60}\Z"
)  # a call
_OTHER_CONTEXT = re.compile(
    r"(?i)sha\d|sha_|sha\b|md5|hash|digest|checksum|integrity|commit|revision|etag|uuid|fingerprint"
    r"|public|thumbprint|nonce|commitment"
)
_OPENERS = " \t\"'`+(\\,[{@&bfruBFRU"


def named_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the random values of secrets' names are."""
    names = names_in(text)
    for (start, end), (following, _) in itertools.pairwise([*names, (len(text), len(text))]):
        yield from _values_of(text, text[start:end], end, following)


def names_in(text: str) -> list[tuple[int, int]]:
    """Return where names are that speak of secrets, from the word on that does."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters have longer small forms
        lower = text.translate(_ASCII_LOWER)
    names: list[tuple[int, int]] = []
    for place in sorted(_places(lower)):
        name = _NAME.match(text, place)
        if name and (not names or place >= names[-1][1]):
            names.append(name.span())
    return names


def speaks_of_secret(before: str) -> bool:
    """Say whether the words before a value speak of a secret."""
    lower = before.lower()
    if any(word in lower for word in _CONTEXT_WORDS):
        return True
    is_call = any(word in lower for word in _CALL_WORDS)
    return is_call and bool(_CONTEXT.search(before) or _KEYED.search(before))


def _places(lower: str) -> set[int]:
    """Return where a word that speaks of a secret begins."""
    places = {at for keyword in _KEYWORDS for at in _occurrences(lower, keyword)}
    for at in _occurrences(lower, "key"):
        if _KEY_BEFORE.search(lower, at - _MAX_KEY_CHARS, at):
            places.add(at)
    for stem, words in _STEMS.items():
        places |= {at for at in _occurrences(lower, stem) if words.match(lower, at)}
    return places


def _occurrences(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at != -1:
        yield at
        at = text.find(word, at + len(word))


def _values_of(text: str, name: str, at: int, following: int) -> Iterator[tuple[int, int]]:
    """Yield the values of a name that ends at `at`; another name begins at `following`."""
    name_end = at
    assigned = _ASSIGNED.match(text, at)
    if assigned:
        start, end = assigned.span("value")
        value = text[start:end]
        if assigned["quote"] is None:
            parameter = _PARAMETER.search(value)
            value = value[: parameter.start()] if parameter else value.rstrip(".:")
            end = start + len(value)
        is_code = assigned["quote"] is None and _WORD.fullmatch(value)
        if not is_code and is_random(value, name):
            end = _string_end(text, end, assigned["quote"] or "")
            yield start, end
            at = end
    rest_end = at if name.lower() in _SHORT_NAMES else min(_rest_end(text, at), following)
    if at == name_end and (closed := _NAME_CLOSED.match(text, at)):
        at = closed.end()  # that quote opens nothing
    for match in _QUOTED.finditer(text, at, rest_end):
        if is_random(match["value"], name):
            yield match.span("value")
    described = _DESCRIBED.match(text, at)
    if described and is_random(described["value"], name):
        yield described.span("value")


def _string_end(text: str, end: int, quote: str) -> int:
    """Return where the string ends of which a secret was found up to `end`: at a bracket, say."""
    rest = _REST_OF_STRING.match(text, end)
    return rest.end() if quote and rest and text.startswith(quote, rest.end()) else end


def _rest_end(text: str, at: int) -> int:
    """Return where the statement ends in which a name ends at `at`."""
    limit = min(len(text), at + _REST_CHARS)
    end = at
    for _ in range(_REST_LINES):
        newline = text.find("\n", end, limit)
        if newline == -1:
            return limit
        if not goes_on(text, newline):
            return newline
        end = newline + 1
    return newline


def goes_on(text: str, newline: int) -> bool:
    """Say whether a statement goes on over a line's end."""
    found = _GOES_ON.search(text, newline - 20, newline) or _STILL_ON.match(text, newline)
    return found is not None


def is_in_context(text: str, start: int) -> bool:
    """Say whether the words before `start` on its line, or one line up, speak of a secret."""
    low = line_start(text, start, _BEFORE_CHARS)
    if text[low - 1 : low] == "\n" and not text[low:start].strip(_OPENERS):
        low = line_start(text, low - 1, _BEFORE_CHARS)
    before = text[low:start]
    if not speaks_of_secret(before):
        return False
    return _OTHER_CONTEXT.search(before) is None or _KEYED.search(before) is not None


def line_start(text: str, at: int, n_chars: int) -> int:
    """Return where the line of `at` begins, or what of it is at most so many characters away."""
    low = max(0, at - n_chars)
    return max(low, text.rfind("\n", low, at) + 1)


def is_drawn(text: str, start: int, end: int) -> bool:
    """Say whether a run of a key's characters was drawn by a machine, and is no name of code."""
    run = text[start:end]
    longest = max(_PIECE.findall(run), key=len)
    n_changes = len(_CHANGE.findall(longest))
    is_near = text[start - 1 : start] in ("'", '"', "`", "=")
    return (is_near or n_changes >= _MIN_CHANGES) and is_random(run, "")


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
    return _is_strong_password(value, name) or _encodes_text(value)


def _is_mixed(value: str) -> bool:
    """Say whether large and small letters change places as if by chance."""
    n_changes = len(_CASE_CHANGE.findall(value)) + len(_CHANGE.findall(value))
    return len(value) >= _MIN_MIXED_CHARS and n_changes >= _MIN_CASE_CHANGE_FRAC * len(value)


def _is_strong_password(value: str, name: str) -> bool:
    """Say whether kinds of characters are mixed in the value of a password's name."""
    if not _PASSWORD.search(name) or len(value) < _MIN_PASSWORD_CHARS:
        return False
    if re.search(r"[{}<>\\]|%\(|://", value) or _DOTTED.fullmatch(value):
        return False
    kinds = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())
    n_kinds = sum(any(map(kind, value)) for kind in kinds)
    return n_kinds == len(kinds) or (
        n_kinds == len(kinds) - 1 and len(_CHANGE.findall(value)) >= _MIN_PASSWORD_CHANGES
    )


def _encodes_text(value: str) -> bool:
    """Say whether a value is base64 of plain text, as a word hardly ever is."""
    if len(value) < _MIN_ENCODED_CHARS:
        return False
    try:
        plain = base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return plain.isascii() and plain.decode().isprintable()


KUBERNETES = re.compile(r"kind\"?:[ \t]{0,4}\"?Secret\b")
_AROUND_CHARS = 4_000  # of the kind, in which the values are: fields are often sorted by name
_DATA = re.compile(r"(?:stringData|\bdata)\"?:[ \t]{0,4}\{?[ \t]{0,4}[\r\n]{0,2}")
_ENTRY = re.compile(
    r"[ \t]{0,40}\"?[\w.-]{1,80}\"?:[ \t]{0,4}\"?(?P<value>[^\s\"|>]{4,4000})"
    r"\"?,?[ \t]{0,4}[\r\n}]{0,2}"
)


def kubernetes_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the values of Secrets are."""
    done = 0
    for kind in KUBERNETES.finditer(text):
        low = max(done, kind.start() - _AROUND_CHARS)
        low = max(low, text.rfind("\n---", low, kind.start()))
        end = text.find("\n---", kind.end(), kind.end() + _AROUND_CHARS)
        done = end if end != -1 else kind.end() + _AROUND_CHARS
        for data in _DATA.finditer(text, low, done):
            at = data.end()
            while entry := _ENTRY.match(text, at, done):
                yield entry.span("value")
                at = entry.end()
