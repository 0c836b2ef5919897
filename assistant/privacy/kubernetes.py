"""The values of Kubernetes Secrets, whatever the names of their keys; as YAML and as JSON."""

import re
from collections.abc import Iterator

KIND = re.compile(r"kind\"?:[ \t]{0,4}\"?Secret\b")
_AROUND_CHARS = 4_000  # of the kind, in which the values are: fields are often sorted by name
_DATA = re.compile(r"(?:stringData|\bdata)\"?:[ \t]{0,4}\{?[ \t]{0,4}[\r\n]{0,2}")
_ENTRY = re.compile(
    r"[ \t]{0,40}\"?[\w.-]{1,80}\"?:[ \t]{0,4}\"?(?P<value>[^\s\"|>]{4,4000})"
    r"\"?,?[ \t]{0,4}[\r\n}]{0,2}"
)


def secret_data(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the values of Secrets are."""
    done = 0
    for kind in KIND.finditer(text):
        if kind.start() < done:
            continue
        low = max(done, kind.start() - _AROUND_CHARS, text.rfind("\n---", 0, kind.start()))
        end = text.find("\n---", kind.end(), kind.end() + _AROUND_CHARS)
        done = end if end >= 0 else kind.end() + _AROUND_CHARS
        for data in _DATA.finditer(text, low, done):
            at = data.end()
            while entry := _ENTRY.match(text, at, done):
                yield entry.span("value")
                at = entry.end()
