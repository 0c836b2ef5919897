"""A flag that travels down with a request and says: nobody wants this any more."""

import threading


class Cancel:
    """Set from any thread; looked at between two tokens."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._hurry = threading.Event()

    def set(self) -> None:
        """Ask the work to stop; setting twice is harmless."""
        self._event.set()

    def hurry(self) -> None:
        """Ask the work to wait for nobody else: others are waiting for it."""
        self._hurry.set()

    def is_hurried(self) -> bool:
        """Say whether to wait for nobody else; cancelled work waits for nobody either."""
        return self._hurry.is_set() or self._event.is_set()

    def is_set(self) -> bool:
        """Say whether the work should stop."""
        return self._event.is_set()
