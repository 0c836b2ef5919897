"""The files of a folder where an edit may be due again: found by the index, read from disk."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from assistant.edits.history import Edit
from assistant.edits.patterns import line_changes
from assistant.index.folder_index import FolderIndex
from assistant.privacy.exclusion import is_excluded
from model.files import UnreadableFileError, read_regular

MAX_FILES = 20
MAX_FILE_BYTES = 1_000_000
MIN_WORD = 4  # characters of a replaced word that is looked for


def files_like(
    index: FolderIndex, root: Path, edit: Edit, exclude: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of files that are not open and hold what the edit changed."""
    wanted = dict[str, None]()
    for change in line_changes(edit):
        words = [hunk.old for hunk in change.hunks if len(hunk.old) >= MIN_WORD]
        wanted |= dict.fromkeys([change.old, *filter(str.isidentifier, words)])
    paths = dict.fromkeys(path for text in wanted for path in index.files_with(text))
    allowed = (path for path in paths if not is_excluded(f"{root.name}/{path}", exclude))
    for path in islice(allowed, MAX_FILES):
        try:
            text = read_regular(root / path, MAX_FILE_BYTES, inside=root).decode()
        except (UnreadableFileError, UnicodeDecodeError):
            continue
        yield path, text.removeprefix("\ufeff")
