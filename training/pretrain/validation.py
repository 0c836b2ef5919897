"""What a run looks at from time to time: bits per byte of held-out files, and a line it completes.

Knows corpora and networks, not how they are trained.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from assistant.source.languages import language_name
from model import fim
from model.gpt import GPT
from model.tokenizer import Tokenizer
from training.data.corpus import Document, Split
from training.data.filters import hash_frac
from training.errors import TrainingError
from training.evaluation.bits_per_byte import (
    ByteCost,
    bits_per_byte,
    measure_cost,
    network_scorer,
    whole_file,
)
from training.recipe import Recipe

VALIDATION_BYTES = 60_000  # of held-out text, about, that are read at each validation
MEASURED = "bits_per_byte"  # in the log; "bits_per_byte.python" of one language
_SAMPLE_TOKENS = 24


class Validator:
    """Called with the network, returns figures for the log."""

    def __init__(self, corpus: Path, tokenizer: Tokenizer, recipe: Recipe) -> None:
        self._documents = draw_files(Split(corpus, "validation"))
        if not self._documents:
            raise TrainingError(
                f"{corpus} holds no validation split; leave --corpus out or name repositories"
            )
        self._tokenizer = tokenizer
        self._block_size = recipe.network.config().block_size
        self._suffix_tokens = recipe.folder.suffix_tokens

    def __call__(self, network: GPT) -> dict[str, Any]:
        """Return bits per byte, over all files and by language, and what it makes of a line."""
        scorer = network_scorer(network, self._tokenizer, self._block_size)
        costs: dict[str, list[ByteCost]] = defaultdict(list)
        for document in self._documents:
            passage = whole_file(document.path, document.text)
            costs[language_name(document.path) or "text"].append(measure_cost(scorer, passage))
        everything = [cost for each in costs.values() for cost in each]
        by_language = {f"{MEASURED}.{name}": bits_per_byte(costs[name]) for name in sorted(costs)}
        return {MEASURED: bits_per_byte(everything), **by_language, "sample": self.sample(network)}

    def sample(self, network: GPT) -> tuple[str, str]:
        """Return the beginning of a line of a held-out file, and how the network goes on."""
        document = max(self._documents, key=lambda document: len(document.text))
        lines = [line for line in document.text.split("\n") if " " in line.strip()]
        line = lines[len(lines) // 2].rstrip() if lines else ""
        start = document.text.index(line)
        shown = line[: max(0, line.rfind(" "))]  # tokens begin with a space, so one ends here
        header = fim.header(self._tokenizer, document.path)
        suffix = self._tokenizer.encode(document.text[start + len(line) :])[: self._suffix_tokens]
        room = self._block_size - len(header) - len(suffix) - _SAMPLE_TOKENS - 3
        prefix = self._tokenizer.encode(document.text[:start] + shown)[-max(1, room) :]
        ids, written = fim.prompt(self._tokenizer, header, prefix, suffix), b""
        for _ in range(_SAMPLE_TOKENS):
            with torch.inference_mode():
                scores = network(torch.tensor([ids], device=network.head_weight.device))[0, -1]
            ids.append(int(scores.argmax()))
            if ids[-1] == self._tokenizer.end_id or b"\n" in written:
                break
            written += self._tokenizer.token_bytes(ids[-1])
        return shown, written.partition(b"\n")[0].decode("utf-8", "replace")


def draw_files(split: Split) -> list[Document]:
    """Return as much of each language, whole files chosen by hash."""
    files: dict[str, list[Document]] = defaultdict(list)
    for document in split:
        files[language_name(document.path) or "text"].append(document)
    chosen = []
    for documents in files.values():
        left = VALIDATION_BYTES / len(files)
        for document in sorted(documents, key=lambda file: hash_frac(f"{file.source} {file.path}")):
            if left > 0:
                chosen.append(document)
                left -= len(document.text)
    return chosen
