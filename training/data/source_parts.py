"""What came of each source, kept on disk until the corpus is complete: an interrupted run goes on.

A part is one file, a line of JSON and the texts, named after all that decides on its content; one
that was made by other rules, of another commit, or that is damaged, is not found. Folders have no
commit and are read again. Knows no other source.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from model.publish import write_atomically
from training.data.collect import Collected, Kept, Refusals, Rules, collect
from training.data.sources import Source

_FORMAT = 1
_SUFFIX = ".part"
_SOURCE_FIELDS = ("licence", "refused", "n_seen", "n_bytes_seen")
_FILE_FIELDS = ("path", "sha256", "n_lines_scrubbed")
# What does not decide on a single file of a source.
_OTHER_SETTINGS = (
    "sources never_train evaluation_repositories evaluation_sources evaluation_hashes benchmarks"
    " validation validation_frac near_duplicate processes"
).split()


class SourceParts:
    """The parts of one corpus: `collect` makes them or finds them, `remove` ends them."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._folder = folder
        self._rules = rules
        self._rules_hash = _hash_of_rules(rules)
        folder.mkdir(parents=True, exist_ok=True)

    def collect(self, source: Source) -> Collected:
        """Return what comes of a source, from an earlier run if that is known to be the same."""
        pin = source.commit or source.sha256
        if not pin:
            return collect(source, self._rules)
        path = self._path(source, pin)
        collected = self._read(path, source)
        if collected is None:
            collected = collect(source, self._rules)
            if collected.refused != "unreadable":  # it may be readable the next time
                write_atomically(path, _pack(collected))
        return collected

    def remove(self) -> None:
        """Delete the parts, those of interrupted runs included; nothing else is touched."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            path.unlink()
        with contextlib.suppress(OSError):  # not empty: it holds something that is not ours
            self._folder.rmdir()

    def _path(self, source: Source, pin: str) -> Path:
        key = json.dumps([_FORMAT, self._rules_hash, source.kind, source.name, pin])
        return self._folder / (hashlib.sha256(key.encode()).hexdigest()[:32] + _SUFFIX)

    def _read(self, path: Path, source: Source) -> Collected | None:
        """Return what a part holds; None if there is none or it is damaged."""
        try:
            head, _, texts = path.read_bytes().partition(b"\n")
            return self._unpack(json.loads(head), texts, source)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _unpack(self, head: dict[str, Any], texts: bytes, source: Source) -> Collected:
        if hashlib.sha256(texts).hexdigest() != head["sha256"]:
            raise ValueError("the texts are damaged")
        sketcher = self._rules.sketcher
        files, at = [], 0
        for item in head["files"]:
            text = texts[at : at + item["bytes"]]
            at += item["bytes"]
            kept = Kept(
                text=text,
                fingerprint=bytes.fromhex(item["fingerprint"]),
                sketch=sketcher.sketch(text.decode()) if sketcher else None,
                scrubbed=Counter(item["scrubbed"]),
                **{name: item[name] for name in _FILE_FIELDS},
            )
            files.append(kept)
        counts = {what: Counter(head[f"refused_{what}"]) for what in ("files", "bytes")}
        return Collected(
            source=source,
            files=tuple(files),
            refusals=Refusals(**counts),
            hits=tuple((path, shared) for path, shared in head["hits"]),
            **{name: head[name] for name in _SOURCE_FIELDS},
        )


def _pack(collected: Collected) -> bytes:
    texts = b"".join(kept.text for kept in collected.files)
    head = {
        **{name: getattr(collected, name) for name in _SOURCE_FIELDS},
        "refused_files": collected.refusals.files,
        "refused_bytes": collected.refusals.bytes,
        "hits": collected.hits,
        "sha256": hashlib.sha256(texts).hexdigest(),
        "files": [
            {
                "bytes": len(kept.text),
                "fingerprint": kept.fingerprint.hex(),
                "scrubbed": kept.scrubbed,
                **{name: getattr(kept, name) for name in _FILE_FIELDS},
            }
            for kept in collected.files
        ],
    }
    return json.dumps(head).encode() + b"\n" + texts


def _hash_of_rules(rules: Rules) -> str:
    settings = dataclasses.asdict(rules.recipe)
    for name in _OTHER_SETTINGS:
        del settings[name]
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    found.update(b"".join(sorted(rules.blocked)))
    found.update(rules.overlap.digest())
    return found.hexdigest()
