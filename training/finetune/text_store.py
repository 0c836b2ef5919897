"""Texts on disk: what a run trains on, written once, so that going on needs no repository.

One JSON line a text. Knows neither git nor tokens.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.finetune.texts import Text


def write_texts(file: Path, texts: Iterable[Text]) -> None:
    """Write texts, in their order."""
    with file.open("w", encoding="utf-8") as out:
        for text in texts:
            out.write(json.dumps(dataclasses.asdict(text)) + "\n")


def read_texts(file: Path) -> list[Text]:
    """Read them again."""
    return list(_lines(file))


def _lines(file: Path) -> Iterator[Text]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield Text(**json.loads(line))
