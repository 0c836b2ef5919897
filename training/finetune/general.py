"""Code that is not the repository's: some is replayed while tuning, other files guard the result.

By default the standard library of the Python that runs; another folder on request. Whether a file
is replayed or held out is a function of its path alone. Knows no repository and no token.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from assistant.privacy.exclusion import is_excluded
from model.files import UnreadableFileError, read_regular
from training.data import filters
from training.data.recipe import FilterSettings
from training.data.scrub import scrub
from training.evaluation.replay.snapshot import is_code
from training.finetune.errors import TuneError
from training.finetune.texts import GENERAL, Text

HELD_OUT_FRAC = 0.2  # of the files
HELD_OUT_BYTES = 120_000  # at most: a guard, not a corpus
_MAX_FILE_BYTES = 40_000  # of held-out files: several rather than one
_FILTERS = FilterSettings(min_bytes=500, test_keep_frac=0.0)
_SKIPPED = frozenset(  # tests, other people's code, tables of characters
    "test tests idlelib lib2to3 site-packages dist-packages encodings distutils".split()
)


def standard_library() -> Path:
    """Return the folder of the standard library's sources."""
    return Path(sysconfig.get_path("stdlib"))


def draw_replay(folder: Path, n_bytes: int, *, seed: int = 0) -> list[Text]:
    """Return files to replay, in a random order, of about `n_bytes` in all if there are."""
    return list(_take_bytes(n_bytes, _read_files(folder, seed, is_held_out=False)))


def draw_held_out(folder: Path) -> list[Text]:
    """Return the files that guard; TuneError if the folder holds none."""
    texts = _read_files(folder, 0, is_held_out=True)
    small = (text for text in texts if len(text.text) <= _MAX_FILE_BYTES)
    if not (chosen := list(_take_bytes(HELD_OUT_BYTES, small))):
        raise TuneError(
            f"{folder} holds too few source files to measure whether general code is forgotten; "
            "name another folder with --general"
        )
    return chosen


def _take_bytes(n_bytes: int, texts: Iterator[Text]) -> Iterator[Text]:
    total = 0
    for text in texts:
        if total >= n_bytes:
            return
        total += text.n_bytes
        yield text


def _read_files(folder: Path, seed: int, *, is_held_out: bool) -> Iterator[Text]:
    """Yield the usable files of one part; each is read when it is its turn."""
    paths = [
        path
        for path in _list_code(folder)
        if (filters.hash_frac(f"general {path}") < HELD_OUT_FRAC) is is_held_out
    ]
    for path in sorted(paths, key=lambda path: filters.hash_frac(f"order {seed} {path}")):
        try:
            content = read_regular(folder / path, _FILTERS.max_bytes)
        except UnreadableFileError:
            continue
        text = filters.text_of(content)
        if text is None or filters.path_reason(path, len(content), _FILTERS, ""):
            continue
        if filters.text_reason(text, _FILTERS) is None:
            blob = hashlib.sha256(content).hexdigest()
            yield Text(source=GENERAL, path=path, text=scrub(text).text, blob=blob)


def _list_code(folder: Path) -> Iterator[str]:
    """Yield the paths of code below a folder, links and hidden folders left out."""
    if not folder.is_dir():
        raise TuneError(f"{folder} is not a folder; name one with source files with --general")
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_symlink() or path.name.startswith(".") or path.name in _SKIPPED:
                continue
            if path.is_dir():
                waiting.append(path)
                continue
            name = path.relative_to(folder).as_posix()
            if is_code(name) and not is_excluded(name):
                yield name
