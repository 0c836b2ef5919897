"""What an earlier question's answer is worth to a later one."""

import pytest

from assistant.completion import CompletionRequest
from assistant.remote.late import MAX_ENTRIES, LateAnswers, RemoteText, typed_since


def request(text: str, offset: int | None = None, path: str = "a.py") -> CompletionRequest:
    return CompletionRequest(path=path, text=text, offset=len(text) if offset is None else offset)


@pytest.mark.parametrize(
    ("asked", "now", "typed"),
    [
        (request("ab"), request("ab"), ""),
        (request("ab"), request("abcd"), "cd"),
        (request("ab)", 2), request("abc)", 3), "c"),
        (request("ab"), request("a"), None),
        (request("ab"), request("axcd"), None),
        (request("ab)", 2), request("abc]", 3), None),
        (request("ab"), request("ab", path="b.py"), None),
        (request(""), request("x" * 300), None),
    ],
)
def test_what_was_typed_is_found(
    asked: CompletionRequest, now: CompletionRequest, typed: str | None
) -> None:
    assert typed_since(asked, now) == typed


def test_only_a_few_answers_are_kept() -> None:
    late = LateAnswers()
    answer = RemoteText(
        text="xyz", finish_reason="stop", single_line=True, prompt_tokens=1, new_tokens=1
    )
    for n in range(MAX_ENTRIES + 5):
        late.put(request("a" * n), answer)
    assert late.get(request("")) is None
    kept = late.get(request("a" * (MAX_ENTRIES + 4) + "xy"))
    assert kept is not None
    assert kept.text == "z"
    assert late.get(request("a" * (MAX_ENTRIES + 4) + "xyz")) is None
