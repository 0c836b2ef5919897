"""Formats of the keys that services hand out, as data, and where keys stand in a text.

Most begin with a head of their own (`ghp_`), and are looked for only where many characters of a key
stand together, so that a text is read once however many formats there are. The others have a text
inside or before them that is quick to look for. The formats were compared with the rules of
CredSweeper 1.19 (MIT) and detect-secrets 1.5 (Apache-2.0). Knows no name that a key is given to.
"""

import base64
import binascii
import functools
import re
import string
from collections.abc import Iterator


def _rows(table: str) -> Iterator[tuple[str, list[str], str]]:
    for line in table.strip().splitlines():
        kind, heads, pattern = line.split(" | ", 2)
        yield kind, heads.split(), pattern


# kind | heads | what follows; letters and digits are ASCII, and [^\W_] is one of them
_HEADED = r"""
AWS key id | AKIA ASIA ABIA ACCA | [A-Z2-7]{16}\b
AWS key | ABSK bedrock-api-key- | [\w+/=]{28,800}
AWS key | da2- | [a-z0-9]{26}\b
Alibaba key | LTAI | [^\W_]{12,24}\b
Google key | AIza | [\w-]{35}
Google key | GOCSPX- | [\w-]{28}
Google key | 1//0 | [\w-]{40,300}
GitHub token | ghp_ gho_ ghu_ ghs_ ghr_ | [^\W_]{36,255}
GitHub token | github_pat_ | [^\W_]{22}_[^\W_]{59}
GitLab token | glpat- gldt- glft- glsoat- glrt- glptt- gloas- glcbt- glimt- | [\w-]{20,64}
GitLab token | glagent- GR1348941 | [\w-]{20,100}
Bitbucket token | ATBB | [^\W_]{24,40}\b
Atlassian token | ATATT3 ATCTT3 | [\w=-]{80,400}
Slack token | xoxa- xoxb- xoxe- xoxp- xoxo- xoxs- xoxr- | \d{6,16}-[A-Za-z0-9-]{10,200}
Slack token | xapp- | \d-[A-Z0-9]{8,20}-\d{8,16}-[a-f0-9]{32,80}
Stripe key | sk_live_ sk_test_ rk_live_ rk_test_ | [^\W_]{16,250}
Stripe key | whsec_ | [A-Za-z0-9+/]{32,64}
Square key | sq0atp- sq0csp- | [\w-]{22,43}
Shopify token | shpat_ shpca_ shppa_ shpss_ | [a-fA-F0-9]{32}\b
Plaid token | access-sandbox- access-production- | [a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}
Shippo token | shippo_live_ shippo_test_ | [a-f0-9]{40}
EasyPost key | EZAK EZTK | [^\W_]{54}
Duffel token | duffel_live_ duffel_test_ | [\w=-]{43}
model API key | sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or- | [\w-]{20,250}
model API key | sk- | [^\W_]{40,64}\b
model API key | sk- | [a-f0-9]{32}\b
model API key | gsk_ | [^\W_]{40,64}
model API key | xai- | [\w-]{64,100}
model API key | pplx- | [^\W_]{40,64}
model API key | nvapi- | [\w-]{60,80}
model API key | r8_ | [^\W_]{37}\b
model API key | tgp_v1_ | [\w-]{43}
model API key | tvly- | (?=[a-zA-Z-]{0,40}\d)[A-Za-z0-9-]{28,50}
model API key | llx- | [^\W_]{48}
Hugging Face token | hf_ | (?=[A-Za-z]{0,40}\d)[^\W_]{30,64}\b
PyPI token | pypi- | AgE[\w-]{60,260}
npm token | npm_ | [^\W_]{36}\b
NuGet key | oy2 | [a-z0-9]{43}\b
RubyGems key | rubygems_ | [a-f0-9]{48}
Clojars token | CLOJARS_ | [a-f0-9]{60}
Docker token | dckr_pat_ dckr_oat_ | [\w-]{27,32}
Docker token | SWMTKN-1- | [a-z0-9]{50}-[a-z0-9]{25}
DigitalOcean token | dop_v1_ doo_v1_ dor_v1_ | [a-f0-9]{64}\b
Heroku key | HRKU- | [\w-]{36,64}
Cloudflare token | cfat_ cfut_ cfk_ | [^\W_]{40}[a-f0-9]{8}
Vercel token | vcp_ vci_ vca_ vcr_ vck_ | [^\W_]{40,60}
Netlify token | nfp_ | [^\W_]{36,48}
Supabase key | sbp_ sb_secret_ | (?:v0_)?[\w-]{28,64}
PlanetScale token | pscale_tkn_ pscale_oauth_ pscale_pw_ | [\w-]{32,64}
Pulumi token | pul- | [a-f0-9]{40}
Prefect token | pnu_ pnb_ | [^\W_]{36}
Tailscale key | tskey-auth- tskey-api- tskey-client- | [^\W_]{8,24}-[^\W_]{20,40}
Databricks token | dapi | [a-f0-9]{32}
CircleCI token | CCIPAT_ | [^\W_]{22}_[a-f0-9]{40}
Linear key | lin_api_ lin_oauth_ | [^\W_]{40,64}
Notion token | ntn_ | [^\W_]{40,60}
Figma token | figd_ figo_ | [\w-]{40}
Airtable token | pat | [^\W_]{14}\.[a-f0-9]{64}
Contentful token | CFPAT- | [\w-]{43}
Postman key | PMAK- | [a-f0-9]{24}-[a-f0-9]{34}
Typeform token | tfp_ | [\w-]{40,60}
ReadMe key | rdme_ | [a-z0-9]{70}
Sentry token | sntrys_ sntryu_ | [\w+/=-]{60,400}
Grafana token | glsa_ | [^\W_]{32}_[a-fA-F0-9]{8}
Grafana token | glc_ | [\w+/=]{60,360}
New Relic key | NRAK- NRII- | [\w-]{25,32}
PostHog key | phx_ phs_ | [^\W_]{40,60}
Sonar token | sqp_ squ_ sqa_ | [a-f0-9]{40}
Sourcegraph token | sgp_ | (?:local_|[a-f0-9]{16}_)?[a-f0-9]{40}
WakaTime key | waka_ | [a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}
Riot key | RGAPI- | [a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}
Mailgun key | key- | [a-f0-9]{32}\b
Brevo key | xkeysib- xsmtpsib- | [a-f0-9]{64}-[^\W_]{16}
Twilio key | SK | [a-f0-9]{32}\b
JFrog key | AKCp | [^\W_]{60,80}\b
JFrog key | cmVmdGtu | [^\W_]{50,64}\b
1Password token | ops_ | eyJ[\w+/=-]{100,2000}
1Password key | A3- | [A-Z0-9]{6}-[A-Z0-9]{6,11}(?:-[A-Z0-9]{5}){3,4}
age key | AGE-SECRET-KEY-1 | [A-Z0-9]{58}
NATS seed | SUA SAA SOA SNA SXA SCA | [A-Z2-7]{55}\b
Facebook token | EAA | (?=[A-Za-z]{0,80}\d)[^\W_]{80,400}
Discord token | MT Mj Mz MD NT Nj Nz ND OT Oz OD | [\w-]{21,26}\.[\w-]{6}\.[\w-]{27,40}
JWT | eyJ | [\w-]{8,500}\.eyJ[\w-]{8,4000}\.[\w-]{10,1000}
SendGrid key | SG. | [\w-]{22}\.[\w-]{43}
Google key | ya29. | [\w-]{40,300}
Vault token | hvs. hvb. hvr. | [\w-]{24,300}
Terraform token | .atlasv1. | [\w=-]{60,70}
Doppler token | dp.pt. dp.st. dp.ct. dp.sa. | (?:[a-z0-9_-]{2,35}\.)?[^\W_]{40,44}\b
Dynatrace token | dt0c01. dt0s01. | [A-Z0-9]{24}\.[A-Z0-9]{64}
private key | MII | [A-Z][A-Za-z0-9+/][AQgw]IBA[A-Za-z0-9+/=]{40,4000}
private key | MHcCAQEEI MC4CAQAwBQYDK2VwBCIEI MIGHAgEAMBMG b3BlbnNzaC1rZXkt | [\w+/=]{36,4000}
"""

# kind | texts one of which must be there | pattern with what must go
_OTHERS = list(
    _rows(r"""
AWS secret | ecret | (?i:aws.{0,20}secret.{0,20}[=:]\s{0,9})["']?([\w+/]{40})(?![\w+/])
Azure key | ccountKey= | [Aa]ccountKey=([A-Za-z0-9+/]{40,120}={0,2})
Azure key | Q~ | \dQ~(?<=[\w~.-]{3}\dQ~)([\w~.-]{31,34})(?![\w~.-])
signature of a URL | sig= ignature= | [?&;](?:sig|(?:X-Amz-)?Signature)=([\w%+/-]{40,120}={0,2})
Slack hook | hooks.slack | hooks\.slack\.com/\w{8,9}/(T\w{4,20}/[AB]\w{4,20}/\w{16,40})
Teams hook | webhook.office | webhook\.office\.com/\w{1,20}/([\w-]{36}@[\w-]{36}/\w{1,30}/\w{32})
Discord hook | /api/webhooks/ | /api/webhooks/(\d{16,20}/[\w-]{60,90})
Telegram token | :AA | \b(\d{8,10}:AA[\w-]{33})\b
Mailchimp key | -us | -us(?<=([a-f0-9]{32})-us)\d{1,2}\b
password of a command | sshpass | sshpass -p ?["']?([^\s"'$]{4,128})
password of a command | -u --user | -(?:u|-user)[ =]["']?[\w.-]{1,64}:(?=\S*\d)([^\s"'@/$]{6,128})
password of a command | mysql | mysql[^\n|;&]{0,160}? -p["']?(?=\S*\d)([^\s"'$]{6,128})
password of a command | login | login [^\n|;&]{0,160}?-p ["']?(?=\S*\d)([^\s"'$]{6,128})
password of a command | redis-cli | redis-cli[^\n|;&]{0,160}? -a ["']?([^\s"'$]{6,128})
database password | jdbc:oracle | jdbc:oracle:\w{1,8}:[\w.-]{1,64}/([^\s/"'@]{3,128})@
JSON web key | kty | "(?:k|d|p|q|dp|dq|qi)\\?"[ \t]{0,3}:[ \t]{0,3}\\?"([\w-]{20,700})
database password | @tcp( | (?<![\w.-])[\w.-]{1,64}:([^\s:@"'`/]{3,128})@tcp\(
URL token | :// | ://([\w-]{20,200})(?::[\w-]{0,20})?@
URL password | :// | ://(?<=[a-z0-9+.-]{2}://)[^\s:/@"'`{}<>]{0,64}:([^\s@/]{3,128})@
""")
)

MIN_RUN_CHARS = 16  # of a key's characters; fewer are no key
_KEY_CHARS = frozenset((string.ascii_letters + string.digits + "_+/-").encode())
_IS_KEY_CHAR = bytes(ord("a" if char in _KEY_CHARS else " ") for char in range(256))
_RUN = b"a" * MIN_RUN_CHARS
BASE64_KIND = "base64 of a secret"
_PIECE_START = re.compile(r"[/+-](?=[A-Za-z0-9])")
_ESCAPES = {"\\": 1, "%": 2}  # before a key, with what belongs to it: `\nghp_...`, `%3Dghp_...`
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{24,10000}={0,2}")
_PEM_HEAD = re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY")
_MIN_HEAD_CHARS = 3  # of a head that base64 is recognised by
_LOOK_CHARS = 64  # of base64: the longest head, and some of what follows


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


_Formats = dict[str, list[tuple[str, str, str]]]  # kind, head, pattern of the rest
_BY_START: _Formats = {}  # by the first two characters of the head
_BY_END: _Formats = {}  # by its last three, where it ends with a dot
for _kind, _heads, _pattern in _rows(_HEADED):
    for _head in _heads:
        _BY_START.setdefault(_head[:2], []).append((_kind, _head, _pattern))
        if _head.endswith("."):
            _BY_END.setdefault(_head[-3:], []).append((_kind, _head, _pattern))
HEADS = tuple({head for formats in _BY_START.values() for _, head, _ in formats})


def key_runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield where a key's characters stand together; four times as fast as a pattern."""
    marks = text.encode("ascii", "replace").translate(_IS_KEY_CHAR) + b" "
    at = marks.find(_RUN)
    while at != -1:
        end = marks.find(b" ", at)
        yield at, end
        at = marks.find(_RUN, end)


def odd_tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end) of keys without a head of their own."""
    for kind, hints, pattern in _OTHERS:
        if any(hint in text for hint in hints):
            for match in _compiled(pattern).finditer(text):
                yield kind, match.start(1), match.end(1)


def headed_tokens(text: str, start: int, end: int) -> list[tuple[str, int, int]]:
    """Return (kind, start, end) of keys with a head in the run [start, end), without the head."""
    dotted = _BY_END.get(text[start - 3 : start])
    before = text[start - 1 : start]
    has_pieces = _PIECE_START.search(text, start, end)
    if not (has_pieces or text[start : start + 2] in _BY_START or before in _ESCAPES or dotted):
        return []  # nine in ten end here
    places = [start, *(piece.end() for piece in _PIECE_START.finditer(text, start, end))]
    if before in _ESCAPES:
        places.append(start + _ESCAPES[before])
    rows = [
        (kind, at + len(head), pattern)
        for at in places
        for kind, head, pattern in _BY_START.get(text[at : at + 2], ())
        if text.startswith(head, at)
    ]
    rows += (
        (kind, start, pattern)
        for kind, head, pattern in dotted or ()
        if text.startswith(head, start - len(head))
    )
    found = ((kind, _compiled(pattern).match(text, at)) for kind, at, pattern in rows)
    return [(kind, *match.span()) for kind, match in found if match]


def encoded_token(text: str, start: int) -> tuple[str, int, int] | None:
    """Return where base64 of a key with a head, or of a private key, begins at `start`."""
    run = _BASE64_RUN.match(text, start)
    plain = _decoded(run[0][:_LOOK_CHARS]) if run else ""
    heads = (head for _, head, _ in _BY_START.get(plain[:2], ()) if len(head) > _MIN_HEAD_CHARS)
    is_key = plain.startswith(tuple(heads)) or _PEM_HEAD.match(plain)
    return (BASE64_KIND, start, run.end()) if run and is_key else None


def _decoded(run: str) -> str:
    """Return what base64 stands for, as far as its whole groups go; each byte as a character."""
    return base64.b64decode(run[: len(run) // 4 * 4]).decode("latin-1")


def begins_encoded_token(run: str) -> bool:
    """Say whether base64 in `run` is the beginning of a key with a head, or of a private key."""
    try:
        plain = _decoded(run)
    except binascii.Error:
        return False
    known = ("-----BEGIN", *(head for head in HEADS if len(head) >= _MIN_HEAD_CHARS))
    return len(plain) >= _MIN_HEAD_CHARS and any(
        plain.startswith(head) or head.startswith(plain) for head in known
    )
