"""2026-11-29: a secret that was being typed left by the remote nearly whole, key by key.

URL passwords went entirely, 42 of 43 characters of a SendGrid key, 80 of 82 of a GitHub token:
whole secrets are told by their length and their end, which are not there yet.
"""

import logging
from pathlib import Path

import pytest

from assistant.errors import RemoteError
from assistant.index.builder import refresh
from assistant.index.folder_index import FolderIndex
from assistant.index.reader import open_view
from assistant.privacy.unfinished import edited_at, open_secret, without_open_secret
from assistant.remote.payload import build_payload
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from tests.repositories import new_repository
from tests.secret_gallery import GALLERY, Planted, code, leaked

SETTINGS = RemoteSettings(mode="race", provider="llamacpp")
N_CHARS = 3  # of a secret that must not be seen anywhere
SAVED_AT = (1, 2, 3, 5, 8, 13, 21, 40)  # characters typed


def prefixes(item: Planted) -> list[str]:
    """Return the secret as it is after every key of its body."""
    return [item.secret[:n] for n in range(len(item.head) + 1, len(item.secret) + 1)]


def typed(item: Planted, secret: str, *, is_closed: bool) -> tuple[str, int]:
    """Return a file while its secret is typed, and the cursor; editors often close quotes."""
    text = code(item, secret)
    cursor = text.index(item.before + secret) + len(item.before + secret)
    if not is_closed:
        text = text[:cursor] + text[cursor + len(item.after.rstrip("\n")) :]
    return text, cursor


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("item", GALLERY, ids=lambda item: item.name)
def test_nothing_leaves_at_any_key(item: Planted, is_closed: bool) -> None:
    plain = code(item, item.head)
    request = CompletionRequest(path="a.py", text=plain, offset=0)
    frame = build_payload(request, SETTINGS, single_line=True).body.decode()
    for secret in prefixes(item):
        text, cursor = typed(item, secret, is_closed=is_closed)
        request = CompletionRequest(path="a.py", text=text, offset=cursor)
        try:
            body = build_payload(request, SETTINGS, single_line=True).body.decode()
        except RemoteError:
            continue
        assert leaked(item, body, plain + frame, N_CHARS) == [], secret


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return what we logged; a library's addresses may hold any five digits."""
    ours = [record for record in caplog.records if record.name.partition(".")[0] != "filelock"]
    return "\n".join(record.getMessage() for record in ours)


@pytest.mark.parametrize("item", GALLERY, ids=lambda item: item.name)
def test_nothing_is_offered_in_another_document_at_any_key(
    item: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    index, plain = FolderIndex(), code(item, item.head)
    index.set_open("a.py", plain)
    at = plain.index(item.before) + len(item.before + item.head)
    for secret in prefixes(item):
        text, _ = typed(item, secret, is_closed=True)
        index.set_open("a.py", text)
        for level in index.levels(plain[:at].encode(), path="b.py"):
            for occurrence in level.occurrences:
                shown = occurrence.following.decode(errors="replace")
                assert leaked(item, shown, plain, N_CHARS) == [], secret
    assert leaked(item, logged(caplog)) == []


def test_nothing_is_in_the_index_when_a_file_is_saved_at_any_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    files: dict[str, str | bytes] = {
        f"{n}.py": code(item, item.head) for n, item in enumerate(GALLERY)
    }
    root, folder = new_repository(tmp_path / "repository", files), tmp_path / "index"
    refresh(root, folder)
    for n_typed in SAVED_AT:
        for number, item in enumerate(GALLERY):
            secret = item.secret[: len(item.head) + n_typed]
            (root / f"{number}.py").write_text(code(item, secret), encoding="utf-8")
        refresh(root, folder)
        for opened in open_view(folder).opened:
            for path, place in opened.files.items():
                item = GALLERY[int(path.removesuffix(".py"))]
                kept = opened.segment.text_of(place).decode()
                assert "def first" in kept
                assert leaked(item, kept, code(item, item.head), N_CHARS) == [], item.name
    assert not any(leaked(item, logged(caplog)) for item in GALLERY)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "value = ",
        "total = count + 1",
        'print("hello',
        "# see the notes",
        "import os, sys",
        "for key in keys",
        'url = "http://localhost:8080',
        "self.assertEqual(first",
        "path = Path",
        "x = a.b.c(",
        'name = "some_name',
        "const items = data.map((item) =>",
        "token = ",
        'password = "',
    ],
)
def test_ordinary_code_is_not_withheld(before: str) -> None:
    assert open_secret(before + "\n", len(before)) is None


def test_what_is_left_out_is_only_the_value() -> None:
    text = 'a = 1\npassword = "Hw7!"\nb = 2\n'
    cursor = text.index('"\nb')
    assert without_open_secret(text, cursor) == 'a = 1\npassword = ""\nb = 2\n'
    assert without_open_secret(text, 5) == text


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "abc", 3),
        ("ac", "abc", 2),
        ("abc", "ac", 1),
        ("abc", "abc", 3),
        ("aaa", "aaaa", 4),
        ("one two", "one six two", 8),
    ],
)
def test_place_of_an_edit(before: str, after: str, expected: int) -> None:
    assert edited_at(before, after) == expected
