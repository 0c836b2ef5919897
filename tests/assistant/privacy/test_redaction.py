"""Secrets and personal data go, look-alikes stay; every secret here is made when the test runs."""

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant.privacy.redaction import SecretFinding, find, redact, spans_paragraphs, substitute
from assistant.privacy.unfinished import open_secret
from tests.growth import LINEAR, growth
from tests.secret_gallery import GALLERY

STRINGS = "scrubber_strings.json"
BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "data"
# Read when the file is imported: no test sees variables of ours.
SHARED_DATA = Path(os.environ.get("FORETYPE_SHARED_DATA", BESIDE))


def fake(n_chars: int, seed: str = "seed") -> str:
    """Return letters and digits that look random."""
    digest = b"".join(hashlib.sha512(f"{seed}{i}".encode()).digest() for i in range(4))
    return base64.b64encode(digest).decode().replace("+", "x").replace("/", "y")[:n_chars]


def fake_hex(n_chars: int) -> str:
    return hashlib.sha512(b"hex").hexdigest()[:n_chars]


def pem(body: str, kind: str = "RSA PRIVATE KEY") -> str:
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


# kind -> (what is kept of it, what must go)
TOKENS = {
    "AWS key id": ("AKIA", "Q7ZP3MXW5RTY2KLD"),
    "AWS secret": ("aws_secret_access_key = ", fake(40)),
    "Azure key": ("AccountKey=", fake(86) + "=="),
    "GitHub token": ("ghp_", fake(36)),
    "GitLab token": ("glpat-", fake(20)),
    "Slack token": ("xoxb-", "123456789012-" + fake(24)),
    "Slack hook": ("https://hooks.slack.com/services/", "T0123A/B0123A/" + fake(24)),
    "Discord hook": ("https://d.example/api/webhooks/", "12345678901234567/" + fake(68)),
    "Telegram token": ("", "123456789:AA" + fake(33)),
    "Google key": ("AIza", fake(35)),
    "Stripe key": ("sk_live_", fake(24)),
    "model API key": ("sk-ant-", fake(40)),
    "Hugging Face token": ("hf_", "a1" + fake(32)),
    "PyPI token": ("pypi-", "AgEIcHlwaS5vcmc" + fake(60)),
    "npm token": ("npm_", fake(36)),
    "Docker token": ("dckr_pat_", fake(27)),
    "DigitalOcean token": ("dop_v1_", fake_hex(64)),
    "Shopify token": ("shpat_", fake_hex(32)),
    "SendGrid key": ("SG.", f"{fake(22)}.{fake(43, 's')}"),
    "Mailgun key": ("key-", fake_hex(32)),
    "JWT": ("eyJ", f"{fake(20)}.eyJ{fake(30)}.{fake(43)}"),
    "URL password": ("postgresql://someone:", "Hw7!kq2x"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_token_goes_and_its_prefix_and_length_stay(kind: str) -> None:
    prefix, body = TOKENS[kind]
    after = "@db.internal/app'\n" if kind == "URL password" else "'\n"
    text = f"value = '{prefix}{body}{after}"
    clean, counts = redact(text)
    assert counts == {kind: 1}
    assert body not in clean
    assert clean.startswith(f"value = '{prefix}")
    assert clean.endswith(after)
    assert len(clean) == len(text)


@pytest.mark.parametrize("key", [f"ghp_{fake(36)}", pem(fake(64)), f"sk_live_{fake(24)}"])
def test_base64_of_a_key_goes(key: str) -> None:
    encoded = base64.b64encode(key.encode()).decode()
    clean, counts = redact(f"blob = load({encoded})\n")
    assert counts == {"base64 of a secret": 1}
    assert encoded[:20] not in clean


def test_data_of_two_secrets_in_one_document_go_once() -> None:
    first, second = fake(16, "one"), fake(16, "two")
    text = f"kind: Secret\ndata:\n  a: {first}\n# kind: Secret\ndata:\n  b: {second}\n"
    clean, counts = redact(text)
    assert counts == {"named secret": 2}
    assert first not in clean and second not in clean


@pytest.mark.parametrize("escape", ["%3D", "%20", "\\n", "\\t"])
def test_token_after_an_escape_goes(escape: str) -> None:
    token = TOKENS["GitHub token"][1]
    clean, counts = redact(f"see = 'a{escape}ghp_{token}'")
    assert counts == {"GitHub token": 1}
    assert token not in clean


@pytest.mark.parametrize(
    "line",
    [
        f'API_SECRET = "{fake_hex(40)}"',
        f"  api_key: '{fake(32, 'a')}',",
        f'{{"client_secret": "{fake(24)}"}}',
        f'const apiKey: string = "{fake(20)}";',
        f'password := "{fake(16)}"',
        f'os.environ["ACCESS_TOKEN"] = "{fake(24)}"',
        f'connect(password="{"Tr0ub4d" + "or&3"}")',
        f"if token == `{fake(30)}` {{",
        f"SECRET_KEY = b'{fake(12, 'k')}-{fake(20, 'd')}'",
    ],
)
def test_random_value_of_a_secret_name_goes(line: str) -> None:
    clean, counts = redact(line)
    assert counts == {"named secret": 1}
    assert len(clean) == len(line)
    name = re.match(r"\W*\w+", line)
    assert name is not None
    assert clean.startswith(name[0])


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])
def test_private_key_keeps_its_frame_and_its_lines(kind: str) -> None:
    lines = [fake(64, str(i)) for i in range(6)]
    clean, counts = redact("KEY = '''" + pem("\n".join(lines), kind) + "'''\n")
    assert counts == {"private key": 1}
    assert clean == "KEY = '''" + pem("\n".join(["x" * 64] * 6), kind) + "'''\n"


def test_private_key_in_a_one_line_literal_and_one_that_breaks_off_go() -> None:
    key = pem(fake(64) + "\n" + fake(60)).replace("\n", "\\n")
    assert fake(64)[1:] not in redact(f'key = "{key}"')[0]
    assert redact(f'key = "{key}"')[0].count("\\n") == key.count("\\n")
    broken_off = pem(fake(64)).partition("\n-----END")[0]
    assert fake(64) not in redact(broken_off)[0]


@pytest.mark.parametrize(
    "address",
    [
        "jane.doe@corp-mail.example",
        "j_d+lists@mail.some-firm.co.uk",
        "UPPER@FIRM.DE",
        "mailto:jane@firm.io",
        "jd@firm.io",
        "<1234+jane@users.noreply.github.com>",
    ],
)
def test_mail_address_goes(address: str) -> None:
    clean, counts = redact(f'__author__ = "{address}"\n')
    assert counts == {"e-mail address": 1}
    assert "user1@example.com" in clean
    assert "jane" not in clean.lower()


@pytest.mark.parametrize("address", ["93.184.216.34", "2a00:1450:4001:82b::200e", "203.0.113.77"])
def test_public_address_goes(address: str) -> None:
    clean, counts = redact(f'HOST = "{address}"\n')
    assert counts == {"IP address": 1}
    assert clean in {'HOST = "192.0.2.1"\n', 'HOST = "2001:db8::1"\n'}


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        fake_hex(40),
        "--hash=sha256:" + "9b" * 32,
        "123e4567-e89b-12d3-a456-426614174000",
        "data:image/png;base64,iVBORw0KGgo=",
        'password = "changeme"',
        'token = os.environ["GITHUB_TOKEN"]',
        'token = "some_identifier_of_a_token_2"',
        'secret_name = "projects/123/secrets/abc1"',
        'api_key = f"{prefix}-{random_part}"',
        'password = "%(database_password_1a2b3c4d)s"',
        ".sk-toggleable__content-arrow-label",
        "-----BEGIN PRIVATE KEY-----\n...\n",
        "hf_hub_download_with_retries_and_more",
        "xoxb-your-token-goes-here",
        "ghp_" + "x" * 36,
        "postgresql://user:password@localhost/db",
        "postgres://{user}:{password}@{host}",
        "https://$USER:$TOKEN@host/",
        "http://host:8080/a@b",
        "git@github.com:owner/name.git",
        "someone@example.com and a@mail.example.org and me@test.com",
        "scores = queries@keys.transpose(1, 2)",
        "product = xs@w.mT",
        "product = x@w.io",
        "icon@2x.png",
        "@pytest.mark.slow",
        "127.0.0.1 0.0.0.0 10.12.0.1 192.168.1.7 172.16.3.4 255.255.255.0 8.8.8.8",
        "version = '1.2.3.4' or pkg==4.21.100.3 or v93.18.21.34",
        "1.3.6.1.4.1.311",
        "93.184.216.999",
        "2a00:1450::82b::200e",
        base64.b64encode(b"just a sentence of nobody's").decode(),
        base64.b64encode(b"patience is all that it takes").decode(),
        "QUJDREVGR0hJSktMTU5PUFFSU1RVV==",
        "12:34:56 00:1b:44:11:3a:b7 2001:db8::7 ::1 fe80::1 xs[2000::2]",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    for line in (text, f'value = "{text}"\n', f"    # see {text}, please\n"):
        assert redact(line) == (line, {})


def test_equal_values_get_equal_stand_ins_and_others_other_ones() -> None:
    jane, joe = "jane@firm.io", "joe@firm.io"
    first, second = "ghp_" + fake(36), "ghp_" + fake(36, "b")
    clean, counts = redact(f"{joe} {jane} {joe}\n{first} {second} {first}\n")
    assert clean == (
        "user1@example.com user2@example.com user1@example.com\n"
        f"ghp_{'x' * 36} ghp_{'x' * 35}2 ghp_{'x' * 36}\n"
    )
    assert counts == {"e-mail address": 3, "GitHub token": 3}


def test_finding_is_only_what_must_go() -> None:
    text = "a = 'ghp_" + fake(36) + "'\n"
    (finding,) = find(text)
    assert (finding.kind, text[finding.start : finding.end]) == ("GitHub token", fake(36))


SAMPLES = [
    *(prefix + body for prefix, body in TOKENS.values()),
    pem(fake(64)),
    f'token = "{fake(30)}"',
    "jane@firm.io",
    "ssh://joe:Hw7kq2x@firm.io:22/",
    "93.184.216.34",
    "2a00:1450:4001:82b::200e",
    *("'", '"', "\n", " = ", "@", ":", ".", "x", "password", "é", "İ"),
    *(item.text for item in GALLERY[:: len(GALLERY) // 40]),
]


@settings(max_examples=150)
@given(parts=st.lists(st.one_of(st.sampled_from(SAMPLES), st.text(max_size=6)), max_size=8))
@example(  # a named secret that goes on as a private key
    parts=["passwordPrivate-Lines: 2\n", f"{fake(64)}\n", f"{fake(40)}\n", "Private-MAC: 0\n"]
)
def test_redacting_twice_changes_nothing_and_lines_stay(parts: list[str]) -> None:
    text = "".join(parts)
    clean, counts = redact(text)
    assert redact(clean) == (clean, {})
    assert clean.count("\n") == text.count("\n")
    assert (clean != text) == bool(counts)


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "a@", "a.", "@a.", "1.", "2000:", "eyJaaaaaaaa.", "-eyJ", "token", "token = "),
        *("://a:", "-----BEGIN PRIVATE KEY-----\n", pem("A"), "sk-", 'password:"', "aws secret "),
        *(
            "token" + " " * 30,
            "token : a b c d e ",
            "password=(\n",
            "kind: Secret\ndata:\n",
            "-u a:1",
            "cookie: A_KEY=a; ",
        ),
        *(
            "a1b2c3d4e5f6a7b8 ",
            "token='a1b2c3d4e5f6a7b8' ",
            "QUJD" * 6 + " ",
            "x@tcp(",
            "MIIEpAIBAA",
        ),
    ],
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    def look_through(n_chars: int) -> None:
        text = piece * (n_chars // len(piece))
        redact(text)
        open_secret(text, len(text))

    assert growth(look_through, 12_000) < LINEAR


def shared_strings() -> dict[str, Any]:
    """Return the shared list of strings that every scrubber is held to, if it is here."""
    path = SHARED_DATA / STRINGS
    if not path.is_file():
        pytest.skip(f"{STRINGS} is not here; FORETYPE_SHARED_DATA may name its folder")
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def test_every_secret_of_the_shared_list_goes() -> None:
    samples = [item for item in shared_strings()["secrets"] if "allowlist" not in item["name"]]
    assert len(samples) > 15
    for item in samples:
        for text in (item["sample"], f"# {item['sample']}\n", f"value = '''{item['sample']}'''\n"):
            clean, counts = redact(text)
            assert sum(counts.values()) == 1, item["name"]
            (finding,) = find(text)
            assert text[finding.start : finding.end] not in clean, item["name"]


def test_nothing_of_the_shared_list_of_false_positives_goes() -> None:
    table = shared_strings()
    allowed = [item for item in table["secrets"] if "allowlist" in item["name"]]
    samples = [item["sample"] for item in (*table["must_not_scrub"], *allowed)]
    assert len(samples) > 6
    for sample in samples:
        for text in (sample, f"# {sample}\n", f"value = {sample}\n"):
            assert redact(text) == (text, {})


@pytest.mark.parametrize(
    ("before", "least", "after"),
    [
        (
            "-----BEGIN PRIVATE KEY-----\n",
            "abcdefghijklmnopqrstuvwx",
            "\n-----END PRIVATE KEY-----",
        ),
        ('Client("acme", "', "a1b2c3d4e5f6g7h8", '")'),
        ("https://", "a1b2c3d4e5f6g7h8i9j0", "@git.test/a"),
    ],
)
def test_what_is_a_character_too_short_stays(before: str, least: str, after: str) -> None:
    assert find(before + least + after)
    assert not find(before + least[:-1] + after)


@pytest.mark.parametrize("before", ["ver=", "release ", "  version: "])
def test_a_version_at_the_start_of_a_text_is_no_address(before: str) -> None:
    assert find(f"{before}21.19.18.17") == []


def test_a_key_may_be_the_first_of_a_text() -> None:
    clean, counts = redact("ghp_" + TOKENS["GitHub token"][1])
    assert counts == {"GitHub token": 1} and clean.startswith("ghp_x")


def test_a_key_block_within_one_and_one_behind_it_are_told_apart() -> None:
    first, second = fake(64), fake(64, "two")
    begin, end = "-----BEGIN PRIVATE KEY-----\n", "\n-----END PRIVATE KEY-----\n"
    text = begin + begin + first + end + "x = 1\n" + begin + second + end
    clean, counts = redact(text)
    assert counts == {"private key": 2}
    assert clean.count("x" * 64) == 2 and "x = 1\n" in clean


def test_a_part_of_a_text_has_the_stand_ins_that_are_in_it() -> None:
    text = "ab" + "secret" + "cd"
    found = [(SecretFinding("k", 2, 8), "xxxxxx")]
    assert substitute(text, found) == "abxxxxxxcd"
    assert substitute(text, found, 2) == "xxxxxxcd"
    assert substitute(text, found, 0, 8) == "abxxxxxx"
    assert substitute(text, found, 3) == "ecretcd"
    assert substitute(text, found, 0, 7) == "absecre"


@pytest.mark.parametrize(
    ("value", "second"),
    [
        (fake_hex(32), "0" * 31 + "2"),
        (fake_hex(8) + "-" + fake_hex(24), "x" * 8 + "-" + "x" * 23 + "2"),
        (fake(32).upper(), "X" * 31 + "2"),
    ],
)
def test_a_stand_in_has_the_letters_of_the_value(value: str, second: str) -> None:
    other = value[::-1] if "-" not in value else value[:-4] + "a1b2"
    clean, _ = redact(f"token = '{value}'\ntoken = '{other}'\n")
    assert clean.splitlines()[1] == f"token = '{second}'"


def test_the_numbers_of_many_stand_ins_are_at_their_ends() -> None:
    text = "".join(f"token = '{fake(20, str(n))}'\n" for n in range(12))
    assert redact(text)[0].splitlines()[9:] == [f"token = '{'x' * 18}{n}'" for n in (10, 11, 12)]


def test_what_spans_paragraphs_is_said_to() -> None:
    assert spans_paragraphs(pem("")) and spans_paragraphs('x\n"kind": "Secret"')
    assert not spans_paragraphs('kind: Service\npassword = "Hw7kq2xx"')


def test_key_blocks_that_break_off_one_after_another_all_go() -> None:
    begin = "-----BEGIN PRIVATE KEY-----\n"
    clean, counts = redact(begin + fake(64) + begin + fake(64, "two"))
    assert counts == {"private key": 2} and clean.count("x" * 64) == 2


def test_what_stands_right_behind_a_secret_is_told_from_it() -> None:
    clean, counts = redact(f"a?sig={fake(44)}==jane@firm.io")
    assert counts == {"signature of a URL": 1, "e-mail address": 1}
    assert clean.endswith("x==user1@example.com")
