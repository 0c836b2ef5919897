"""What is exported as GGUF is the same network to llama.cpp, with the same vocabulary."""

import struct
from pathlib import Path

import numpy as np
import pytest

from model.config import ModelConfig
from model.folder import ModelFolderError, load_folder
from model.foreign import GgufModel, load_model
from model.gguf_export import MatrixType, export_gguf
from model.runtime import open_runtime
from tests.doubles import tiny_config, tiny_folder

pytest.importorskip("ik_llama_cpp", reason="the extra `gguf` is not installed")
WIDE = {"n_embd": 64, "n_inner": 96, "n_head": 4, "n_kv_head": 2, "head_dim": 16}
FAMILIES = {
    "qwen3": tiny_config(**WIDE),
    "qwen2": tiny_config(**WIDE, qk_norm=False, qkv_bias=True),
    "llama": tiny_config(**WIDE, qk_norm=False, tie_embeddings=False, rope_theta=10_000.0),
}
TEXTS = ["def f(self):\n    return self.x\n", "<|fim_middle|>", "naïve 漢字 🦊 \u2028", "\t\r\n  x"]


@pytest.mark.slow
@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize(("kind", "most"), [("f16", 0.01), ("q8_0", 0.1)])
def test_is_the_same_network(
    tmp_path: Path, config: ModelConfig, kind: MatrixType, most: float
) -> None:
    folder = load_folder(tiny_folder(tmp_path, config=config))
    out = tmp_path / "out.gguf"
    export_gguf(folder, out, kind)
    kinds_as_int32 = b"tokenizer.ggml.token_type" + struct.pack("<II", 9, 5)
    assert kinds_as_int32 in out.read_bytes()  # 2026-11-30: of uint32 llama.cpp refuses them
    found = load_model(out)
    assert isinstance(found, GgufModel)
    assert (found.family, found.info.fim_layout) == ("foretype", "spm")
    ids = np.random.default_rng(0).integers(0, config.vocab_size, 60).tolist()
    expected = open_runtime(folder, max_len=64, bits=32).append(ids, all_logits=True)
    ours = open_runtime(found, max_len=64).append(ids, all_logits=True)
    assert np.abs(ours - expected).max() < most * np.abs(expected).max()
    before, after = folder.tokenizer(), found.tokenizer()
    for text in TEXTS:
        assert after.encode(text) == before.encode(text)
    assert after.end_id == before.end_id
    for name in ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>"):
        assert after.special_id(name) == before.special_id(name)


def test_replaces_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"mine")
    with pytest.raises(ModelFolderError, match="is there already"):
        export_gguf(load_folder(tiny_folder(tmp_path)), out)
    assert out.read_bytes() == b"mine"
