"""Folders as others publish them: random networks of transformers, vocabularies of tokenizers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from model.tokenizer import PATTERNS

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

STAR = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<repo_name>"]
TEXT = Path(__file__).read_text(encoding="utf-8")
SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "eos_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "Llama": {"tie_word_embeddings": False, "rms_norm_eps": 1e-5},
    "Qwen2": {"tie_word_embeddings": True},
    "Qwen3": {"tie_word_embeddings": True, "head_dim": 16},
}


def split_by(name: str) -> Any:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS[name]), "isolated")
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return tokenizers.pre_tokenizers.Sequence([split, level])


def digits_apart() -> Any:
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizers.pre_tokenizers.Sequence([digits, level])


def trained(pre_tokenizer: Any, markers: list[str] = STAR) -> Any:
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = pre_tokenizer
    found.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", *markers],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    found.train_from_iterator([TEXT], trainer)
    return found


def folder_of(path: Path, family: str, tokenizer: Any, **changes: Any) -> Any:
    """Write a random network and a vocabulary; return the network."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=tokenizer.get_vocab_size() + 12, **SHAPE | FAMILIES[family] | changes
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    network.save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    return network
