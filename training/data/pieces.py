"""Files and folders cut into compressed pieces of a given size, and joined again with checks.

For machines that take and give files only in small parts. A piece is whole xz streams, so each is
read by itself; all in their order are one archive: `cat piece-*.xz | tar xJ` reads them, too.
"""

import functools
import hashlib
import json
import lzma
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from model.files import sha256_file
from training.cli import n_threads
from training.data.folders import new_folder
from training.data.workers import map_in_order
from training.errors import TrainingError

INDEX = "pieces.json"
_BLOCK_BYTES = 1 << 23  # compressed at a time, on one core
_ARCHIVE = ".archive"
_NAME = re.compile(r"piece-\d{3}\.xz")


class PiecesError(TrainingError):
    """Pieces are missing or damaged; the message says which."""


def cut(paths: Sequence[Path], out: Path, *, piece_bytes: int, replace: bool = False) -> list[Path]:
    """Write files and folders as pieces of at most so many bytes; return the pieces."""
    with new_folder(out, marker=INDEX, replace=replace) as part:
        archive = part / _ARCHIVE
        hashes: dict[str, str] = {}
        with tarfile.open(archive, "w") as tar:
            for path in paths:
                tar.add(path, arcname=path.resolve().name, filter=_drop_owner)
        size = min(_BLOCK_BYTES, piece_bytes // 2)  # what cannot be compressed grows a little
        starts = range(0, archive.stat().st_size, size)
        piece = b""
        processes = min(n_threads(), len(starts))
        compress = functools.partial(_compress, archive, size)
        for block in map_in_order(compress, starts, processes=processes):
            if piece and len(piece) + len(block) > piece_bytes:
                hashes |= _write(part, len(hashes), piece)
                piece = b""
            piece += block
        hashes |= _write(part, len(hashes), piece)
        archive.unlink()
        (part / INDEX).write_text(json.dumps({"sha256": hashes}, indent=1), encoding="utf-8")
    return [out / name for name in hashes]


def join(places: Sequence[Path], into: Path, *, replace: bool = False) -> None:
    """Put back as the folder `into` what was cut; its pieces may lie in several places."""
    index = _find(INDEX, places)
    try:
        hashes: dict[str, str] = dict(json.loads(index.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise PiecesError(f"{index} is not an index of pieces: {error}") from error
    if wrong := [name for name in hashes if not _NAME.fullmatch(name)]:
        raise PiecesError(f"{index} names {wrong[0]!r}, which is no piece")
    pieces = [_find(name, places) for name in hashes]
    for path in pieces:
        if sha256_file(path) != hashes[path.name]:
            raise PiecesError(f"{path} is damaged: send it again")
    with new_folder(into, marker=INDEX, replace=replace) as part:
        archive, processes = part / _ARCHIVE, min(n_threads(), len(pieces))
        with archive.open("wb") as file:
            for content in map_in_order(_decompress, pieces, processes=processes):
                file.write(content)
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        archive.unlink()
        (part / INDEX).write_bytes(index.read_bytes())


def _find(name: str, places: Sequence[Path]) -> Path:
    for place in places:
        if (place / name).is_file():
            return place / name
    raise PiecesError(f"{name} is not in {' or '.join(map(str, places))}")


def _write(part: Path, number: int, content: bytes) -> dict[str, str]:
    name = f"piece-{number:03d}.xz"
    (part / name).write_bytes(content)
    return {name: hashlib.sha256(content).hexdigest()}


def _drop_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)


def _compress(path: Path, size: int, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return lzma.compress(file.read(size))


def _decompress(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())
