"""Write a model folder as a GGUF file, for llama.cpp and whatever is built on it.

The matrices in half precision (f16) or in 8 bits (q8_0, a scale for each 32 values), all else in
float32. In memory: it is for models that are tuned here. Knows both formats, and no runtime.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.files import parse_json, read_regular
from model.folder import ModelFolder, ModelFolderError
from model.publish import write_atomically
from model.tokenizer import MAX_FILE_BYTES

MatrixType = Literal["f16", "q8_0"]

ALIGNMENT = 32
_BLOCK = 32  # values of q8_0 that share a scale
_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
_FILE_TYPES = {"f16": 1, "q8_0": 7}
_NORMAL, _CONTROL = 1, 3  # kinds of tokens
_U32, _I32, _F32, _BOOL, _TEXT, _ARRAY = 4, 5, 6, 7, 8, 9
_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "embed_tokens": "token_embd", "norm": "output_norm",
    "lm_head": "output",
}  # fmt: skip


def export_gguf(folder: ModelFolder, out: Path, kind: MatrixType = "f16") -> None:
    """Write the file, whole or not at all; ModelFolderError if there is one already."""
    if out.exists():
        raise ModelFolderError(f"{out} is there already; name a file that is not")
    tensors: dict[str, tuple[str, NDArray[Any]]] = {}
    for name, values in folder.tensors().items():
        if folder.config.to_hf()["model_type"] == "llama":
            values = _interleaved(name, values, folder.config)
        is_matrix = values.ndim == 2
        tensors[_rename(name)] = (kind, values) if is_matrix else ("f32", values)
    metadata = _metadata(folder) | {"general.file_type": _FILE_TYPES[kind]}
    write_atomically(out, gguf_bytes(metadata, tensors))


def gguf_bytes(
    metadata: Mapping[str, Any], tensors: Mapping[str, tuple[str, NDArray[Any]]]
) -> bytes:
    """Return a file; tensors by name, each with its type."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        kind, data = _value(value)
        head += [_text(key), struct.pack("<I", kind), data]
    body, offset = [], 0
    for name, (kind_name, values) in tensors.items():
        shape = values.shape[::-1]
        place = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _TYPES[kind_name], offset)
        head += [_text(name), place]
        data = _packed(kind_name, values)
        body.append(data + bytes(-len(data) % ALIGNMENT))
        offset += len(body[-1])
    start = b"".join(head)
    return start + bytes(-len(start) % ALIGNMENT) + b"".join(body)


def _metadata(folder: ModelFolder) -> dict[str, Any]:
    config, info = folder.config, folder.info
    family = config.to_hf()["model_type"]
    tokenizer = folder.tokenizer()
    table = parse_json(read_regular(folder.path / "tokenizer.json", MAX_FILE_BYTES))
    added = {entry["id"]: entry["content"] for entry in table["added_tokens"]}
    names = {id_: text for text, id_ in table["model"]["vocab"].items()} | added
    merges = table["model"]["merges"]
    unused = range(tokenizer.vocab_size, config.vocab_size)
    return {
        "general.architecture": family,
        "general.name": info.name,
        "general.license": info.licence,
        f"{family}.context_length": config.block_size,
        f"{family}.embedding_length": config.n_embd,
        f"{family}.block_count": config.n_layer,
        f"{family}.feed_forward_length": config.n_inner,
        f"{family}.attention.head_count": config.n_head,
        f"{family}.attention.head_count_kv": config.n_kv_head,
        f"{family}.attention.key_length": config.head_dim,
        f"{family}.attention.value_length": config.head_dim,
        f"{family}.attention.layer_norm_rms_epsilon": config.norm_eps,
        f"{family}.rope.freq_base": config.rope_theta,
        f"{family}.rope.dimension_count": config.head_dim,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": tokenizer.pattern_name,
        "tokenizer.ggml.tokens": [names.get(id_, f"<|unused_{id_}|>")
                                  for id_ in range(config.vocab_size)],
        "tokenizer.ggml.token_type": [
            _CONTROL if id_ in added or id_ in unused else _NORMAL
            for id_ in range(config.vocab_size)
        ],
        "tokenizer.ggml.merges": [
            pair if isinstance(pair, str) else " ".join(pair) for pair in merges
        ],
        "tokenizer.ggml.eos_token_id": tokenizer.end_id,
        "tokenizer.ggml.bos_token_id": tokenizer.end_id,
        "tokenizer.ggml.add_bos_token": False,
    }  # fmt: skip


def _rename(name: str) -> str:
    """Return llama.cpp's name of a tensor."""
    stem, _, ending = name.removeprefix("model.").rpartition(".")
    if stem.startswith("layers."):
        _, layer, rest = stem.split(".", 2)
        return f"blk.{layer}.{_NAMES[rest]}.{ending}"
    return f"{_NAMES[stem]}.{ending}"


def _interleaved(
    name: str, values: NDArray[np.float32], config: ModelConfig
) -> NDArray[np.float32]:
    """Order the rows of queries and keys as llama.cpp rotates this family: pairs side by side."""
    heads = {"q_proj": config.n_head, "k_proj": config.n_kv_head}
    n_heads = next((n for part, n in heads.items() if part in name), 0)
    if not n_heads:
        return values
    parts = values.reshape(n_heads, 2, config.head_dim // 2, *values.shape[1:])
    return parts.swapaxes(1, 2).reshape(values.shape)


def _packed(kind: str, values: NDArray[Any]) -> bytes:
    if kind == "q8_0":
        if values.shape[-1] % _BLOCK:
            raise ModelFolderError("its matrices have no whole blocks of 32: export it as f16")
        blocks = values.astype(np.float32).reshape(-1, _BLOCK)
        scales = np.abs(blocks).max(1, keepdims=True) / 127
        whole = np.round(blocks / np.where(scales == 0, 1, scales)).astype(np.int8)
        halves = scales.astype("<f2").view(np.uint8)
        return np.concatenate([halves, whole.view(np.uint8)], axis=1).tobytes()
    return values.astype("<f2" if kind == "f16" else "<f4").tobytes()


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
    kind = _value(value[0])[0] if value else _TEXT
    kind = _I32 if kind == _U32 else kind  # what llama.cpp wants of arrays; its fork takes either
    items = b"".join(_value(item)[1] for item in value)
    return _ARRAY, struct.pack("<IQ", kind, len(value)) + items
