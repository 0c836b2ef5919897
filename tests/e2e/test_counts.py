"""What the real server counts, and where: no text of the user's is in the file."""

import pytest

from assistant.counts import read, statistics_path
from tests.e2e.raw_client import ServerProcess

pytestmark = pytest.mark.e2e

URI = "file:///w/private_name.py"


def insert(text: str, column: int) -> dict[str, object]:
    at = {"line": 0, "character": column}
    return {"range": {"start": at, "end": at}, "text": text}


def take_one(**options: object) -> dict[str, int]:
    with ServerProcess() as server:
        client = server.client
        client.initialize(initializationOptions={"index": False, **options})
        client.open(URI, "secret_word lines", language="private-language")
        text = client.inline_text(URI, 0, 17)
        client.change(URI, 2, insert(text, 17))
        client.change(URI, 3, insert("x", 0))
        assert server.finish() == 0
    return {name: n for _, language, name, n in read() if language == "python"}


def test_what_was_shown_and_taken_is_counted() -> None:
    counts = take_one()
    times = [name for name in counts if name.startswith("within_")]
    assert len(times) == 1
    assert {name: counts[name] for name in counts if name not in times} == {
        "shown": 1, "ended": 1, "claimed": 0, "whole": 1, "keys": 1,
        "saved": len("one\n\ttwo\nthree") - 1,
    }  # fmt: skip
    data = statistics_path().read_bytes()
    assert not any(word in data for word in (b"secret", b"private", b"three", b"two"))


def test_nothing_is_counted_where_that_is_switched_off() -> None:
    assert take_one(statistics=False) == {}
    assert not statistics_path().exists()
