"""Small real things for tests: tiny models and what stands in for slow or remote parts."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.folder import FolderInfo, save_folder
from model.tokenizer import SPECIAL_TOKENS
from model.weights import tensor_shapes
from training.data.train_tokenizer import tokenizer_json


def tiny_config(**changes: object) -> ModelConfig:
    """Two layers of width 64 over the vocabulary of `tiny_tokenizer_json`."""
    shape: dict[str, object] = {
        "vocab_size": 256 + len(_tiny_merges()) + len(SPECIAL_TOKENS),
        "n_layer": 2, "n_head": 4, "n_kv_head": 2, "n_embd": 64, "n_inner": 160,
        "head_dim": 16, "block_size": 256,
    }  # fmt: skip
    return ModelConfig(**(shape | changes))  # type: ignore[arg-type]


def _tiny_merges() -> list[tuple[bytes, bytes]]:
    """Merges in rank order whose parts exist before they are needed."""
    pairs = ["  ", "de", "re", "se", "lf", " =", "in", "\n "]
    merges = [(pair[:1].encode(), pair[1:].encode()) for pair in pairs]
    return [
        *merges,
        (b"  ", b"  "),
        (b"de", b"f"),
        (b"re", b"t"),
        (b"se", b"lf"),
        (b"    ", b"    "),
    ]


def tiny_tokenizer_json(pattern_name: str = "gpt-2") -> str:
    """The 256 bytes, a few merges and the special tokens."""
    merges = _tiny_merges()
    ranks = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return tokenizer_json(ranks, merges, pattern_name)


def random_tensors(config: ModelConfig, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random weights of a size that keeps logits lively; gains around one."""
    dice = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        values = dice.standard_normal(shape, dtype=np.float32)
        is_gain = name.endswith("norm.weight")
        tensors[name] = 1 + 0.2 * values if is_gain else values * np.float32(shape[-1] ** -0.5)
    return tensors


def tiny_info(block_size: int = 256, name: str = "tiny") -> FolderInfo:
    """Return what the folder of a tiny model says."""
    return FolderInfo(
        name=name, block_size=block_size, suffix_tokens=32, snippet_tokens=32,
        languages=("python",), licence="MIT",
    )  # fmt: skip


def names_in(path: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(entry.name for entry in path.iterdir())


def tiny_folder(
    tmp_path: Path, *, name: str = "tiny", seed: int = 0, config: ModelConfig | None = None
) -> Path:
    """Write a model folder of random weights under `tmp_path` and return it."""
    config = config or tiny_config()
    info = tiny_info(config.block_size, name)
    path = tmp_path / name
    save_folder(
        path, config=config, tensors=random_tensors(config, seed),
        tokenizer_json=tiny_tokenizer_json(), info=info, card="# tiny\n\nRandom weights.\n",
    )  # fmt: skip
    return path
