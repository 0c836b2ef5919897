"""2026-11-29: of 70 secrets in common forms, 27 were in the index, 22 were offered in another file,
and 16 were sent and trained on.

Only quoted values directly behind a name, and keys of some thirty formats, were looked for: not
headers, defaults, setters, values on the next line, in comments or unquoted, connection strings,
Kubernetes data, or base64 of keys.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.index.builder import refresh
from assistant.index.folder_index import FolderIndex
from assistant.index.reader import open_view
from assistant.privacy.redaction import redact
from assistant.remote.payload import build_payload
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from tests.repositories import new_repository
from tests.secret_gallery import FORMS, GALLERY, Planted, code, leaked
from training.finetune.texts import read_repository, require_clean


def test_there_are_seventy_forms_and_more() -> None:
    assert len({item.name for item in GALLERY}) == len(GALLERY) >= 70


@pytest.mark.parametrize("item", GALLERY, ids=lambda item: item.name)
def test_secret_is_replaced_and_stays_so(item: Planted) -> None:
    clean, counts = redact(code(item))
    assert leaked(item, clean) == []
    assert counts
    assert item.head in clean or item.name in FORMS
    assert redact(clean) == (clean, {})


@pytest.mark.parametrize("item", GALLERY, ids=lambda item: item.name)
def test_no_secret_of_an_open_document_is_offered_in_another(item: Planted) -> None:
    index, text = FolderIndex(), code(item)
    index.set_open("a.py", text)
    before = text[: text.index(item.secret)].encode()
    (longest, *_) = index.levels(before, path="b.py")
    occurrence = longest.occurrences[0]
    assert longest.length >= 4
    assert leaked(item, occurrence.following.decode(errors="replace")) == []


@pytest.mark.parametrize("item", [each for each in GALLERY if "\n" in each.before])
def test_a_blank_line_before_it_hides_no_more_of_an_open_document(item: Planted) -> None:
    """2026-11-30: a document is made ready by paragraphs, and the name was in the one above."""
    for at in (n for n, char in enumerate(item.before) if char == "\n"):
        index, text = FolderIndex(), code(item)
        place = text.index(item.before) + at
        text = text[:place] + "\n" + text[place:]
        index.set_open("a.py", text)
        (longest, *_) = index.levels(text[: text.index(item.secret)].encode(), path="b.py")
        shown = longest.occurrences[0].following.decode(errors="replace")
        assert leaked(item, redact(text)[0]) != [] or leaked(item, shown) == []


def test_no_secret_is_in_the_index(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{n}.py": code(item) for n, item in enumerate(GALLERY)}
    root = new_repository(tmp_path / "repository", files)
    assert refresh(root, tmp_path / "index").n_added == len(GALLERY)
    kept = {
        path: opened.segment.text_of(number).decode()
        for opened in open_view(tmp_path / "index").opened
        for path, number in opened.files.items()
    }
    for number, item in enumerate(GALLERY):
        assert "def last" in kept[f"{number}.py"]
        assert leaked(item, kept[f"{number}.py"]) == [], item.name


@pytest.mark.parametrize("is_before", [True, False])
def test_no_secret_is_in_a_payload(is_before: bool) -> None:
    settings = RemoteSettings(
        mode="race", provider="llamacpp", prefix_chars=3000, suffix_chars=3000
    )
    for item in GALLERY:
        text = code(item)
        offset = len(text) if is_before else 0
        request = CompletionRequest(path="a.py", text=text, offset=offset)
        body = build_payload(request, settings, single_line=True).body.decode()
        assert leaked(item, body.replace("\\n", "\n").replace('\\"', '"')) == [], item.name


def test_no_secret_is_in_what_is_trained_on(tmp_path: Path) -> None:
    padding = "".join(
        f"def function_{n}(argument):\n    return argument + {n}\n" for n in range(20)
    )
    files: dict[str, str | bytes] = {
        f"{n}.py": code(item) + padding.replace("function", f"function_{n}")
        for n, item in enumerate(GALLERY)
    }
    read = read_repository(new_repository(tmp_path / "repository", files), "HEAD")
    assert len(read.texts) > len(GALLERY) // 2
    require_clean(read.texts)
    for item in GALLERY:
        for text in read.texts:
            assert leaked(item, text.text) == [], (item.name, text.path)


WRITTEN: dict[str, Callable[[str], str]] = {
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "indented": lambda text: re.sub("^", "\t\t", text, flags=re.M),
    "with blanks at the ends of lines": lambda text: text.replace("\n", "  \n"),
    "no line end": lambda text: text.rstrip("\n"),
    "with a byte order mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("how", WRITTEN)
def test_no_way_of_writing_a_file_hides_a_secret(how: str) -> None:
    """2026-11-30: with Windows line ends the data of a Kubernetes Secret were not seen."""
    for item in GALLERY:
        clean, _ = redact(WRITTEN[how](item.text))
        assert leaked(item, clean) == [], item.name


COMMENTED = ("# ", "// ", " * ", "> ", "+")


@pytest.mark.parametrize("mark", COMMENTED)
def test_no_comment_hides_a_secret(mark: str) -> None:
    """2026-11-30: nor a private key that breaks off."""
    for item in GALLERY:
        if "\n" not in item.text.strip() or "PRIVATE" in item.before:
            clean, _ = redact(re.sub("^(?=.)", mark, item.text, flags=re.M))
            assert leaked(item, clean) == [], item.name


NOT_IN_JSON = ("Docker login", "wireless network", "escaped JSON")  # that is a string already


def test_secrets_in_a_json_string_are_seen() -> None:
    """2026-11-30: a quoted password went whose quotes were escaped."""
    for item in GALLERY:
        if "\n" not in item.text.strip() and item.name not in NOT_IN_JSON:
            text = json.dumps({"text": item.text}, ensure_ascii=False)
            clean, _ = redact(text)
            assert leaked(item, clean, json.dumps(item.before)) == [], item.name
