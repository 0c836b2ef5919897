"""Packed shards: rows of token ids in one memory-mapped file, and a JSON that describes them.

    index.json  rows, block_size, vocab_size, hashes of tokenizer and rows, how they were made
    tokens.bin  little-endian, rows x (block_size + 1): a row's input and target overlap; 16 bits
                an id, 32 for vocabularies that need them

Knows no text and no model.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

FORMAT_VERSION = 1
INDEX = "index.json"
TOKENS = "tokens.bin"

#: Token ids, in as few bytes as their vocabulary needs.
TokenIds = NDArray[np.unsignedinteger[Any]]


def ids_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the type in which a vocabulary's ids are packed."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


class ShardWriter:
    """Appends rows; a block that ends well writes the index, without which a folder is not read."""

    def __init__(self, folder: Path, *, block_size: int, vocab_size: int) -> None:
        self.block_size = block_size
        self.n_rows = 0
        self.description: dict[str, Any] = {}  # joined into the index
        self._vocab_size = vocab_size
        self._dtype = ids_dtype(vocab_size)
        self._folder = folder
        self._hash = hashlib.sha256()
        self._file = (folder / TOKENS).open("wb")

    def add(self, rows: TokenIds) -> None:
        """Append rows (n, block_size + 1)."""
        assert rows.shape[1:] == (self.block_size + 1,), rows.shape
        content = rows.astype(self._dtype).tobytes()
        self._hash.update(content)
        self._file.write(content)
        self.n_rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._file.close()
        if error is not None:
            return
        index = {
            "format_version": FORMAT_VERSION,
            "rows": self.n_rows,
            "block_size": self.block_size,
            "vocab_size": self._vocab_size,
            "sha256": self._hash.hexdigest(),
            **self.description,
        }
        text = json.dumps(index, indent=1) + "\n"
        (self._folder / INDEX).write_text(text, encoding="utf-8")


class ShardReader:
    """Rows by number, `reader[i]`; `index` is the description."""

    def __init__(self, folder: Path) -> None:
        try:
            self.index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            version = self.index["format_version"]
            self.n_rows = int(self.index["rows"])
            self.block_size = int(self.index["block_size"])
            self.vocab_size = int(self.index["vocab_size"])
            n_bytes = (folder / TOKENS).stat().st_size
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{folder} is not a folder of packed shards: {error}") from error
        if version != FORMAT_VERSION:
            raise TrainingError(
                f"{folder} has shard format {version}, this program reads {FORMAT_VERSION}"
            )
        width, dtype = self.block_size + 1, ids_dtype(self.vocab_size)
        if self.n_rows < 1 or n_bytes != dtype.itemsize * self.n_rows * width:
            raise TrainingError(
                f"{folder / TOKENS} has {n_bytes} bytes, {self.n_rows} rows of {width} ids were"
                " expected; pack it again"
            )
        self._rows: TokenIds = np.memmap(
            folder / TOKENS, dtype=dtype, mode="r", shape=(self.n_rows, width)
        )

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, number: int) -> TokenIds:
        """Return the ids of one row, (block_size + 1,)."""
        row: TokenIds = self._rows[number]
        return row
