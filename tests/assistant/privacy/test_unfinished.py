"""Where what may be a secret begins at the cursor, and where there is none."""

import pytest

from assistant.privacy.unfinished import open_secret

FINDER_CASES = [
    ("ghp_", "ab"),
    ("a = 'ghp_x'; ghp_", "ab"),
    ("sk-", "ab1"),  # a short head also begins words
    ("'sk-", "ab"),
    ("postgres://u:", "p"),
    ('x = "', "Z2hwXw"),  # base64 of a head
    ('x = "', "c2st"),  # the shortest there is
    ('x = "', "c2steHl6"),
    ("x = ", "a1b2c3d4e5f6g7h8"),
    ('Bot("', "123456789:AA2CVjebgFpjxvAS7IWlSn3n2a2wZ0KQzfN"),  # whole, from its number on
    ('token = "', "b"),
    ('token = "Basic ', "ab"),
    ("token = Basic ", "ab"),
    ('token="a", b="', "c"),
    ('"token" + "', "b"),
    ("token = '", '"b'),
    ("x.token(a,\n  '", "ab"),
    ("- name: TOKEN\n  value: ", "ab"),
    ("TOKEN,\n  value: ", "ab"),
    ('senha"', "ab"),
    ("ALGOLIA_ADMIN_KEY=", "ab"),
    ("export APP_KEY=", "base64:ab"),
    ("Cookie: a=1; sid=", "ab"),
    ("# -----BEGIN PRIVATE KEY-----", "\n# abc\n# de"),
    ("Private-Lines: 1", "\nabcd"),
    ("kind: Secret\ndata:\n  a: ", "ab"),
    ("-----BEGIN PRIVATE KEY-----", "\nabc"),
    ("-----BEGIN PRIVATE KEY-----", "\nabc\n"),
    ("-----BEGIN PRIVATE KEY-----\nx = {}\n-----BEGIN PRIVATE KEY-----", "\nab"),
    ("-----BEGIN PRIVATE KEY-----", "\nProc-Type: 4,ENCRYPTED\n\nab"),
]


@pytest.mark.parametrize(("before", "secret"), FINDER_CASES)
def test_it_begins_behind_what_tells_it(before: str, secret: str) -> None:
    text = before + secret
    assert open_secret(text, len(text)) == len(before)
    shifted = "x = 1\n" + text
    assert open_secret(shifted + "\ny = 2\n", len(shifted)) == len(before) + 6


@pytest.mark.parametrize(
    "text",
    [
        "x = jane@firm.io",
        f"a = 'ghp_{'aB3' * 12}'; b = c",
        "xsk-ab1",
        "sk-",
        "f(1, sk-ab",
        "postgres://u:",
        "http://host:80",
        'token = "two words',
        'token = "a" + b',
        "f(x, 'b",
        "CACHE_KEYS=1; x = ab",
        "f(sort_key=ab",
        "MAX_ROWS=ab",
        "- name: other\n  value: ab",
        "kind: Secret\ndata:\n  ",
        "data:\n  a: ab",
        "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nab",
        "---- BEGIN SSH2 PRIVATE KEY ----\nabc\n---- END SSH2 PRIVATE KEY ----\nab",
        "Private-Lines: 1\nabcd\nPrivate-MAC: 0123\nab",
        "-----BEGIN PRIVATE KEY-----\na = {b}",
        "abcdefgh",
        "",
    ],
)
def test_other_text_is_not_withheld(text: str) -> None:
    assert open_secret(text, len(text)) is None
    assert open_secret("x = 1\n" + text, len(text) + 6) is None


def test_a_cursor_before_a_secret_is_at_its_start() -> None:
    assert open_secret("ghp_", 4) is None  # nothing is typed yet
    assert open_secret("ghp_'", 4) is None
    assert open_secret("ghp_abc", 4) == 4
    assert open_secret("ghp_a'", 4) == 4
    assert open_secret("token = 'ghp_abc", 13) == 9
    assert open_secret("postgres://u:p", 13) is None
