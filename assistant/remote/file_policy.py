"""Which files may be sent: none that is excluded, that git ignores, or that is not saved."""

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assistant.git import GitError, find_work_tree, git
from assistant.path_patterns import matches
from assistant.privacy.exclusion import is_excluded
from assistant.remote.errors import withheld
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.source.languages import language_of

_GIT_S = 5.0
_REMEMBERED_S = 60.0  # at most, what git says
_MAX_LISTING_BYTES = 1 << 20

Locate = Callable[[str], Path | None]  # a request's document -> the file itself


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePolicy:
    """Judges files by their names, then by git."""

    settings: RemoteSettings
    locate: Locate
    exclude: tuple[str, ...] = ()
    clock: Callable[[], float] = time.monotonic

    def check_name(self, request: CompletionRequest) -> None:
        """Raise RemoteError if name or language say that the file must stay; reads no disk."""
        settings, known = self.settings, language_of(request.path, request.language)
        if is_excluded(request.path, (*self.exclude, *settings.deny)):
            raise withheld("the file is excluded")
        if settings.allow and not matches(request.path, settings.allow):
            raise withheld("the file is not among those in `allow`")
        if known is None:
            raise withheld("the language is not known")
        if settings.languages and known.name not in settings.languages:
            raise withheld("the language is not among those in `languages`")

    def check(self, request: CompletionRequest) -> None:
        """Raise RemoteError if the file must stay here."""
        self.check_name(request)
        file = self.locate(request.document)
        if file is None:
            raise withheld("the document is no file of a workspace folder")
        if reason := _find_reason(file, int(self.clock() / _REMEMBERED_S)):
            raise withheld(reason)


@functools.lru_cache(maxsize=256)
def _find_reason(file: Path, _period: int) -> str:
    """Return why a file must stay, "" if it may go; asked anew in each period."""
    real = file.resolve()
    if is_excluded(str(real)):
        return "the file is excluded"  # by the name that a link leads to
    if not real.is_file():
        return "the file is not saved yet, so git cannot say whether it ignores it"
    root = find_work_tree(real.parent)
    if root is None:
        return ""
    wanted = real.relative_to(root).as_posix()
    try:
        listing = git(
            root,
            *("ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", wanted),
            timeout_s=_GIT_S,
            max_bytes=_MAX_LISTING_BYTES,
        )
    except GitError:
        return "git cannot say whether it ignores the file"
    return "" if os.fsencode(wanted) in listing.split(b"\0") else "git ignores the file"
