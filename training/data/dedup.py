"""Duplicates: of texts that are equal or nearly so one is kept, whichever repository has it first.

Equal up to white space costs 16 bytes a text. Near are texts that share most of their runs of five
words, by MinHash sketches: a sketch has 256 slots, whatever the text's length; a table of 32 bands
finds the few sketches that are worth comparing. The share of equal slots estimates the Jaccard
similarity to within 0.02 or so: what is near the threshold may fall to either side. The index takes
about 5 kB a text, so a million texts need 5 GB. The same texts in the same order give the same
answers everywhere.
"""

import hashlib

import numpy as np
import rensa

from training.data.decontaminate import hash_runs, words_of

NEAR_EVALUATION = "near an evaluation file"
N_PERMUTATIONS = 256
SHINGLE_WORDS = 5
_N_BANDS = 32  # of 8 slots: at a similarity of 0.8, 997 of 1,000 pairs are compared
_SEED = 1


class Duplicates:
    """What was kept so far, and what models are judged by: a text near either stays out."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold  # Jaccard similarity; 0: only equal texts are duplicates
        self._exact: set[bytes] = set()
        self._near = _new_index(threshold)
        self._judged = _new_index(threshold)
        self._n_judged = 0

    def keep_out(self, text: str) -> None:
        """Remember a text of an evaluation set."""
        if (sketch := self._sketch(text)) is not None:
            self._judged.add(str(self._n_judged), sketch)
            self._n_judged += 1

    def reason(self, text: str) -> str:
        """Return why a text stays out; "" if it does not, and then it is remembered."""
        fingerprint = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
        if fingerprint in self._exact:
            return "duplicate"
        self._exact.add(fingerprint)
        if (sketch := self._sketch(text)) is None:
            return ""
        if self._judged.is_duplicate("", sketch):
            return NEAR_EVALUATION
        return "" if self._near.add(str(len(self._exact)), sketch) else "near duplicate"

    def _sketch(self, text: str) -> rensa.RMinHash | None:
        """Return the sketch of a text; None if it is too short to be compared, or none is."""
        hashes = hash_runs(words_of(text), SHINGLE_WORDS) if self._threshold else ()
        if not len(hashes):
            return None
        sketch = rensa.RMinHash(num_perm=N_PERMUTATIONS, seed=_SEED)
        sketch.update(np.unique(hashes).astype("<u8").view("V8").tolist())  # items of 8 bytes
        return sketch


def _new_index(threshold: float) -> rensa.RMinHashDeduplicator:
    return rensa.RMinHashDeduplicator(
        threshold=threshold, num_perm=N_PERMUTATIONS, use_lsh=True, num_bands=_N_BANDS, seed=_SEED
    )
