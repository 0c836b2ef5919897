"""The cancel flag."""

import threading

from assistant.request import Cancel


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
