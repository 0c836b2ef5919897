"""Snippets for cursors: from the index's files, the same while typing."""

from pathlib import Path

from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.request import CompletionRequest
from assistant.snippets.cache import KEPT_CHOICES, STRETCH_CHARS, SnippetCache, scope_key
from model.fim import Snippet
from tests.waiting import wait_for

STORE = "class ParcelStore:\n    def put_parcel(self, parcel, shelf):\n        return parcel\n"
MAIN = (
    "from shop.store import ParcelStore\n\n\ndef fill(root):\n    store = ParcelStore(root)\n"
    "    \n\n\ndef other(root):\n    return 1\n"
)


def request(text: str, offset: int, path: str = "shop/main.py") -> CompletionRequest:
    return CompletionRequest(text=text, offset=offset, path=path)


def index_of(folder: Path, files: dict[str, str]) -> FolderIndex:
    build_from_texts(folder, files.items())
    return FolderIndex(folder)


def after(text: str, part: str) -> int:
    return text.index(part) + len(part)


def test_definition_of_a_name_near_the_cursor_is_chosen(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"shop/store.py": STORE, "shop/main.py": MAIN})
    choice = SnippetCache(is_waiting=True)
    found = choice.snippets_for(index, request(MAIN, after(MAIN, "(root)\n    ")), budget_chars=400)
    assert [snippet.path for snippet in found] == ["shop/store.py"]
    assert "put_parcel(self, parcel, shelf)" in found[0].text


def test_files_are_read_in_the_background_and_there_is_nothing_until_then(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"shop/store.py": STORE})
    choice = SnippetCache()
    asked = request(MAIN, after(MAIN, "(root)\n    "))
    choice.snippets_for(index, asked, budget_chars=400)
    found = wait_for(lambda: choice.snippets_for(index, asked, budget_chars=400))
    assert found[0].path == "shop/store.py"


def test_choice_is_the_same_object_while_a_line_is_typed(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"shop/store.py": STORE})
    choice = SnippetCache(is_waiting=True)
    at = after(MAIN, "(root)\n    ")
    first = choice.snippets_for(index, request(MAIN, at), budget_chars=400)
    typed = ""
    for keys in (*"store.put_parcel(x)", "\n    ", *"y = "):  # the editor indents
        typed += keys
        asked = request(MAIN[:at] + typed + MAIN[at:], at + len(typed))
        assert choice.snippets_for(index, asked, budget_chars=400) is first


def test_scope_file_and_distance_make_another_key() -> None:
    inner, outer = after(MAIN, "(root)\n    "), after(MAIN, "    return ")
    keys = {
        scope_key(request(MAIN, inner)),
        scope_key(request(MAIN, outer)),
        scope_key(request(MAIN, inner, "shop/b.py")),
        scope_key(request(MAIN, 3)),
        scope_key(request("x = 1\n" * STRETCH_CHARS, 5 * STRETCH_CHARS)),
    }
    assert len(keys) == 5


def test_class_of_many_lines_is_not_walked_at_each_keystroke() -> None:
    methods = (f"    def m{i}(self):\n        return {i}\n\n" for i in range(2_000))
    text = "class Long:\n" + "".join(methods)
    _, headers, _ = scope_key(request(text, len(text) - 3))
    assert headers == ("def m1999(self):",)  # the class's own header is too far up
    _, headers, _ = scope_key(request(text, 60))
    assert headers[0] == "class Long:"


def test_file_itself_is_not_shown_under_whatever_name_the_editor_has_for_it(tmp_path: Path) -> None:
    text = MAIN.replace("from shop.store import ParcelStore\n", STORE)
    index = index_of(tmp_path / "index", {"shop/main.py": text, "shop/b.py": "x = 1\n"})
    for path in (
        "shop/main.py",
        "/home/someone/project/shop/main.py",
        "C:\\project\\shop\\main.py",
    ):
        choice = SnippetCache(is_waiting=True)
        asked = request(MAIN, after(MAIN, "(root)\n    "), path)
        assert choice.snippets_for(index, asked, budget_chars=400) == []


def test_no_index_no_index_and_no_budget_give_none(tmp_path: Path) -> None:
    choice = SnippetCache(is_waiting=True)
    asked = request(MAIN, 5)
    assert choice.snippets_for(None, asked, budget_chars=400) == []
    assert choice.snippets_for(FolderIndex(tmp_path / "none"), asked, budget_chars=400) == []
    index = index_of(tmp_path / "index", {"shop/store.py": STORE})
    assert choice.snippets_for(index, asked, budget_chars=0) == []


def test_choices_kept_are_bounded(tmp_path: Path) -> None:
    index = index_of(tmp_path / "index", {"shop/store.py": STORE})
    choice = SnippetCache(is_waiting=True)
    at = after(MAIN, "(root)\n    ")

    def ask(n: int) -> list[Snippet]:
        return choice.snippets_for(index, request(MAIN, at, f"shop/m{n}.py"), budget_chars=400)

    first = ask(0)
    assert ask(0) is first
    for n in range(1, KEPT_CHOICES + 1):
        ask(n)
    assert ask(0) is not first
    assert ask(0) == first


def test_choice_is_of_one_index_only(tmp_path: Path) -> None:
    choice = SnippetCache(is_waiting=True)
    asked = request(MAIN, after(MAIN, "(root)\n    "))
    one = index_of(tmp_path / "one", {"shop/store.py": STORE})
    other = index_of(tmp_path / "other", {"old/store.py": STORE})
    assert choice.snippets_for(one, asked, budget_chars=400)[0].path == "shop/store.py"
    assert choice.snippets_for(other, asked, budget_chars=400)[0].path == "old/store.py"
