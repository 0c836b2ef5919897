"""What came of each source, kept beside the corpus for an interrupted run, or for a larger corpus.

Sources without a commit, folders, are read again. Knows no other source.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.data.collect import Collected, Kept, Refusals, Rules, collect
from training.data.parts import Parts
from training.data.sources import Source

_FORMAT = 2
_SOURCE_FIELDS = ("licence", "refused", "n_seen", "n_bytes_seen")
_FILE_FIELDS = ("path", "sha256", "n_lines_scrubbed")
# What does not decide on a single file of a source.
_OTHER_SETTINGS = (
    "sources never_train evaluation_repositories evaluation_sources evaluation_hashes benchmarks"
    " validation validation_frac near_duplicate processes"
).split()


class SourceParts:
    """The parts of one corpus: `collect` makes them or finds them."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._parts = Parts(folder)
        self._rules = rules
        self._rules_hash = _hash_of_rules(rules)

    def collect(self, source: Source) -> Collected:
        """Return what comes of a source, from an earlier run if that is known to be the same."""
        key = self._key(source)
        found = self._parts.read(key) if key else None
        if found is not None:
            return self._unpack(*found, source)
        collected = collect(source, self._rules)
        if key and collected.refused != "unreadable":  # it may be readable the next time
            self._parts.write(key, *_pack(collected))
        return collected

    def keep(self, sources: Iterable[Source]) -> None:
        """Delete the parts of all other sources and rules."""
        self._parts.clear([key for source in sources if (key := self._key(source))])

    def _key(self, source: Source) -> str:
        """Return what a source's part is named after; "" if nothing pins the source."""
        pin = source.commit or source.sha256
        return json.dumps([_FORMAT, self._rules_hash, source.kind, source.name, pin]) if pin else ""

    def _unpack(self, head: dict[str, Any], texts: bytes, source: Source) -> Collected:
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


def _pack(collected: Collected) -> tuple[dict[str, Any], bytes]:
    head = {
        **{name: getattr(collected, name) for name in _SOURCE_FIELDS},
        "refused_files": collected.refusals.files,
        "refused_bytes": collected.refusals.bytes,
        "hits": collected.hits,
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
    return head, b"".join(kept.text for kept in collected.files)


def _hash_of_rules(rules: Rules) -> str:
    settings = dataclasses.asdict(rules.recipe)
    for name in _OTHER_SETTINGS:
        del settings[name]
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    found.update(b"".join(sorted(rules.blocked)))
    found.update(rules.overlap.digest())
    return found.hexdigest()
