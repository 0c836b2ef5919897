"""Which licence a text grants, by characteristic phrases; and which file headers rule a file out.

Small on purpose: it knows the common permissive licences, names what it must refuse, and calls the
rest "unknown". Not legal advice; which licences are wanted is the caller's business.
"""

import re
from collections.abc import Collection, Iterable

UNKNOWN = "unknown"
HEADER_CHARS = 3000  # of a file, looked at for a licence notice

_LICENCE_FILE = re.compile(
    r"^(?:licen[cs]es?|copying|unlicen[cs]e)"
    r"(?:[-_.](?!.*(?:bundled|third|3rd|vendor|depend|external))[\w.+-]*)?$",
    re.IGNORECASE,
)
_NOT_TEXT = re.compile(r"\.(?:py|pyi|js|ts|json|toml|ya?ml|html|sh|spdx|c|h|go|rs|java)$", re.I)

_ISC_GRANT = (
    "permission to use, copy, modify and distribute this software for any purpose with or"
    " without fee is hereby granted"
)
_HPND_GRANT = (
    "permission to use, copy, modify and distribute this software and its documentation"
    " for any purpose and without fee"
)
# (SPDX name, phrases that must all be there), in lower case with single spaces. The licence whose
# first phrase stands earliest in the text wins: notices of bundled parts at its end do not count.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AGPL", ("gnu affero general public license",)),
    ("LGPL", ("gnu lesser general public license",)),
    ("LGPL", ("gnu library general public license",)),
    ("GPL", ("gnu general public license",)),
    ("MPL", ("mozilla public license",)),
    ("EPL", ("eclipse public license",)),
    ("EUPL", ("european union public licence",)),
    ("BUSL-1.1", ("business source license",)),
    ("FSL", ("functional source license",)),
    ("SSPL", ("server side public license",)),
    ("Elastic", ("elastic license",)),
    ("CC-BY-NC", ("noncommercial",)),
    ("CC-BY-SA", ("attribution-sharealike",)),
    ("Commons-Clause", ("commons clause",)),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("PSF-2.0", ("python software foundation license version 2",)),
    ("PSF-2.0", ("python software foundation license agreement",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    (
        "MIT",
        (
            "permission is hereby granted, free of charge, to any person obtaining a copy",
            "the above copyright notice and this permission notice",
        ),
    ),
    ("MIT-0", ("permission is hereby granted, free of charge, to any person obtaining a copy",)),
    ("ISC", (_ISC_GRANT, "copyright notice and this permission notice appear in all copies")),
    ("0BSD", (_ISC_GRANT,)),
    ("HPND", (_HPND_GRANT,)),
    ("BSL-1.0", ("boost software license - version 1.0",)),
    (
        "Zlib",
        (
            "this software is provided 'as-is', without any express or implied warranty",
            "altered source versions must be plainly marked",
        ),
    ),
    ("BSD-4-Clause", ("redistribution and use in source and binary", "all advertising materials")),
    (
        "BSD-3-Clause",
        ("redistribution and use in source and binary", "endorse or promote products derived"),
    ),
    ("BSD-2-Clause", ("redistribution and use in source and binary", "in binary form must")),
)

# Words in a file's head that rule it out, whatever its repository's licence says.
_REFUSED_HEADER = re.compile(
    r"gnu (?:affero |lesser |library )?general public licen[cs]e"
    r"|\b[al]?gpl(?:[-v ]*[123]|-?licen[cs]ed)"
    r"|under the (?:terms of the )?(?:gnu )?[al]?gpl\b"
    r"|mozilla public licen[cs]e|eclipse public licen[cs]e|business source licen[cs]e"
    r"|server side public licen[cs]e|elastic licen[cs]e|functional source licen[cs]e"
    r"|attribution-?\s?noncommercial|attribution-?\s?sharealike|\bcc[- ]by-(?:nc|sa|nd)\b"
    r"|proprietary and confidential|unauthori[sz]ed copying of this file"
    r"|(?:trade secrets?|confidential information) of\b"
)
_PERMISSIVE_GRANT = re.compile(
    r"(?:licen[cs]ed|released|distributed) under (?:the )?(?:terms of )?(?:the )?"
    r"(?:mit|apache|bsd|isc|boost|zlib)\b"
)
_OF_THIS_FILE = re.compile(
    r"\b(?:this|these|it|portions?|parts?|derived|dual|both|also|under the mit|under the apache)\b"
)
_SENTENCE_END = re.compile(r"(?<=[.;!?]) ")
_HEADER_HINTS = (
    "public licen", "gpl", "source licen", "elastic", "noncommercial", "sharealike", "-by-", " by-",
    "confidential", "authori", "trade secret", "public\n",
)  # fmt: skip
_SPDX = re.compile(r"spdx-license-identifier:\s*([^\n*#]+)", re.IGNORECASE)


def is_licence_file(path: str) -> bool:
    """Say whether a path within a repository is a licence text of the whole repository."""
    folder, _, name = path.rpartition("/")
    if folder not in {"", "LICENSES", "LICENSE", "licenses"} or _NOT_TEXT.search(name):
        return False
    return bool(folder) or bool(_LICENCE_FILE.match(name))


def detect(text: str) -> str:
    """Return the SPDX name (or a family such as "GPL") of the licence in `text`, or "unknown"."""
    plain = _plain(text)
    best = (len(plain) + 1, UNKNOWN)
    for name, phrases in _PHRASES:
        places = [plain.find(phrase) for phrase in phrases]
        if min(places) >= 0 and places[0] < best[0]:
            best = (places[0], name)
    return best[1]


def licence_of(texts: Iterable[str], allowed: Collection[str]) -> str:
    """Return the licence of a repository with these licence texts.

    Several texts must all be allowed; an unrecognised one beside them does not count (a plain
    "choose either of these files" has no phrases of its own). One that is not allowed decides.
    """
    known = [name for name in map(detect, texts) if name != UNKNOWN]
    for name in known:
        if name not in allowed:
            return name
    return " AND ".join(sorted(set(known))) or UNKNOWN


def is_allowed(licence: str, allowed: Collection[str]) -> bool:
    """Say whether each part of what `licence_of` returned is allowed."""
    return all(part in allowed for part in licence.split(" AND "))


def header_refuses(text: str, allowed: Collection[str]) -> bool:
    """Say whether the head of a source file carries a licence that is not allowed."""
    head = text[:HEADER_CHARS]
    if not all(_expression_allowed(expression, allowed) for expression in _SPDX.findall(head)):
        return True
    head = _SPDX.sub("", head)  # judged: "GPL-2.0 OR MIT" is fine
    lower = head.lower()
    if not any(hint in lower for hint in _HEADER_HINTS):
        return False  # almost every file: the slow way is for the others
    refusing = list(filter(_REFUSED_HEADER.search, _SENTENCE_END.split(plain := _plain(head))))
    if _PERMISSIVE_GRANT.search(plain):  # then what it says of other works is no matter
        refusing = list(filter(_OF_THIS_FILE.search, refusing))
    return bool(refusing)


def _expression_allowed(expression: str, allowed: Collection[str]) -> bool:
    """Judge an SPDX expression: one allowed alternative of an OR is enough."""
    words = re.sub(r"[()]", " ", expression).strip().rstrip("->\"'/ ")
    known = {name.lower() for name in allowed}
    for alternative in re.split(r"\s+or\s+|/", words, flags=re.IGNORECASE):
        granted = re.sub(r"\s+with\s+[\w.-]+", "", alternative.strip(), flags=re.IGNORECASE)
        parts = re.split(r"\s+and\s+", granted, flags=re.IGNORECASE)
        if all(part.lower() in known for part in parts):
            return True
    return False


def _plain(text: str) -> str:
    """Lower case, comment marks gone, white space single, "and/or" as "and"."""
    text = re.sub(r"[ \t]*(?:#|//|\*|;|--)+[ \t]?", " ", text.lower())
    return re.sub(r"\s+", " ", text).replace("and/or", "and").replace(", and", " and")
