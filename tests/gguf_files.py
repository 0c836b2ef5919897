"""Small GGUF files: a random network with a byte-level vocabulary, or what is no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.gguf_export import gguf_bytes
from model.tokenizer import alphabet_text

WIDTH, N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_WIDTH, HIDDEN = 64, 2, 4, 2, 16, 96
MERGES = (("d", "e"), ("de", "f"), ("r", "e"), ("re", "t"), ("i", "n"))
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def vocabulary(markers: Sequence[str] = ()) -> list[str]:
    """Return all bytes, a few merged tokens, an end and these markers."""
    single = [alphabet_text(bytes([byte])) for byte in range(256)]
    return [*single, *("".join(pair) for pair in MERGES), "<|endoftext|>", *markers]


def write_gguf(
    path: Path,
    *,
    markers: Sequence[str] = (),
    marker_kind: int = CONTROL,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    kind: str = "f32",
) -> Path:
    """Write a network of random weights; `changes` are other metadata (None: leave it out).

    The matrices of its layers are of a `kind` that `gguf_bytes` knows.
    """
    tokens = vocabulary(markers)
    n_text = 256 + len(MERGES)
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "Tiny",
        "general.license": "mit",
        "llama.context_length": 512,
        "llama.embedding_length": WIDTH,
        "llama.block_count": N_LAYERS,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": N_HEADS,
        "llama.attention.head_count_kv": N_KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": HEAD_WIDTH,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * n_text + [CONTROL] + [marker_kind] * len(markers),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in MERGES],
        "tokenizer.ggml.eos_token_id": n_text,
        "tokenizer.ggml.bos_token_id": n_text,
        "tokenizer.ggml.add_bos_token": False,
    }
    metadata |= changes or {}
    kept = {key: value for key, value in metadata.items() if value is not None}
    tensors = {
        name: (kind if tensor.ndim == 2 and name.startswith("blk.") else "f32", tensor)
        for name, tensor in _weights(len(tokens), seed).items()
    }
    path.write_bytes(gguf_bytes(kept, tensors))
    return path


def _weights(n_tokens: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    kv = N_KV_HEADS * HEAD_WIDTH
    shapes = {
        "attn_q": (WIDTH, WIDTH), "attn_k": (kv, WIDTH), "attn_v": (kv, WIDTH),
        "attn_output": (WIDTH, WIDTH), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }  # fmt: skip
    found = {"token_embd.weight": rng.standard_normal((n_tokens, WIDTH))}
    for layer in range(N_LAYERS):
        for name, shape in shapes.items():
            found[f"blk.{layer}.{name}.weight"] = rng.standard_normal(shape) / 8
        for name in ("attn_norm", "ffn_norm"):
            found[f"blk.{layer}.{name}.weight"] = np.ones(WIDTH)
    return found | {"output_norm.weight": np.ones(WIDTH)}
