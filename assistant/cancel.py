"""A flag that travels down with a request and says: nobody wants this any more."""

import threading


class Cancel:
    """Set from any thread; looked at between two tokens."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask the work to stop; setting twice is harmless."""
        self._event.set()

    def is_set(self) -> bool:
        """Say whether the work should stop."""
        return self._event.is_set()
