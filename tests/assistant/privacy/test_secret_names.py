"""Names of secrets, and which of their values are random."""

import pytest

from assistant.privacy.secret_names import (
    is_drawn,
    is_in_context,
    is_random,
    named_secrets,
    names_in,
)

VALUE = "a9F4731bE6c1fbB0"


@pytest.mark.parametrize(
    "before",
    [
        'MY_API_KEY = "',
        "self.password_hash='",
        '"İ" or Token: "',
        "credentials => `",
        'setToken("',
        "PASSWORD=",
        "the token is ",
        'token = (\n    "',
        'add("--token",\n    x=1,\n    y="',
    ],
)
def test_value_of_a_name_is_found(before: str) -> None:
    text = before + VALUE
    text += before[-1] if before[-1] in "\"'`" else ""
    assert list(named_secrets(text)) == [(len(before), len(before) + len(VALUE))]


@pytest.mark.parametrize(
    "text",
    [
        f'key = "{VALUE}"',
        f'tokens()\nx = "{VALUE}"',
        f'token = f()\n\n"{VALUE}"',
        'token = "short1"',
        'token = "two words here"',
        "password = Config.Value_1",
    ],
)
def test_other_text_has_no_named_value(text: str) -> None:
    assert list(named_secrets(text)) == []


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ('STRIPE_KEY = "', True),
        ("stripeKey: '", True),
        ('Client("acme", "', True),
        ('token =\n    "', True),
        ('name = "', False),
        ('public_key = "', False),
        ('token_sha256 = "', False),
        ('token = 1\nname = "', False),
    ],
)
def test_words_before_a_value_say_what_it_is(before: str, expected: bool) -> None:
    assert is_in_context(before + VALUE, len(before)) is expected


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("a9f4731be6c1fbb034b7471f7ee7c449", "token", True),
        ("tokenizer_version_2_of_3_words_1", "token", False),
        ("a1a1a1a1a1a1a1a1", "token", False),  # varied, but not random
        ("https://a1b2c3d4e5f6g7h8/", "token", False),
        ("MbyIgJTreBjqUXsGaojHPpqeXvcE", "token", True),
        ("someRatherLongNameOfATokenForTests", "token", False),
        ("Tr0ub4dor&3", "password", True),
        ("Tr0ub4dor&3", "token", False),
        ("Tr0u&3", "password", False),
        ("b7Kq2xW9", "password", True),
        ("Password1", "password", False),
        ("SHc3IWtxMng=", "token", True),  # base64 of plain text
        ("SGVs-bG8gd29ybGQ=", "token", False),
        ("AQIDBAUG", "token", False),  # of no text
        ("w6nDqcOpw6k=", "token", False),
        ("Config.Value_1", "password", False),
        ("{Tr0ub4dor&3}", "password", False),
    ],
)
def test_random_is_told_from_written(value: str, name: str, expected: bool) -> None:
    assert is_random(value, name) is expected


@pytest.mark.parametrize(("characters", "is_it"), [("a1b2c3d4", True), ("a1b2c3d", False)])
def test_eight_different_characters_are_varied_enough(characters: str, is_it: bool) -> None:
    assert is_random((characters * 8)[:40], "token") == is_it


@pytest.mark.parametrize(
    ("name", "least", "less"),
    [
        ("token", "a1b2cdefghij", "a1b2cdefghi"),  # twelve characters
        ("token", "a1b2cdefghij", "a1bcdefghij2"),  # four changes between letters and digits
        ("token", "ABcDefGhijKlmnop", "ABcDefGhijklmnop"),  # 0.42 changes of case a character
        ("token", "ABcDefGhijKlmnop", "aBcDeFgHiJkLmNo"),  # sixteen characters
        ("token", "a1b2a1b2a1b2", "a1b1a1b1a1b1"),  # three tenths are distinct,
        ("token", "a1b2c3d4" * 5, "a1b2c3dd" * 5),  # or eight
        ("token", "a1b2c3" * 3 + "aa", "a1b2c2" * 3 + "aa"),  # six of twenty
        ("token", "aBcDeFgHiJkLmNoPqRsTuV" + "W" * 28, "aBcDeFgHiJkLmNoPqRsTuu" + "w" * 28),
        ("token", "aGVsbG8=", "YWJj"),  # base64 of eight characters
        ("password", "Ab1!efgh", "Ab1!efg"),  # eight characters of four kinds
        ("password", "ab1c!ef2", "ab1cd!ef"),  # or of three, and three changes
        ("password", "ab1c!ef2", "ab1cdef2"),
    ],
)
def test_the_least_that_is_random_is_as_it_was_measured(name: str, least: str, less: str) -> None:
    assert is_random(least, name)
    assert not is_random(less, name)


def test_names_that_touch_are_two_and_words_of_one_name_are_one() -> None:
    assert names_in("secret_token = token(secret") == [(0, 12), (15, 21), (21, 27)]


def test_a_letter_whose_small_form_is_longer_moves_no_name() -> None:
    assert names_in("\u0130 Password = ") == [(2, 10)]


def test_only_what_is_assigned_to_a_short_name_is_its_value() -> None:
    assert [*named_secrets(f'token, x "{VALUE}"')] and not [*named_secrets(f'pass, x "{VALUE}"')]
    assert [*named_secrets(f'pass = "{VALUE}"')]


@pytest.mark.parametrize("opener", ["'", '"', "`", "=", "", "("])
def test_less_is_asked_of_a_value_that_stands_by_itself(opener: str) -> None:
    before, value = "hmac(x, " + opener, "MbyIgJTre1jqUXsGaojHPpqeXvcE"
    assert is_drawn(before + value, len(before), len(before + value)) is (opener not in ("", "("))
    assert is_drawn("a1b2c3d4e5f6g7h8", 0, 16)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("token=", VALUE, "."),
        ("token=", VALUE, "&other=1"),
        ("token='", VALUE + ".", "'"),
        ("token='", VALUE + "&other=1", "'"),
    ],
)
def test_a_value_without_quotes_ends_where_a_sentence_or_a_parameter_does(
    before: str, value: str, after: str
) -> None:
    expected = [(len(before), len(before + value))]
    assert [*named_secrets(before + value + after)] == expected


def test_a_word_of_code_is_no_value_unless_it_is_quoted() -> None:
    word = "MbyIgJTreBjqUXsGaojHPpqeXvcE"
    assert [*named_secrets(f"token = {word}\n")] == []
    assert [*named_secrets(f"token = '{word}'\n")]


@pytest.mark.parametrize("mark", ["(", ")", "[", "{", "<", ",", ";"])
def test_nothing_is_left_of_a_quoted_secret_behind_a_bracket(mark: str) -> None:
    value = f"{VALUE}{mark}rest-of_it{mark}end"
    assert [*named_secrets(f"SECRET_KEY = '{value}'")] == [(14, 14 + len(value))]
    assert [*named_secrets(f"token='{VALUE}{mark} x'")] == [(7, 7 + len(VALUE))]  # a sentence


@pytest.mark.parametrize("value", ["t.n*p=ZM5x7K2v", "ab3d=eF5Gh7I"])
def test_a_value_of_yaml_may_begin_like_a_type(value: str) -> None:
    assert [*named_secrets(f"password: {value}\n")] == [(10, 10 + len(value))]


@pytest.mark.parametrize(
    "before",
    [
        'find(By.ID, "password").send_keys("',
        "get('[name=password]').type('",
        'form["password"].set("',
    ],
)
def test_the_quote_that_ends_a_name_opens_nothing(before: str) -> None:
    text = f"{before}{VALUE}{before[-1]})\n"
    assert [*named_secrets(text)] == [(len(before), len(before) + len(VALUE))]
