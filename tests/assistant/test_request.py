import dataclasses
import threading

import pytest

from assistant.request import Cancel, CompletionRequest


@pytest.mark.parametrize("offset", [-1, 4])
def test_offset_outside_the_text_is_refused(offset):
    with pytest.raises(ValueError, match=rf"offset {offset} is outside the text \(0\.\.3\)"):
        CompletionRequest(path="a.py", text="abc", offset=offset)


def test_fewer_than_one_suggestion_is_refused():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        CompletionRequest(path="a.py", text="", offset=0, n=0)


def test_request_cannot_change():
    request = CompletionRequest(path="a.py", text="abc", offset=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.offset = 1  # type: ignore[misc]


def test_setting_is_seen_by_other_threads_and_stays() -> None:
    cancel = Cancel()
    assert not cancel.is_set()
    worker = threading.Thread(target=cancel.set)
    worker.start()
    worker.join(10)
    cancel.set()
    assert cancel.is_set()


def test_hurried_work_is_still_wanted() -> None:
    cancel = Cancel()
    assert not cancel.is_hurried()
    cancel.hurry()
    assert cancel.is_hurried()
    assert not cancel.is_set()


def test_cancelled_work_waits_for_nobody() -> None:
    cancel = Cancel()
    cancel.set()
    assert cancel.is_hurried()
