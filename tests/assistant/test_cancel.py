"""The cancel flag."""

import threading

from assistant.cancel import Cancel


def test_setting_is_seen_by_other_threads_and_stays() -> None:
    cancel = Cancel()
    assert not cancel.is_set()
    worker = threading.Thread(target=cancel.set)
    worker.start()
    worker.join(10)
    cancel.set()
    assert cancel.is_set()
