"""The quantised graph of a model folder, kept in the user's cache and rebuilt when damaged or old.

Keyed by content hash, graph version and bits. Knows files, nothing of what a graph means.
"""

import contextlib
import json
import logging
import shutil
import time
from pathlib import Path

from model.files import UnreadableFileError, parse_json, read_regular, sha256_file
from model.folder import ModelFolder
from model.onnx_graph import write_graph
from model.paths import CACHE_REMEDY, MARKER, cache_folder, claim, find_exposure
from model.publish import publish_folder
from model.runtime import RuntimeLoadError

logger = logging.getLogger(__name__)

GRAPH_VERSION = 1  # raise it whenever `model.onnx_graph` writes something else
_FILES = ("graph.onnx", "weights.bin")
_MANIFEST = "artefact.json"
_MAX_MANIFEST_BYTES = 1 << 16
_ABANDONED_SECONDS = 24 * 3600


class OnnxCacheError(RuntimeLoadError):
    """The graph of a model folder could not be built; the message holds the reason."""


def open_graph(folder: ModelFolder, bits: int) -> Path:
    """Return the folder with `graph.onnx` and `weights.bin`, built now if there is no sound one."""
    place = cache_folder() / "graphs"
    try:
        return _open_or_build(folder, bits, claim(place))
    except OSError as error:
        raise OnnxCacheError(
            f"cannot write a cache for the model's graph in {place}: {error.strerror or error};"
            f" {CACHE_REMEDY}"
        ) from error


def delete_graphs(content_hash: str) -> None:
    """Delete what was derived from a model's weights: it holds all that they hold."""
    with contextlib.suppress(OSError):
        for path in (cache_folder() / "graphs").glob(f"{content_hash[:32]}-*"):
            shutil.rmtree(path, ignore_errors=True)


def _open_or_build(folder: ModelFolder, bits: int, parent: Path) -> Path:
    path = parent / f"{folder.content_hash[:32]}-v{GRAPH_VERSION}-{bits}"
    if path.exists():
        if _is_sound(path):
            return path
        logger.warning("the cached graph %s cannot be used; building it anew", path)
        shutil.rmtree(path, ignore_errors=True)
    _remove_abandoned(parent)
    try:
        with publish_folder(path, replace=False) as aside:
            _build(folder, aside, bits)
    except OSError:
        if not _is_sound(path):  # another process may have built it at the same time
            raise
    return path


def _build(folder: ModelFolder, aside: Path, bits: int) -> None:
    """Write the graph into an empty folder, then describe what is there."""
    started = time.monotonic()
    try:
        write_graph(folder.config, folder.tensor, aside, bits)
    except (ValueError, MemoryError, UnreadableFileError) as error:
        reason = str(error) or type(error).__name__
        raise OnnxCacheError(f"cannot build the graph of {folder.path}: {reason}") from error
    manifest = {}
    for name in _FILES:
        manifest[name] = [(aside / name).stat().st_size, sha256_file(aside / name)]
    (aside / _MANIFEST).write_text(json.dumps(manifest), "utf-8")
    logger.info(
        "built the %d-bit graph of %s in %.1f s", bits, folder.path, time.monotonic() - started
    )


def _is_sound(path: Path) -> bool:
    """Say whether the files have the lengths and hashes of the manifest, and nobody else made them.

    Lengths first: a mapped file that is too short would not raise but kill the process.
    """
    if find_exposure(path, *(path / name for name in (*_FILES, _MANIFEST))):
        return False
    try:
        manifest = parse_json(read_regular(path / _MANIFEST, _MAX_MANIFEST_BYTES))
        found = {name: (path / name).stat().st_size for name in _FILES}
        if any(manifest[name][0] != size for name, size in found.items()):
            return False
        return all(manifest[name][1] == sha256_file(path / name) for name in _FILES)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _remove_abandoned(parent: Path) -> None:
    """Delete what processes that were killed left behind, and graphs of older graph versions."""
    for entry in parent.iterdir():
        with contextlib.suppress(OSError):
            is_old = time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS
            is_current = f"-v{GRAPH_VERSION}-" in entry.name and not entry.name.startswith(".")
            if is_old and not is_current and entry.name != MARKER:
                shutil.rmtree(entry, ignore_errors=True)
