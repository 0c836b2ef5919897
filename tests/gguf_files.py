"""Small GGUF files: a random network with a byte-level vocabulary, or what is no network."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.tokenizer import _to_text

WIDTH, N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_WIDTH, HIDDEN = 64, 2, 4, 2, 16, 96
MERGES = (("d", "e"), ("de", "f"), ("r", "e"), ("re", "t"), ("i", "n"))
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
_U32, _F32, _BOOL, _TEXT, _ARRAY = 4, 6, 7, 8, 9


def vocabulary(markers: Sequence[str] = ()) -> list[str]:
    """Return all bytes, a few merged tokens, an end and these markers."""
    single = [_to_text(bytes([byte])) for byte in range(256)]
    return [*single, *("".join(pair) for pair in MERGES), "<|endoftext|>", *markers]


def write_gguf(
    path: Path,
    *,
    markers: Sequence[str] = (),
    marker_kind: int = CONTROL,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a network of random weights; `changes` are other metadata (None: leave it out)."""
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
    path.write_bytes(gguf_bytes(metadata, _weights(len(tokens), seed)))
    return path


def gguf_bytes(metadata: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return a file with float32 tensors."""
    kept = {key: value for key, value in metadata.items() if value is not None}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(kept))
    for key, value in kept.items():
        kind, data = _value(value)
        head += _text(key) + struct.pack("<I", kind) + data
    offset, body = 0, b""
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        data = tensor.astype(np.float32).tobytes()
        body += data + bytes(-len(data) % 32)
        offset = len(body)
    return head + bytes(-len(head) % 32) + body


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


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return _U32, struct.pack("<I", value)
    if isinstance(value, float):
        return _F32, struct.pack("<f", value)
    if isinstance(value, str):
        return _TEXT, _text(value)
    kind = _value(value[0])[0]
    items = b"".join(_value(item)[1] for item in value)
    return _ARRAY, struct.pack("<IQ", kind, len(value)) + items
