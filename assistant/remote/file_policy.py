"""Which files may be sent at all: not excluded ones, not ones that git ignores, not homeless ones.

Asks git through the one helper for it, and remembers the answer for a while. Knows paths only.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from assistant.git import GitError, git, git_directory
from assistant.privacy.exclusion import is_excluded, matches
from assistant.remote.errors import WithheldError
from assistant.remote.settings import RemoteSettings
from assistant.source.languages import language_of

_GIT_S = 5.0
_REMEMBERED_S = 60.0
_MAX_REMEMBERED = 256
_MAX_LISTING_BYTES = 1 << 20

Locate = Callable[[str], Path | None]  # a request's path -> the file itself


class Reach:
    """Asked on the thread that prepares requests."""

    def __init__(
        self,
        settings: RemoteSettings,
        locate: Locate,
        *,
        exclude: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._locate = locate
        self._exclude = exclude
        self._clock = clock
        self._known: dict[Path, tuple[float, str]] = {}

    def check_name(self, path: str, language: str | None = None) -> None:
        """Raise WithheldError if name or language say that the file must stay; reads no disk."""
        settings = self._settings
        if is_excluded(path, (*self._exclude, *settings.deny)):
            raise WithheldError("the file is excluded")
        if settings.allow and not matches(path, settings.allow):
            raise WithheldError("the file is not among those in `allow`")
        known = language_of(path, language)
        if known is None:
            raise WithheldError("the language is not known")
        if settings.languages and known.name not in settings.languages:
            raise WithheldError("the language is not among those in `languages`")

    def check(self, path: str, language: str | None = None) -> None:
        """Raise WithheldError if the file must stay here."""
        self.check_name(path, language)
        place = self._locate(path)
        if place is None:
            raise WithheldError("the document is no file of a workspace folder")
        now, known = self._clock(), self._known.get(place)
        if known is None or now - known[0] > _REMEMBERED_S:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            known = (now, _refusal(place))
            self._known[place] = known
        if known[1]:
            raise WithheldError(known[1])

    def forget(self) -> None:
        """Ask git again: its rules may have changed."""
        self._known.clear()


def _refusal(place: Path) -> str:
    """Return why the file must stay, "" if it may go."""
    real = place.resolve()
    if is_excluded(str(real)):
        return "the file is excluded"  # by the name that a link leads to
    if not real.is_file():
        return "the file is not saved yet, so git cannot say whether it ignores it"
    root = next((folder for folder in real.parents if git_directory(folder) is not None), None)
    if root is None or not (root / ".git").exists():
        return ""
    wanted = real.relative_to(root).as_posix()
    options = ["--cached", "--others", "--exclude-standard", *_global_ignores(), "-z"]
    try:
        listing = git(
            root, "ls-files", *options, "--", wanted,
            timeout_s=_GIT_S, max_bytes=_MAX_LISTING_BYTES,
        )  # fmt: skip
    except GitError:
        return "git cannot say whether it ignores the file"
    return "" if os.fsencode(wanted) in listing.split(b"\0") else "git ignores the file"


def _global_ignores() -> list[str]:
    """Return the option for the user's own ignore file, which our git does not read by itself."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    path = home / "git" / "ignore"
    return [f"--exclude-from={path}"] if path.is_file() else []
