"""What the URIs of documents and folders name: which are the same, which file, where in a folder.

A notebook's cells are documents of their own, each in the notebook's file.
"""

import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from assistant.path_patterns import OUTSIDE_PARTS, file_names

LINKS_S = 10.0  # where links lead is asked of the disk again after so long, and not at each key


def uri_key(uri: str) -> str:
    """Return what two spellings of one URI share, and two names that differ in bytes do not."""
    return unquote(uri, errors="surrogateescape")


def local_path(uri: str) -> Path | None:
    """Return the file or folder of a URI; None if it is none on this machine."""
    where, path = _parse(uri)
    place = Path(_native(path))
    return place if where == "file" and place.is_absolute() and _is_name(path) else None


def _is_name(path: str) -> bool:
    """Say whether a file may have such a name."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def place_in(uri: str, roots: Sequence[str]) -> tuple[str, str]:
    """Return the workspace folder (its URI) that a document is in, and its path there.

    A file that links lead to counts, too. Outside all folders: "", and the end of its path; of
    what shows a file in a folder, such as `git:`, the path there.

    >>> place_in("file:///w/my%20app/x.py", ["file:///w"])
    ('file:///w', 'my app/x.py')
    >>> place_in("untitled:Untitled-1", [])
    ('', 'Untitled-1')
    """
    where, path = _parse(uri)
    folders = {root: folder for root in roots for at, folder in [_parse(root)] if at == where}
    found = _innermost(path, folders)
    if found is None and where == "file":
        found = _innermost(_real(path), {root: _real(each) for root, each in folders.items()})
    elif found is None:  # `git:` and the like show a file's text: its path says what is excluded
        at_files = {root: folder for root in roots for at, folder in [_parse(root)] if at == "file"}
        shown = _innermost(path, at_files)
        found = ("", shown[1]) if shown else None
    return found or ("", "/".join([part for part in path.split("/") if part][-OUTSIDE_PARTS:]))


def names_of(uri: str, roots: Sequence[str]) -> tuple[str, ...]:
    """Return what patterns may call a document: from its folder's name on, and by links."""
    return _names(uri, tuple(roots), time.monotonic() // LINKS_S)


@functools.lru_cache(maxsize=512)
def _names(uri: str, roots: tuple[str, ...], _: float) -> tuple[str, ...]:
    folder, path = place_in(uri, roots)
    around, file = local_path(folder) if folder else None, local_path(uri)
    own = f"{around.name}/{path}" if around else path
    return (own, *file_names(file, around)) if file else (own,)


def _innermost(path: str, folders: dict[str, str]) -> tuple[str, str] | None:
    starts = {root: folder.rstrip("/") + "/" for root, folder in folders.items()}
    around = [root for root, start in starts.items() if path.startswith(start)]
    root = max(around, key=lambda each: len(starts[each]), default=None)
    return (root, path[len(starts[root]) :]) if root is not None else None


def _parse(uri: str) -> tuple[str, str]:
    """Return on which machine ("file": this one) a URI's path is, and the path."""
    scheme, separator, rest = uri.partition(":")
    if not separator or len(scheme) == 1:  # a plain path, on Windows too
        return "", uri.replace("\\", "/")
    host, path = "", rest.partition("#")[0].partition("?")[0]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        path = slash + path
    is_file = scheme == "file" or scheme.endswith("notebook-cell")
    if host == "localhost" and is_file:
        host = ""
    elif host and is_file and os.name == "nt":  # a share, which Windows reaches by its path
        host, path = "", f"//{host}{path}"
    where = "file" if is_file and not host else f"{scheme}://{host}"
    return where, unquote(path, errors="surrogateescape")


def _native(path: str) -> str:
    is_on_drive = os.name == "nt" and not path.startswith("//")  # /c:/w
    return path.removeprefix("/") if is_on_drive else path


def _real(path: str) -> str:
    return os.path.realpath(_native(path)).replace(os.sep, "/") if _is_name(path) else path
