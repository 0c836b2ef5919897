"""The rival for `bench_runtime`: llama.cpp on the weights of a model folder, written as GGUF.

Runs in an interpreter that has `llama_cpp`, `gguf` and numpy; imports nothing else of ours that
would need more. The vocabulary is made up: only ids are sent.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType, quants
from llama_cpp import llama_cpp as llama

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
}


def open_llama(
    folder: Path, kind: str, max_len: int
) -> Callable[[Sequence[int], int, bool], np.ndarray]:
    """Return append(ids, length to rewind to, all logits) on one thread."""
    config = ModelConfig.from_hf(json.loads((folder / "config.json").read_text()))
    path = folder.parent / f"{kind}.gguf"
    if not path.exists():
        _write_gguf(config, WeightsFile(folder / "model.safetensors", config), path, kind)
    context = _open_context(path, max_len)
    memory = llama.llama_get_memory(context)
    batch = llama.llama_batch_init(max_len, 0, 1)

    def append(ids: Sequence[int], length: int, all_logits: bool) -> np.ndarray:
        batch.n_tokens = len(ids)
        for i, id_ in enumerate(ids):
            batch.token[i], batch.pos[i] = id_, length + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = all_logits or i == len(ids) - 1
        llama.llama_memory_seq_rm(memory, 0, length, -1)
        if status := llama.llama_decode(context, batch):
            raise RuntimeError(f"llama_decode failed with status {status}")
        kept = range(len(ids)) if all_logits else [len(ids) - 1]
        rows = [llama.llama_get_logits_ith(context, i) for i in kept]
        return np.array([np.ctypeslib.as_array(row, shape=(config.vocab_size,)) for row in rows])

    return append


def _open_context(path: Path, max_len: int) -> ctypes.c_void_p:
    silent = llama.llama_log_callback(lambda level, text, user: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    _open_context.keep_alive = silent  # type: ignore[attr-defined]
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    settings = llama.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = max_len, 512, 512
    settings.n_threads, settings.n_threads_batch = 1, 1
    context = llama.llama_init_from_model(model, settings)
    if not model or not context:
        raise RuntimeError(f"llama.cpp cannot load {path}")
    return context


def _write_gguf(config: ModelConfig, weights: WeightsFile, path: Path, kind: str) -> None:
    writer = gguf.GGUFWriter(str(path), "qwen3")
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
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
    writer.add_token_types([gguf.TokenType.NORMAL] * config.vocab_size)
    writer.add_token_merges(["t 0"])
    for name in weights.names():
        _add_tensor(writer, _gguf_name(name), weights.tensor(name), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensor(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray, kind: str) -> None:
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
