"""The corpus folder: a split's texts in one file, with an index; a manifest describes it all.

    manifest.json          what it was made of, by which rules, what was refused and why
    train.bin              the UTF-8 texts, one after another
    train.offsets.npy      int64, one more than texts: text i is bytes offsets[i]:offsets[i+1]
    train.documents.jsonl  {"source": owner/name, "path": ..., "sha256": of the file}, one a text
    validation.*           the same for whole repositories that are never in `train`

Documents are texts, not ids: spans and tokenizers change, the corpus does not. `foretype data
funnel` shows from the manifest how many files came in, what each reason took away, and what was
left. Knows no token.
"""

import argparse
import dataclasses
import json
import mmap
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from model.files import sha256_file
from training.cli import report_mistakes
from training.errors import TrainingError

FORMAT_VERSION = 1
SPLITS = ("train", "validation")
MANIFEST = "manifest.json"


def main(argv: list[str]) -> int:
    """Run `foretype data funnel`; a user's mistake is one line on stderr."""
    text = "Show what a corpus was made of, and why files were left out."
    parser = argparse.ArgumentParser(prog="foretype data funnel", description=text)
    parser.add_argument("corpus", type=Path, help="a folder that `foretype data prepare` wrote")
    corpus: Path = parser.parse_args(argv).corpus
    show = sys.stdout.write
    return report_mistakes("data funnel", lambda: show(format_summary(read_manifest(corpus))))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One source file of the corpus."""

    source: str  # owner/name
    path: str
    text: str


class SplitWriter:
    """Writes the three files of one split; they are complete when its block ends."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self.split = split
        self._offsets = [0]
        self._texts: IO[bytes] = (folder / f"{split}.bin").open("wb")
        self._documents: IO[str] = (folder / f"{split}.documents.jsonl").open("w", encoding="utf-8")

    def add(self, *, source: str, path: str, text: bytes, sha256: str) -> None:
        """Append one document."""
        self._texts.write(text)
        self._offsets.append(self._offsets[-1] + len(text))
        entry = {"source": source, "path": path, "sha256": sha256}
        self._documents.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.close()
        self._documents.close()
        np.save(self._folder / f"{self.split}.offsets.npy", np.array(self._offsets, np.int64))


class Split:
    """The documents of one split, mapped into memory: `len`, `split[i]`."""

    def __init__(self, folder: Path, split: str = "train") -> None:
        read_manifest(folder)
        self.name = split
        if split not in SPLITS:
            raise TrainingError(f"a corpus has the splits {', '.join(SPLITS)}, not {split!r}")
        try:
            self.offsets: NDArray[np.int64] = np.load(
                folder / f"{split}.offsets.npy", allow_pickle=False
            )
            lines = (folder / f"{split}.documents.jsonl").read_text(encoding="utf-8").split("\n")
            entries = [json.loads(line) for line in lines if line]
            self._places = [(entry["source"], entry["path"]) for entry in entries]
            self._numbers: dict[str, list[int]] | None = None  # of documents, by repository
            with (folder / f"{split}.bin").open("rb") as file:
                is_empty = not file.seek(0, os.SEEK_END)  # which cannot be mapped
                self._texts: mmap.mmap | bytes
                self._texts = (
                    b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"cannot read the corpus in {folder}: {error}") from error
        size = len(self._texts)
        if len(self.offsets) != len(self._places) + 1 or int(self.offsets[-1]) != size:
            raise TrainingError(
                f"{folder}: the index of {split} does not fit its texts; prepare it again"
            )

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Document:
        source, path = self._places[index]
        text = self._texts[int(self.offsets[index]) : int(self.offsets[index + 1])]
        return Document(source=source, path=path, text=text.decode("utf-8"))

    def __iter__(self) -> Iterator[Document]:
        return (self[i] for i in range(len(self)))

    def files_of(self, source: str) -> Iterator[tuple[str, str]]:
        """Yield the path and text of every document of one repository."""
        if self._numbers is None:
            self._numbers = defaultdict(list)
            for number, (name, _) in enumerate(self._places):
                self._numbers[name].append(number)
        documents = (self[number] for number in self._numbers.get(source, ()))
        return ((document.path, document.text) for document in documents)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest; TrainingError if there is none or it is of another version."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{folder} is not a prepared corpus: {error}") from error
    if version != FORMAT_VERSION:
        raise TrainingError(
            f"{folder} has corpus format {version}, this program reads {FORMAT_VERSION}"
        )
    return dict(manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest with the hashes of all other files of the folder."""
    hashes = {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
    table = {"format_version": FORMAT_VERSION, **manifest, "files": hashes}
    text = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def format_summary(manifest: Mapping[str, Any]) -> str:
    """Return the manifest for reading: what each reason took away, what is kept and replaced."""
    totals, scrubbed = manifest["totals"], manifest["scrubbed"]
    kept = [(split, *totals[split].values()) for split in SPLITS]
    lines = [
        f"{totals['sources']:>9} sources, of which {totals['sources_refused']} refused",
        f"{totals['files_seen']:>9} files seen",
        *(f"{-n:>9} {why}" for why, n in manifest["reasons"].items()),
        *(f"{n:>9} files in {split}, {n_bytes / 1e6:.1f} MB" for split, n, n_bytes in kept),
        f"{scrubbed['files']:>9} files with secrets or personal data, which were replaced:",
        *(f"{n:>9} {kind}" for kind, n in scrubbed["kinds"].items()),
    ]
    return "\n".join(lines) + "\n"
