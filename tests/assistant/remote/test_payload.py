"""What leaves holds no secret, and says truly where it came from."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import RemoteError
from assistant.remote.payload import Payload, build_payload, restore_answer
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest

KEY = "AKIA" + "QWERTYUIOPASDFGH"
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
MAIL = "ada.lovelace" + "@" + "engines.org"


def packed(text: str, **changes: Any) -> Payload:
    """Pack at the bar in `text`."""
    offset = text.index("|")
    request = CompletionRequest(path="a.py", text=text.replace("|", "", 1), offset=offset)
    table: dict[str, Any] = {"mode": "race", "provider": "llamacpp"}
    settings_ = RemoteSettings(**(table | changes))
    return build_payload(request, settings_, single_line=True)


def sides(payload: Payload) -> tuple[str, str]:
    """The text before the cursor and after it, as it leaves."""
    body = json.loads(payload.body)
    return body["input_prefix"], body["input_suffix"]


def test_text_around_the_cursor_leaves_as_it_is() -> None:
    payload = packed("def add(a, b):\n    return |\n\nprint(1)\n")
    body = json.loads(payload.body)
    assert body["input_prefix"] == "def add(a, b):\n    return "
    assert body["input_suffix"] == "\n\nprint(1)\n"
    assert payload.ranges == ((0, 26), (26, 37))
    assert payload.redactions == {}


def test_windows_begin_and_end_with_lines() -> None:
    text = "".join(f"line_{n} = {n}\n" for n in range(100)) + "x = |\n"
    text += "".join(f"more_{n} = {n}\n" for n in range(100))
    payload = packed(text, prefix_chars=100, suffix_chars=50)
    prefix, suffix = sides(payload)
    assert prefix.startswith("line_")
    assert len(prefix) <= 100
    assert suffix.endswith("\n")
    assert len(suffix) <= 50


def test_ranges_are_of_bytes() -> None:
    text = "größe = '漢😀'\ny = |\n"
    data = text.replace("|", "").encode()
    payload = packed(text)
    (a, b), (c, d) = payload.ranges
    assert (data[a:b].decode(), data[c:d].decode()) == sides(payload)


def test_a_long_line_is_cut_where_it_must() -> None:
    payload = packed("x" * 500 + "|" + "y" * 500, prefix_chars=40, suffix_chars=30)
    assert sides(payload) == ("x" * 40, "y" * 30)


@pytest.mark.parametrize("secret", [KEY, TOKEN])
def test_secrets_are_replaced_on_both_sides(secret: str) -> None:
    payload = packed(f'a = "{secret}"\nb = |\nc = "{secret}"\n')
    assert secret not in payload.body.decode()
    assert sum(payload.redactions.values()) == 2
    assert len(payload.hidden) == 1
    assert sides(payload)[0].count("a =") == 1


def test_personal_data_is_replaced_and_put_back() -> None:
    payload = packed(f"# {MAIL}\nauthor = |\n")
    assert MAIL not in payload.body.decode()
    (stand_in,) = payload.personal
    request = CompletionRequest(path="a.py", text=f"# {MAIL}\nauthor = \n", offset=9)
    assert restore_answer(f'"{stand_in}"', payload, request) == f'"{MAIL}"'


@pytest.mark.parametrize("edge", range(0, 44, 3))
def test_a_secret_at_the_edge_of_the_window_is_not_cut_in_two(edge: int) -> None:
    payload = packed(f'"{TOKEN}" + |', prefix_chars=4 + edge)
    assert not any(TOKEN[i : i + 8] in payload.body.decode() for i in range(4, len(TOKEN) - 8))
    payload = packed(f'| "{TOKEN}"', suffix_chars=2 + edge)
    assert not any(TOKEN[i : i + 8] in payload.body.decode() for i in range(4, len(TOKEN) - 8))


@pytest.mark.parametrize(
    "text",
    [
        f'a = "{TOKEN[:12]}|{TOKEN[12:]}"',
        f"a = {TOKEN}|",
        'password = "h7Kq2Xw9Zp4m|',
        "api_key = 'q8Zr3Lk9Xw2Tn5Vb|",
        'secret_token = "q8Zr3Lk9Xw2Tn5Vb|"',
    ],
)
def test_nothing_leaves_from_inside_a_secret(text: str) -> None:
    with pytest.raises(RemoteError, match="secret"):
        packed(text)


def test_a_private_key_beside_the_cursor_does_not_leave() -> None:
    body = "\n".join("MIIEpAIBAAKCAQEA" + "q7Rt5Yw8" * 6 for _ in range(20))
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    payload = packed(f'KEY = """{key}"""\nx = |\n')
    assert "q7Rt5Yw8" not in payload.body.decode()


@given(
    before=st.text(alphabet="ab\n =\"'é漢", max_size=80),
    after=st.text(alphabet="ab\n =\"'é漢", max_size=80),
    sizes=st.tuples(st.integers(1, 60), st.integers(0, 60)),
    place=st.integers(0, 80),
)
@settings(max_examples=60)
def test_no_window_lets_a_secret_out(
    before: str, after: str, sizes: tuple[int, int], place: int
) -> None:
    both = [before, after]
    side = place % 2
    at = min(place, len(both[side]))
    both[side] = both[side][:at] + f' "{TOKEN}" ' + both[side][at:]
    text = "|".join(both)
    try:
        payload = packed(text, prefix_chars=sizes[0], suffix_chars=sizes[1])
    except RemoteError:
        return
    assert TOKEN[4:] not in payload.body.decode()
    assert not any(TOKEN[i : i + 10] in payload.body.decode() for i in range(4, 30))


REQUEST = CompletionRequest(path="a.py", text='token = ""\n', offset=9)
# One of each kind that shows nothing, a blank, or something else than what stands there.
HIDDEN = (
    "\x00\x07\x08\x0b\x0c\x7f\x85\x9b\xa0\xad\u034f\u061c\u115f\u17b4\u180e\u2003\u200b\u200d\u200e"
    "\u2028\u2029\u202a\u202d\u202f\u2060\u2064\u2066\u2069\u206a\u2800\u3000\u3164\ue000\ufe0f\ufeff\uffa0"
    "\ufff9\ud800\U000e0020\U000e01ef"
)
EMPTY = packed("x = |")


def test_a_plain_answer_passes() -> None:
    assert restore_answer("get_token()\r\nx", EMPTY, REQUEST) == "get_token()\nx"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (KEY, "secret"),
        ("q8Zr3Lk9Xw2Tn5Vb7Ys1", "secret"),  # by the name before it and the quote behind
        (f"print('{MAIL}')", "secret"),
        ("a\x1b[31m", "invisible"),
        ("a\u202eb", "invisible"),
        ("a\u200bb", "invisible"),
        ("a\U000e0041", "invisible"),
        *((f"a{char}b", "invisible") for char in HIDDEN),
    ],
)
def test_what_must_not_be_shown_is_not(answer: str, said: str) -> None:
    with pytest.raises(RemoteError, match=said):
        restore_answer(answer, EMPTY, REQUEST)


def test_characters_of_the_document_may_come_back() -> None:
    request = CompletionRequest(path="a.py", text="family = '👨\u200d👩'\nx = ", offset=19)
    assert restore_answer("'👨\u200d👩'", EMPTY, request) == "'👨\u200d👩'"


@pytest.mark.parametrize("char", "\x1b\x0c\u202e\u2066")
def test_what_reorders_or_controls_may_not_even_from_the_document(char: str) -> None:
    request = CompletionRequest(path="a.py", text=f"a = '{char}'\nx = ", offset=12)
    with pytest.raises(RemoteError, match="invisible"):
        restore_answer(f"'{char}'", EMPTY, request)


def test_plain_text_of_any_script_passes() -> None:
    text = "größe = 'naïve 漢字 あ مرحبا שלום हिन्दी 😀 ✔'\n\tx\n"
    assert restore_answer(text, EMPTY, REQUEST) == text


def test_an_answer_with_the_place_of_a_secret_is_not_shown() -> None:
    payload = packed(f'a = "{TOKEN}"\nb = |\n')
    (stand_in,) = payload.hidden
    with pytest.raises(RemoteError, match="place of a secret"):
        restore_answer(f'"{stand_in}"', payload, REQUEST)


@pytest.mark.parametrize(
    "line",
    ["mail = 'ada.love|lace@engines.org'", "mail = 'ada.lovelace@|engines.org'",
     "mail = 'ada.lovelace@engines|'", "mail = 'ada.lovelace@engines.o|",
     "host = '93.184.2|16.34'", "host = '2a00:1450:4001:82b::20|0e'"],
)  # fmt: skip
def test_nothing_leaves_while_the_cursor_is_in_an_address(line: str) -> None:
    with pytest.raises(RemoteError, match="the cursor is in an address"):
        packed(line + "\n")


@pytest.mark.parametrize(
    "line", [f"mail = '{MAIL}|'", f"mail = '{MAIL}' |", "c = a @|b", "@|cache"]
)
def test_behind_an_address_and_at_other_signs_it_does(line: str) -> None:
    assert MAIL not in packed(line + "\n").body.decode()
