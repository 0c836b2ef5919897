"""A model folder as a GGUF file: `python -m tests.benchmarks.gguf_export FOLDER FILE [KIND]`.

For measuring against llama.cpp and for testing with its server; KIND is f32 (the default), f16,
bf16 or q8_0. Runs in an interpreter that has `gguf` and numpy; imports nothing else of ours that
would need more. The vocabulary is the folder's own: text means the same ids there as here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, TokenType, quants
from numpy.typing import NDArray

from model.config import ModelConfig
from model.weights import WeightsFile

_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_ENDS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "bf16": LlamaFileType.MOSTLY_BF16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
}
_FIM_TOKENS = {
    gguf.Keys.Tokenizer.FIM_PRE_ID: "<|fim_prefix|>",
    gguf.Keys.Tokenizer.FIM_SUF_ID: "<|fim_suffix|>",
    gguf.Keys.Tokenizer.FIM_MID_ID: "<|fim_middle|>",
    gguf.Keys.Tokenizer.FIM_PAD_ID: "<|fim_pad|>",
    gguf.Keys.Tokenizer.FIM_REP_ID: "<|repo_name|>",
    gguf.Keys.Tokenizer.FIM_SEP_ID: "<|file_sep|>",
}
# The split patterns whose regular expression holds this, in the order in which they are told apart.
_PATTERN_MARKS = ((r"\p{N}{1,3}", "llama-bpe"), (r"[^\r\n\p{L}\p{N}]?\p{L}+", "qwen2"))


def main() -> int:
    folder, path = Path(sys.argv[1]), Path(sys.argv[2])
    write_gguf(folder, path, sys.argv[3] if len(sys.argv) > 3 else "f32")
    return 0


def write_gguf(folder: Path, path: Path, kind: str) -> None:
    """Write the model in `folder` to `path`, its matrices as `kind`."""
    config = ModelConfig.from_hf(json.loads((folder / "config.json").read_text()))
    info = json.loads((folder / "foretype.json").read_text())
    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_name(info["name"])
    writer.add_file_type(_FILE_TYPES[kind])
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_kv_head)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    _add_vocabulary(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
    weights = WeightsFile(folder / "model.safetensors", config)
    for name in weights.names():
        _add_tensor(writer, _gguf_name(name), weights.tensor(name), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, table: dict[str, Any]) -> None:
    special = {entry["content"]: entry["id"] for entry in table["added_tokens"]}
    ids = table["model"]["vocab"] | special
    tokens = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pattern_name(table))
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens]
    )
    writer.add_token_merges([" ".join(pair) for pair in table["model"]["merges"]])
    writer.add_bos_token_id(special["<|end|>"])
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(special["<|end|>"])
    for key, token in _FIM_TOKENS.items():
        writer.add_uint32(key, special[token])


def _pattern_name(table: dict[str, Any]) -> str:
    """Return llama.cpp's name of the split pattern."""
    parts = table["pre_tokenizer"]["pretokenizers"]
    pattern = next((part["pattern"]["Regex"] for part in parts if part["type"] == "Split"), "")
    named = (name for mark, name in _PATTERN_MARKS if mark in pattern)
    return next(named, "starcoder" if pattern.startswith(r"\p{N}|") else "gpt-2")


def _add_tensor(writer: gguf.GGUFWriter, name: str, tensor: NDArray[np.float32], kind: str) -> None:
    if kind == "f32" or tensor.ndim == 1:
        writer.add_tensor(name, tensor)
        return
    dtype = GGMLQuantizationType[kind.upper()]
    writer.add_tensor(name, quants.quantize(tensor, dtype), raw_dtype=dtype)


def _gguf_name(name: str) -> str:
    if name in _ENDS:
        return _ENDS[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[part]}.weight"


if __name__ == "__main__":
    sys.exit(main())
