"""Our folders are Hugging Face folders: other libraries load them and compute the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.folder import load_folder
from model.gpt import GPT
from tests.doubles import tiny_config, tiny_folder

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

TEXTS = [
    "def f(self):\n    return self.x\n",
    "<|fim_middle|>",
    "tabs\t\tand  spaces\r\n\r\n",
    "naïve 漢字 🦊 \u2028 \x00",
    "",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "config",
    [
        tiny_config(),
        tiny_config(qk_norm=False, qkv_bias=True),
        tiny_config(qk_norm=False, tie_embeddings=False, norm_eps=1e-5, rope_theta=10_000.0),
    ],
    ids=["qwen3", "qwen2", "llama"],
)
def test_transformers_computes_the_same_logits(tmp_path: Path, config: ModelConfig) -> None:
    path = tiny_folder(tmp_path, config=config)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, output_loading_info=True
    )
    assert theirs.config.eos_token_id == load_folder(path).tokenizer().end_id
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ours = GPT(config)
    ours.load_state_dict({k: torch.tensor(v) for k, v in load_folder(path).tensors().items()})
    idx = torch.from_numpy(np.random.default_rng(0).integers(0, config.vocab_size, (1, 100)))
    with torch.no_grad():
        difference = (theirs(idx).logits - ours(idx)).abs().max()
    assert float(difference) < 1e-4


def test_tokenizers_gives_the_same_ids(tmp_path: Path) -> None:
    path = tiny_folder(tmp_path)
    ours = load_folder(path).tokenizer()
    table = json.loads((path / "tokenizer.json").read_text())
    table["added_tokens"] = []  # their encode would turn a marker's text into the marker
    theirs = tokenizers.Tokenizer.from_str(json.dumps(table))
    for text in TEXTS:
        assert theirs.encode(text).ids == ours.encode(text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_auto_tokenizer_gives_the_same_ids(tmp_path: Path) -> None:
    path = tiny_folder(tmp_path)
    ours = load_folder(path).tokenizer()
    theirs = transformers.AutoTokenizer.from_pretrained(path)
    assert len(theirs) == ours.vocab_size
    for text in TEXTS:
        if "<|" not in text:
            assert theirs(text)["input_ids"] == ours.encode(text)
    assert theirs.convert_tokens_to_ids("<|fim_middle|>") == ours.special_id("<|fim_middle|>")
