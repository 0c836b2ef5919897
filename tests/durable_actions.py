"""What is to survive a power cut, an action each; a program for tests.

`python -m tests.durable_actions ACTION FOLDER` does it to what a test prepared in FOLDER.
"""

import os
import sys
from pathlib import Path

from assistant import counts
from assistant.index.segment import FileContent, SegmentEntry
from assistant.index.writer import IndexWriter
from assistant.models.registry import Registry
from assistant.remote.ledger import Ledger
from assistant.setup.change import Change, write
from tests.own_models import HERE

OLD = {"a.py": "a = 1\n", "b.py": "b = 1\n", "gone.py": "gone = 1\n"}
NEW = {"a.py": "a = 2\n" * 300, "b.py": "b = 1\n", "new.py": "new = 1\n"}
LINES = "mine\n", "mine\nours\n"
EGRESS = {
    "provider": "openai", "host": "h", "model": "m", "file": "a.py", "ranges": (), "redactions": {},
}  # fmt: skip


def put(folder: Path, texts: dict[str, str]) -> None:
    with IndexWriter(folder) as writer:
        known = writer.view.entries("repo")
        added = {
            path: text
            for path, text in texts.items()
            if path not in known or known[path].digest != text[:8]
        }
        writer.drop([*known.keys() - texts.keys(), *added], "repo")
        entries = [
            FileContent(SegmentEntry(path, len(text), 1, text[:8]), text.encode())
            for path, text in added.items()
        ]
        writer.add(entries, "repo")
        writer.commit(is_complete=True)


def index(folder: Path) -> None:
    put(folder / "i", NEW)


def merge(folder: Path) -> None:
    with IndexWriter(folder / "i") as writer:
        while writer.merge():
            pass


def registry_add(folder: Path) -> None:
    incoming = folder / "incoming"
    registry = Registry(folder / "models")
    entry = next(iter(Registry(folder / "listed").entries()))
    registry.add(incoming, entry)


def registry_use(folder: Path) -> None:
    Registry(folder / "models").use("second", HERE)


def setup(folder: Path) -> None:
    write(Change(path=folder / "init.el", before=LINES[0], after=LINES[1]))


def ledger(folder: Path) -> None:
    Ledger(folder).begin(EGRESS | {"bytes_sent": 2})


def statistics(folder: Path) -> None:
    os.environ["XDG_DATA_HOME"] = str(folder)
    told = counts.Statistics()
    for name, n in (("shown", 3), ("whole", 2)):
        told.add("python", name, n)
    told.save()


def checkpoint(folder: Path, step: int = 3) -> None:
    import torch

    from training.pretrain import checkpoint as state

    tensors = {"w": torch.full((300,), float(step))}
    state.save(folder, state.RunProgress(step=step), tensors, tensors)


def careless(folder: Path) -> None:
    """Replace a file as many programs do, without a sync."""
    (folder / "new").write_text("new " * 1_000)
    (folder / "new").rename(folder / "file")


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
