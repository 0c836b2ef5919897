"""Writes an index as fast as it can until it is killed; a program for tests.

`python -m tests.assistant.index.hammer INDEX SEED` changes texts at random and commits, merges and
clears; each text tells its own checksum. It says "ready" when it has begun.
"""

import random
import sys
import zlib
from itertools import count
from pathlib import Path

from assistant.index.segment import FileContent, SegmentEntry
from assistant.index.writer import IndexWriter

N_FILES = 8


def text_of(name: str, version: int) -> bytes:
    body = f"{name} {version}\n".encode() * 200
    return body + b"checksum %d\n" % zlib.crc32(body)


def is_whole(text: bytes) -> bool:
    body, _, checksum = text.rpartition(b"checksum ")
    return int(checksum) == zlib.crc32(body)


def main(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    with IndexWriter(folder, timeout_s=20.0) as writer:
        for version in count():
            names = dice.sample([f"{n}.py" for n in range(N_FILES)], dice.randint(1, N_FILES))
            writer.drop(names, "repo")
            contents = [
                FileContent(SegmentEntry(name, 1, version, ""), text_of(name, version))
                for name in names
            ]
            writer.add(contents, "repo")
            writer.commit()
            if dice.random() < 0.3:
                writer.merge()
            if dice.random() < 0.02:
                writer.clear()
            if version == 0:
                print("ready", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
