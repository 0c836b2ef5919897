"""Kept suggestions: where they are found again, and where they must not be."""

from dataclasses import replace

import pytest

from assistant.generate.cache import Suggestion, SuggestionCache
from assistant.request import CompletionRequest

BEFORE = "import os\nvalue = "
AFTER = "\nprint(value)\n"


def generated(text: str, finish_reason: str = "stop") -> Suggestion:
    return Suggestion(
        text=text,
        finish_reason=finish_reason,
        logprob=-1.0,
        source="network",
        multi_line=False,
    )


def asked(typed: str = "", after: str = AFTER, path: str = "a.py", n: int = 1) -> CompletionRequest:
    text = BEFORE + typed
    return CompletionRequest(path=path, text=text + after, offset=len(text), n=n)


def cache_of(*texts: str, finish_reason: str = "stop", n: int = 1) -> SuggestionCache:
    cache = SuggestionCache()
    cache.put(asked(n=n), tuple(generated(text, finish_reason) for text in texts))
    return cache


def test_same_place_gives_the_same_suggestion() -> None:
    assert cache_of("os.getcwd()").get(asked()) == (generated("os.getcwd()"),)


def test_nothing_to_suggest_is_remembered_too() -> None:
    assert cache_of("").get(asked()) == (generated(""),)


def test_typing_along_gives_the_rest() -> None:
    cache = cache_of("os.getcwd()")
    for n_typed in range(1, len("os.getcwd()")):
        left = cache.get(asked("os.getcwd()"[:n_typed]))
        assert left == (generated("os.getcwd()"[n_typed:]),)


def test_suggestion_typed_to_its_end_is_used_up() -> None:
    assert cache_of("os.getcwd()").get(asked("os.getcwd()")) is None


def test_typing_something_else_asks_the_model() -> None:
    assert cache_of("os.getcwd()").get(asked("sys")) is None


def test_typing_along_keeps_the_suggestions_that_agree() -> None:
    cache = cache_of("os.getcwd()", "sys.path", "os.name", n=3)
    assert cache.get(asked("os.", n=3)) == (generated("getcwd()"), generated("name"))


def test_bracket_closed_by_the_editor_is_no_change() -> None:
    cache = cache_of("os.stat(path)")
    left = cache.get(asked("os.stat(", after=")" + AFTER))
    assert left == (generated("path)"),)


@pytest.mark.parametrize("after", ["x" + AFTER, AFTER + "more", "", "))))))" + AFTER])
def test_other_text_after_the_cursor_asks_the_model(after: str) -> None:
    assert cache_of("os.stat(path)").get(asked("os.stat(", after=after)) is None


@pytest.mark.parametrize(
    ("text", "typed", "before", "after"),
    [
        ('a")', 'a"', '")', ")"),
        ('a")', 'a")', '")', ""),
        ('a", f(b))', 'a", f(', '")', "))"),
        ("f(a)", "f(a)", ")", ")"),
    ],
)
def test_closer_that_is_typed_over_is_no_change(
    text: str, typed: str, before: str, after: str
) -> None:
    cache = SuggestionCache()
    cache.put(asked(after=before + AFTER), (generated(text + ";"),))
    left = cache.get(asked(typed, after=after + AFTER))
    assert left == (generated((text + ";")[len(typed) :]),)


def test_closer_that_was_deleted_counts() -> None:
    cache = SuggestionCache()
    cache.put(asked(after='")' + AFTER), (generated('a", b)'),))
    assert cache.get(asked("a", after=")" + AFTER)) is None


def test_closer_that_was_there_before_typing_counts() -> None:
    assert cache_of("os.stat(path)").get(asked("", after=")" + AFTER)) is None


def test_other_text_before_the_cursor_asks_the_model() -> None:
    request = asked()
    moved = replace(request, text="import re\n" + request.text[10:])
    assert cache_of("os.getcwd()").get(moved) is None


FAR = "def far():\n    pass\n" * 100


@pytest.mark.parametrize("typed", ["", "os."])
def test_a_change_far_from_the_cursor_asks_the_model(typed: str) -> None:
    """It may be of what the suggestion was made from."""
    cache = SuggestionCache()
    plain = asked()
    request = replace(plain, text=FAR + plain.text + FAR, offset=len(FAR) + plain.offset)
    cache.put(request, (generated("os.getcwd()"),))
    at = request.offset
    now = replace(
        request, text=request.text[:at] + typed + request.text[at:], offset=at + len(typed)
    )
    assert cache.get(now) is not None
    for place in (0, len(now.text) - 20):
        text = now.text[:place] + now.text[place:].replace("far", "fur", 1)
        assert cache.get(replace(now, text=text)) is None


def test_of_a_document_that_has_changed_alone_is_kept_what_was_suggested() -> None:
    cache = SuggestionCache()
    for path in ("a.py", "b.py"):
        cache.put(asked(path=path), (generated(path),))
    cache.keep_only("b.py")
    assert cache.get(asked(path="a.py")) is None
    assert cache.get(asked(path="b.py")) == (generated("b.py"),)


def test_other_files_and_languages_are_apart() -> None:
    cache = cache_of("os.getcwd()")
    assert cache.get(asked(path="b.py")) is None
    assert cache.get(replace(asked(), language="javascript")) is None


def test_more_wanted_than_were_asked_for_asks_the_model() -> None:
    assert cache_of("os.getcwd()").get(asked(n=2)) is None


def test_what_was_asked_for_by_hand_is_no_automatic_answer_at_its_cursor() -> None:
    """The confidence gate was off for it; typed along, it stays, for it is on the screen."""
    cache = cache_of("os.getcwd()", "sys.path", n=5)
    assert cache.get(asked(n=1)) is None
    assert cache.get(asked("os.", n=1)) == (generated("getcwd()"),)


def test_suggestion_cut_for_length_serves_its_first_half_only() -> None:
    cache = cache_of("abcdefgh", finish_reason="length")
    assert cache.get(asked("abcd")) == (generated("efgh", "length"),)
    assert cache.get(asked("abcde")) is None


def test_oldest_entry_goes_first() -> None:
    cache = SuggestionCache(max_entries=2)
    for path in ("a.py", "b.py"):
        cache.put(asked(path=path), (generated(path),))
    assert cache.get(asked(path="a.py")) is not None
    cache.put(asked(path="c.py"), (generated("c.py"),))
    found = [path for path in ("a.py", "b.py", "c.py") if cache.get(asked(path=path))]
    assert found == ["a.py", "c.py"]


def test_short_text_is_not_found_in_a_longer_one() -> None:
    cache = SuggestionCache()
    cache.put(CompletionRequest(path="a.py", text="x = ", offset=4), (generated("1"),))
    longer = CompletionRequest(path="a.py", text="x = y = ", offset=8)
    assert cache.get(longer) is None


def test_one_model_s_words_are_no_answer_of_another() -> None:
    cache = SuggestionCache()
    cache.put(asked(), (generated("os.getcwd()"),), model=1)
    for typed in ("", "os."):
        assert cache.get(asked(typed), model=2) is None
        assert cache.get(asked(typed)) is None
        assert cache.get(asked(typed), model=1) is not None
