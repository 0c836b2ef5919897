"""How far is looked for what tells a secret: each limit, at its edge."""

from collections.abc import Callable

import pytest

from assistant.privacy.redaction import find
from assistant.privacy.secret_names import is_in_context, named_secrets
from assistant.privacy.unfinished import open_secret

VALUE = "a9F4731bE6c1fbB0"
PGP = "-----BEGIN PGP PRIVATE KEY BLOCK-----"


def is_found(text: str) -> bool:
    return find(text) != []


def is_named(text: str) -> bool:
    return [*named_secrets(text)] != []


def is_open(text: str) -> bool:
    return open_secret(text, len(text)) is not None


def speaks(before: str) -> bool:
    return is_in_context(before + VALUE, len(before))


Case = tuple[Callable[[str], bool], Callable[[int], str], int]
CASES: dict[str, Case] = {
    "line before the cursor": (is_open, lambda n: 'token = "' + "a" * n, 391),
    "line above that goes on": (is_open, lambda n: "token, " + "a" * n + ',\n"ab', 392),
    "lines up of a call": (is_open, lambda n: "f(token," + "\n  x," * n + '\n"ab', 1),
    "key block": (is_open, lambda n: "-----BEGIN PRIVATE KEY-----" + "\n" * n + "ab", 9_972),
    "kind of a manifest": (is_open, lambda n: "kind: Secret\ndata:" + " " * n + "\n  a: ab", 3_974),
    "name some lines up": (is_open, lambda n: "name: token" + " " * n + "\nvalue: ab", 394),
    "words on the line": (speaks, lambda n: "token = " + " " * n + '"', 151),
    "words one line up": (speaks, lambda n: "token," + "x" * n + ',\n"', 153),
    "rest of a statement": (is_named, lambda n: f'f(token, {"x" * n} "{VALUE}")', 219),
    "lines of a statement": (is_named, lambda n: "f(token, x," + "\n y," * n + f'\n"{VALUE}")', 1),
    "blanks at a line's end": (is_named, lambda n: f'f(token, x,{" " * n}\n"{VALUE}")', 19),
    "data below a kind": (is_found, lambda n: f"kind: Secret\n{'#' * n}\ndata:\n a: abcd", 3_984),
    "data above a kind": (is_found, lambda n: f"data:\n a: abcd\n{'#' * n}\nkind: Secret", 3_984),
    "end of a key block": (
        is_found,
        lambda n: f"{PGP}\nVersion: 1\n\n{VALUE * 2}{'#' * n}----END",
        9_948,
    ),
    "local part": (is_found, lambda n: "a" * n + "@firm.io", 64),
    "local part in a text": (is_found, lambda n: f'{"-" * 20}"{"a" * n}@firm.io', 64),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_limit_is_where_it_is(name: str) -> None:
    is_told, text_of, most = CASES[name]
    assert is_told(text_of(most))
    assert not is_told(text_of(most + 1))


def test_a_long_line_above_is_not_read_to_its_start() -> None:
    assert not is_open("token = 1; " + "x, " * 200 + ',\n"ab')
    assert not speaks("token = 1; " + "x, " * 200 + ',\n"')


def test_what_follows_a_password_of_a_url_is_no_mail_address() -> None:
    assert not is_found(f"http://{'u' * 76}:jane@firm.io")
    assert is_found(f"http://{'u' * 77}:jane@firm.io")


def test_words_that_begin_a_text_are_read() -> None:
    assert speaks('token\n"') and speaks('token, "') and not speaks('\n"')
    assert is_open('token,\n"ab') and not is_open('\n"ab')
