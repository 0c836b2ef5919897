"""Near duplicates: texts that share most of their runs of five words, by MinHash sketches.

A sketch has 256 slots, whatever the text's length; a table of 32 bands finds the few sketches that
are worth comparing. The share of equal slots estimates the Jaccard similarity to within 0.02 or
so: what is near the threshold may fall to either side. The index takes about 5 kB a text, so a
million texts need 5 GB. The same texts in the same order give the same answers everywhere.
"""

from __future__ import annotations

import numpy as np
import rensa

from training.data.word_runs import WordRunHasher, words_of

N_PERMUTATIONS = 256
SHINGLE_WORDS = 5
_N_BANDS = 32  # of 8 slots: at a similarity of 0.8, 997 of 1,000 pairs are compared
_SEED = 1


class Sketcher:
    """Makes sketches; keeps the hashes of words between texts."""

    def __init__(self) -> None:
        self._runs = WordRunHasher(SHINGLE_WORDS)

    def sketch(self, text: str) -> rensa.RMinHash | None:
        """Return the sketch of a text, or None if it is too short to be compared."""
        hashes = self._runs.hashes(words_of(text))
        if not len(hashes):
            return None
        sketch = rensa.RMinHash(num_perm=N_PERMUTATIONS, seed=_SEED)
        sketch.update(np.unique(hashes).astype("<u8").view("V8").tolist())  # items of 8 bytes
        return sketch


class MinHashIndex:
    """The sketches seen so far."""

    def __init__(self, threshold: float) -> None:
        self._n_texts = 0
        self._index = rensa.RMinHashDeduplicator(
            threshold=threshold,
            num_perm=N_PERMUTATIONS,
            use_lsh=True,
            num_bands=_N_BANDS,
            seed=_SEED,
        )

    def __len__(self) -> int:
        return self._n_texts

    def holds(self, sketch: rensa.RMinHash) -> bool:
        """Say whether a text like this one is known."""
        return bool(self._index.is_duplicate("", sketch))

    def add(self, sketch: rensa.RMinHash) -> bool:
        """Remember it; return False if one like it was there before."""
        if not self._index.add(str(self._n_texts), sketch):
            return False
        self._n_texts += 1
        return True
