"""What came of each source, kept beside the corpus for an interrupted run, or for a larger corpus.

Sources without a commit, folders, are read again. Knows no other source.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from training.data.collect import Collected, Rules, collect
from training.data.parts import Parts
from training.data.sources import Source

_FORMAT = 4
# What does not decide on a single file of a source.
_OTHER_SETTINGS = (
    "sources never_train evaluation_repositories evaluation_sources benchmarks"
    " validation near_duplicate processes"
).split()


class SourceParts:
    """The parts of one corpus: `collect` makes them or finds them."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._parts = Parts(folder)
        self._rules = rules
        settings = dataclasses.asdict(rules.recipe)
        for name in _OTHER_SETTINGS:
            del settings[name]
        decisive = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        decisive.update(b"".join(sorted(rules.blocked)))
        decisive.update(rules.overlap.digest())
        self._rules_hash = decisive.hexdigest()

    def collect(self, source: Source) -> Collected:
        """Return what comes of a source, from an earlier run if that is known to be the same."""
        key = self._key(source)
        if key and (content := self._parts.read(key)) is not None:
            return Collected.from_table(json.loads(content))
        collected = collect(source, self._rules)
        if key and collected.refused != "unreadable":  # it may be readable the next time
            self._parts.write(key, json.dumps(dataclasses.asdict(collected)).encode())
        return collected

    def keep(self, sources: Iterable[Source]) -> None:
        """Delete the parts of all other sources and rules."""
        self._parts.clear([key for source in sources if (key := self._key(source))])

    def _key(self, source: Source) -> str:
        """Return what a source's part is named after; "" if nothing pins the source."""
        named = [_FORMAT, self._rules_hash, "git", source.name, source.commit]
        return json.dumps(named) if source.commit else ""
