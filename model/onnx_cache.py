"""The quantised graph of a model folder, kept in the user's cache and rebuilt when damaged or old.

Keyed by content hash, graph version and bits. Built in a child process: the libraries that write it
would double the server's memory. Knows files and processes, nothing of what a graph means.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from model.files import read_regular, sha256_file
from model.folder import ModelFolder
from model.paths import cache_folder, make_private
from model.publish import publish_folder

logger = logging.getLogger(__name__)

GRAPH_VERSION = 1  # raise it whenever `model.onnx_graph` writes something else
_FILES = ("graph.onnx", "weights.bin")
_MANIFEST = "artefact.json"
_MAX_MANIFEST_BYTES = 1 << 16
_BUILD_SECONDS = 1800
_ABANDONED_SECONDS = 24 * 3600


class OnnxCacheError(RuntimeError):
    """The graph of a model folder could not be built; the message holds the reason."""


def open_artefact(folder: ModelFolder, bits: int) -> Path:
    """Return the folder with `graph.onnx` and `weights.bin`, built now if there is no sound one."""
    try:
        return _opened(folder, bits, make_private(cache_folder()) / "graphs")
    except OSError as error:
        raise OnnxCacheError(
            f"cannot write a cache for the model's graph: {error}; make that place writable, or "
            "name another folder in the environment variable FORETYPE_CACHE"
        ) from error


def delete_artefacts(content_hash: str) -> None:
    """Delete what was derived from a model's weights: it holds all that they hold."""
    with contextlib.suppress(OSError):
        for path in (cache_folder() / "graphs").glob(f"{content_hash[:32]}-*"):
            shutil.rmtree(path, ignore_errors=True)


def _opened(folder: ModelFolder, bits: int, parent: Path) -> Path:
    parent.mkdir(mode=0o700, exist_ok=True)
    path = parent / f"{folder.content_hash[:32]}-v{GRAPH_VERSION}-{bits}"
    if path.exists():
        if _is_sound(path):
            return path
        logger.warning("the cached graph %s is damaged; building it anew", path)
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
    """Run `model.onnx_graph` on an empty folder, then describe what it wrote."""
    started = time.monotonic()
    # -P: a repository that the user works in may have a folder named `model`. The child imports
    # from where this process does, our own packages first.
    own = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([own, *filter(None, sys.path)])}
    command = [sys.executable, "-P", "-m", "model.onnx_graph"]
    command += [str(folder.path.absolute()), str(aside), str(bits)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, cwd=aside, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=_BUILD_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OnnxCacheError(f"cannot build the graph of {folder.path}: {error}") from error
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise OnnxCacheError(
            f"cannot build the graph of {folder.path} (status {done.returncode}): {lines[-1]}"
        )
    manifest = {}
    for name in _FILES:
        manifest[name] = [(aside / name).stat().st_size, sha256_file(aside / name)]
    (aside / _MANIFEST).write_text(json.dumps(manifest), "utf-8")
    logger.info(
        "built the %d-bit graph of %s in %.1f s", bits, folder.path, time.monotonic() - started
    )


def _is_sound(path: Path) -> bool:
    """Say whether the files have the lengths and hashes of the manifest.

    Lengths first: a mapped file that is too short would not raise but kill the process.
    """
    try:
        manifest = json.loads(read_regular(path / _MANIFEST, _MAX_MANIFEST_BYTES))
        found = {name: (path / name).stat().st_size for name in _FILES}
        if any(manifest[name][0] != size for name, size in found.items()):
            return False
        return all(manifest[name][1] == sha256_file(path / name) for name in _FILES)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _remove_abandoned(parent: Path) -> None:
    """Delete what processes that were killed left behind, and artefacts of older graph versions."""
    for entry in parent.iterdir():
        with contextlib.suppress(OSError):
            is_old = time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS
            is_ours = f"-v{GRAPH_VERSION}-" in entry.name and not entry.name.startswith(".")
            if is_old and not is_ours:
                shutil.rmtree(entry, ignore_errors=True)
