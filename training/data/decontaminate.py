"""Keep out of the corpus what models are judged by, and all but one of what stands there twice.

Three checks against evaluation sets: a source's name, with lists of names and of name hashes; a
file's SHA-256, with those of evaluation files; runs of `overlap_words` words, with the problems of
benchmarks, by hashes that are equal on every machine, whatever stands between the words and in
either letter case.

Of texts that are equal or nearly so one is kept, whichever repository has it first. Equal up to
white space costs 16 bytes a text. Near are texts that share most of their runs of five words, by
MinHash sketches: a sketch has 256 slots, whatever the text's length; a table of 32 bands finds the
few that are worth comparing. The share of equal slots estimates the Jaccard similarity to within
0.02 or so: what is near the threshold may fall to either side. The index takes about 5 kB a text.
The same texts in the same order give the same answers everywhere. Knows no format of sources.
"""

import functools
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rensa
from numpy.typing import NDArray

from model.config import ConfigError
from training.data.sources import name_hash, names_to_check

_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers of it never vanish modulo 2**64
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_MIN_TELLING_WORDS = 5  # distinct ones, in a run that counts
NEAR_EVALUATION = "near an evaluation file"
N_PERMUTATIONS = 256
SHINGLE_WORDS = 5
_N_BANDS = 32  # of 8 slots: at a similarity of 0.8, 997 of 1,000 pairs are compared
_SEED = 1
_MONTHS = frozenset("jan feb mar apr may jun jul aug sep oct nov dec".split())

# Why sources stay out, by the hash of a normalised name.
NeverTrain = Mapping[str, str]


def words_of(text: str) -> list[str]:
    """Return the words of a text: letters, digits and underscores in one piece."""
    return _WORD.findall(text)


def hash_runs(words: list[str], n_words: int) -> NDArray[np.uint64]:
    """Return a hash for each run of so many words, in order; none for fewer words."""
    n_runs = max(0, len(words) - n_words + 1)
    total = np.zeros(n_runs, np.uint64)
    if not n_runs:
        return total
    known = {word: _hash_word(word) for word in set(words)}
    of_words = np.fromiter(map(known.__getitem__, words), np.uint64, len(words))
    for i in range(n_words):  # a polynomial in the word hashes, modulo 2**64
        total = total * _MULTIPLIER + of_words[i : i + n_runs]
    return total


@functools.lru_cache(maxsize=1_000_000)  # hashing words again is most of the work
def _hash_word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.lower().encode(), digest_size=8).digest(), "big")


def load_never_train(hash_files: Iterable[Path], repository_files: Iterable[Path]) -> NeverTrain:
    """Read lists of name hashes, and JSON lists of evaluation repositories."""
    never = {}
    for path in hash_files:
        lines = [line for line in _read_text(path).splitlines() if line.strip() and line[0] != "#"]
        hashes = [line.split()[0].lower() for line in lines]
        if bad := [line for line in hashes if not _SHA256.match(line)]:
            raise ConfigError(f"{path}: not a SHA-256: {bad[0][:80]!r}")
        never.update(dict.fromkeys(hashes, "never-train list"))
    for path in repository_files:
        try:
            found = list(_repositories(json.loads(_read_text(path))))
        except ValueError as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        if not found:
            raise ConfigError(f"{path} names no repository (a list of owner/name was expected)")
        for name in found:  # the bare name too: forks and package indexes use it
            forms = [form for form in names_to_check(name) if not form.endswith("/*")]
            never.update(dict.fromkeys(map(name_hash, forms), "evaluation repository"))
    return never


def find_reason(name: str, never: NeverTrain) -> str | None:
    """Return why a source of this name stays out, or None."""
    reasons = (never.get(name_hash(form)) for form in names_to_check(name))
    return next((reason for reason in reasons if reason), None)


def content_hash(content: bytes) -> bytes:
    """Return the SHA-256 of a file with LF line ends: a checkout must not change the answer."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).digest()


class Overlap:
    """Finds texts that share a run of `n_words` words with a benchmark's problems."""

    def __init__(self, texts: Iterable[str], n_words: int) -> None:
        self.n_words = n_words
        distinct = dict.fromkeys(texts)  # infilling sets repeat each program for every hole in it
        runs = [hash_runs(words_of(text), n_words) for text in distinct]
        self._known: NDArray[np.uint64] = np.unique(np.concatenate([hash_runs([], n_words), *runs]))

    def __len__(self) -> int:
        return len(self._known)

    def digest(self) -> bytes:
        """Return a hash of all runs that count as hits."""
        return hashlib.sha256(self._known.astype("<u8").tobytes()).digest()

    def find(self, text: str) -> str | None:
        """Return the first shared run of words, or None."""
        if not len(self._known):
            return None
        words = words_of(text)
        hashes = hash_runs(words, self.n_words)
        places = np.searchsorted(self._known, hashes)
        hits = self._known[np.minimum(places, len(self._known) - 1)] == hashes
        for first in np.flatnonzero(hits):
            run = words[first : first + self.n_words]
            if _is_telling(run):
                return " ".join(run)
        return None


def _is_telling(run: list[str]) -> bool:
    """Say whether a shared run means anything: every code base counts, loops and names months."""
    words = {word.lower() for word in run if len(word) > 1 and word[0].isalpha()}
    telling = [word for word in words if word[:3] not in _MONTHS]
    return len(telling) >= min(_MIN_TELLING_WORDS, len(run))


def benchmark_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the texts of the problems in .jsonl or .jsonl.gz files.

    A problem with a prompt and a suffix is put together first: the borders of its hole count too.
    """
    for problem in (problem for path in paths for problem in read_problems(path)):
        if isinstance(problem.get("prompt"), str):
            parts = (problem.get(key) for key in ("prompt", "canonical_solution", "suffix"))
            yield "".join(part for part in parts if isinstance(part, str))
        for key in ("solution_code", "code", "text"):
            if isinstance(problem.get(key), str):
                yield problem[key]


def read_problems(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a benchmark, one a line, gzipped or not."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
        problems = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read benchmark {path}: {error}") from error
    if not all(isinstance(problem, dict) for problem in problems):
        raise ConfigError(f"cannot read benchmark {path}: a problem must be a JSON object")
    return problems


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def _repositories(table: Any) -> Iterator[str]:
    """Yield each owner/name in `{"any key": [{"repo": "owner/name"}, ...]}` or a plain list."""
    if isinstance(table, str):
        if re.fullmatch(r"[\w.-]+/[\w.-]+", table):
            yield table
    elif isinstance(table, dict) and "repo" in table:
        yield from _repositories(table["repo"])
    elif isinstance(table, list | dict):
        values = table if isinstance(table, list) else table.values()
        for item in values:
            if isinstance(table, list) or isinstance(item, list):
                yield from _repositories(item)


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
