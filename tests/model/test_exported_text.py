"""What others write with an exported model: on a hundred prompts the greedy text that ours writes.

The bundled network, asked with our prompt's text. Scores that differ in a late digit may choose
another token where two are as good as equal; nothing else may.
"""

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assistant.models.registry import Registry
from model.fim import header, prompt
from model.folder import BUNDLED, load_folder
from model.foreign import load_model
from model.gguf_export import MatrixType, export_gguf
from model.runtime import Runtime, open_runtime
from model.tokenizer import Tokenizer
from tests.own_models import added
from tests.programs import ROOT

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

N_PROMPTS, N_TOKENS = 100, 12
Write = Callable[[list[int], list[int]], list[int]]  # of a prompt, and of our text for it

pytestmark = [
    pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("shared_cache"),
    pytest.mark.timeout(900),
]  # fmt: skip


@functools.cache
def places() -> list[tuple[str, str, str]]:
    """Return paths, texts before a line and behind it, of our own files."""
    found = []
    files = sorted([*(ROOT / "assistant").rglob("*.py"), *(ROOT / "lsp").rglob("*.py")])
    for number, file in enumerate(files):
        text = file.read_text(encoding="utf-8")
        cut = text.find("\n", len(text) * (number % 7 + 1) // 9) + 1
        before, behind = text[max(0, cut - 300) : cut], text[cut : cut + 100]
        if "<|" not in before + behind and before:
            found.append((file.relative_to(ROOT).as_posix(), before, behind))
    return found[:N_PROMPTS]


def ids_of(tokenizer: Tokenizer, place: tuple[str, str, str]) -> list[int]:
    path, before, behind = place
    parts = (tokenizer.encode(before), tokenizer.encode(behind))
    return prompt(tokenizer, header(tokenizer, path), *parts)


def write(runtime: Runtime, end_id: int, ids: list[int]) -> list[int]:
    """Return the greedy continuation, without the end."""
    runtime.rewind(0)
    scores, found = runtime.append(ids), list[int]()
    while len(found) < N_TOKENS and (best := int(scores.argmax())) != end_id:
        found.append(best)
        scores = runtime.append([best])
    return found


class Ours:
    """What we write with the exported folder, in 32 bits."""

    def __init__(self, path: Path) -> None:
        folder = load_folder(path)
        self.path, self.tokenizer = path, folder.tokenizer()
        self.runtime = open_runtime(folder, max_len=512, bits=32)
        self.prompts = [ids_of(self.tokenizer, place) for place in places()]
        end_id = self.tokenizer.end_id
        self.texts = [write(self.runtime, end_id, ids) for ids in self.prompts]

    def compare(self, theirs: Write) -> tuple[int, float]:
        """Return how many texts are the same, and the largest step by which we preferred our own.

        The step is a share of the largest score.
        """
        n_same, worst = 0, 0.0
        for ids, mine in zip(self.prompts, self.texts, strict=True):
            other = theirs(ids, mine)
            n_same += mine == other
            if mine != other:
                ends = [[*found, self.tokenizer.end_id] for found in (mine, other)]
                differ = [left != right for left, right in zip(*ends, strict=False)]
                at = differ.index(True)
                self.runtime.rewind(0)
                scores = self.runtime.append(ids + mine[:at])
                step = float(scores[ends[0][at]] - scores[ends[1][at]])
                worst = max(worst, step / float(np.abs(scores).max()))
        return n_same, worst


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """The folder that `foretype models export` makes, and our texts."""
    place = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FORETYPE_CACHE", str(place / "cache"))
        registry = Registry(place / "models")
        shutil.copytree(BUNDLED, place / "own")
        registry.export(added(registry, place / "own").name, place / "out")
        return Ours(place / "out")


def test_transformers_writes_the_same_text_from_the_same_prompt(ours: Ours) -> None:
    network = transformers.AutoModelForCausalLM.from_pretrained(ours.path, dtype=torch.float32)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(ours.path)
    assert len(places()) == N_PROMPTS
    end_id = ours.tokenizer.end_id

    def continued(ids: Sequence[int], mine: Sequence[int]) -> list[int]:
        """Return what is likeliest after each token of ours: as long as it is ours, the text."""
        with torch.no_grad():
            scores = network(torch.tensor([[*ids, *mine]])).logits[0, len(ids) - 1 :]
        found: list[int] = scores.argmax(-1).tolist()[:N_TOKENS]
        return found[: found.index(end_id)] if end_id in found else found

    for (path, before, behind), ids in zip(places(), ours.prompts, strict=True):
        text = f"<|file_sep|>{path}\n<|fim_prefix|><|fim_suffix|>{behind}<|fim_middle|>{before}"
        assert theirs(text)["input_ids"] == ids
    n_same, worst = ours.compare(continued)
    assert worst < 1e-4
    assert n_same >= N_PROMPTS - 1


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("f16", N_PROMPTS - 5, 0.002), ("q8_0", N_PROMPTS - 25, 0.02)]
)
def test_llama_cpp_writes_the_same_text(
    ours: Ours, tmp_path: Path, kind: MatrixType, least: int, most: float
) -> None:
    pytest.importorskip("ik_llama_cpp", reason="the extra `gguf` is not installed")
    export_gguf(load_folder(ours.path), tmp_path / "out.gguf", kind)
    found = load_model(tmp_path / "out.gguf")
    theirs = found.tokenizer()
    assert [ids_of(theirs, place) for place in places()] == ours.prompts
    other = open_runtime(found, max_len=512)
    n_same, worst = ours.compare(lambda ids, _: write(other, theirs.end_id, ids))
    assert worst < most
    assert n_same >= least
