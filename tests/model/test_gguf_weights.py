"""Real weights, named by FORETYPE_TEST_GGUF (several: with os.pathsep): never part of this project.

Written with SmolLM2-135M-Instruct (Q4_1) and Gemma 3 270M (Q4_K_M), both to be had in packages.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.generate.backend import open_backend
from assistant.request import Cancel, CompletionRequest
from model.foreign import load_model
from model.healing import encode_again
from model.runtime import Runtime, open_runtime

FILES = [Path(name) for name in os.environ.get("FORETYPE_TEST_GGUF", "").split(os.pathsep) if name]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason="FORETYPE_TEST_GGUF names no file"),
]
MEAN = 'def mean(values):\n    """Return the mean."""\n    return sum(values) / len('


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_known_line_is_written_and_a_tree_is_exact(file: Path) -> None:
    model = load_model(file)
    runtime = open_runtime(model, max_len=256)
    tokenizer = model.tokenizer()
    best = int(runtime.append([*tokenizer.start_ids, *tokenizer.encode(MEAN)]).argmax())
    assert tokenizer.decode_bytes([best]) == b"values"
    ids, parents = [500, 600, 700, 800], [-1, 0, 0, -1]
    expected = Runtime._tree(runtime, np.array(ids), parents)
    assert np.allclose(runtime.tree(ids, parents), expected, atol=1e-3)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_many_tokens_at_once_are_scored_as_one_by_one(file: Path) -> None:
    """Regression, 2026-11-30: the binding's products of Q4_1 are wrong from 32 tokens on."""
    model = load_model(file)
    runtime = open_runtime(model, max_len=256)
    text = Path(__file__).read_text(encoding="utf-8")
    ids = [*model.tokenizer().start_ids, *model.tokenizer().encode(text)][:100]
    together = runtime.append(ids, all_logits=True)
    runtime.rewind(0)
    apart = np.stack([runtime.append([id_]) for id_ in ids])

    def nats(logits: Any) -> float:
        shifted = logits[:-1].astype(np.float64) - logits[:-1].max(-1, keepdims=True)
        chosen = shifted[range(len(ids) - 1), ids[1:]]
        return float((np.log(np.exp(shifted).sum(-1)) - chosen).mean())

    assert nats(together) == pytest.approx(nats(apart), rel=0.02)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_text_is_encoded_whole_or_in_pieces(file: Path) -> None:
    tokenizer = load_model(file).tokenizer()
    text = Path(__file__).read_text(encoding="utf-8") + "déjà vu ☃ \t\r\n\n    x<|im_end|><eos>\n"
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert encode_again(tokenizer, text) == ids
    assert not any(map(tokenizer.is_special, ids))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_word_is_healed(file: Path) -> None:
    backend = open_backend(str(file), threads=1)
    text = MEAN + "val"
    request = CompletionRequest(path="a.py", text=text, offset=len(text), deadline_ms=60_000)
    job = backend.prepare(request, max_new_tokens=8, deadline=float("inf"), cancel=Cancel())
    (draft,) = backend.drafts(job)
    assert "".join(draft.pieces).startswith("ues)")
