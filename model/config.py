"""The shape of a network, its presets, and strict loading of tables into dataclasses.

Knows names and ranges, not tensors. Foreign (Hugging Face) names appear only in `to_hf` and
`from_hf`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

# Upper bounds keep a hostile config.json from asking for absurd allocations.
_RANGES: dict[str, tuple[int, int]] = {
    "vocab_size": (256, 300_000),
    "n_layer": (1, 128),
    "n_head": (1, 256),
    "n_kv_head": (1, 256),
    "n_embd": (8, 16_384),
    "n_inner": (8, 65_536),
    "head_dim": (2, 512),
    "block_size": (8, 131_072),
}

# Hugging Face's names of ours, in the order of their files.
_HF_NAMES = {
    "vocab_size": "vocab_size",
    "n_embd": "hidden_size",
    "n_inner": "intermediate_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_kv_head": "num_key_value_heads",
    "head_dim": "head_dim",
    "block_size": "max_position_embeddings",
}


class ConfigError(ValueError):
    """A setting or model config is wrong; the message names the key and what is allowed."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Shape of a decoder-only transformer of the Qwen3/Qwen2/Llama family."""

    vocab_size: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    n_inner: int  # width inside the SwiGLU
    block_size: int  # tokens of context seen in training
    head_dim: int = 64
    rope_theta: float = 100_000.0
    norm_eps: float = 1e-6
    qk_norm: bool = True  # Qwen3: RMSNorm with gain on each query and key head, before RoPE
    qkv_bias: bool = False  # Qwen2
    tie_embeddings: bool = True  # the head is the embedding table

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{name} must be a whole number in {low}..{high}, got {value!r}")
        if self.n_head % self.n_kv_head:
            raise ConfigError(
                f"n_head {self.n_head} must be a multiple of n_kv_head {self.n_kv_head}"
            )
        if self.head_dim % 2:
            raise ConfigError(f"head_dim must be even (rotary pairs), got {self.head_dim}")
        if not 1.0 < self.rope_theta <= 1e9:
            raise ConfigError(f"rope_theta must be in 1..1e9, got {self.rope_theta!r}")
        if not 0.0 < self.norm_eps < 0.1:
            raise ConfigError(f"norm_eps must be in 0..0.1, got {self.norm_eps!r}")
        if self.qk_norm and self.qkv_bias:
            raise ConfigError("qk_norm and qkv_bias exclude each other: no known family has both")

    @property
    def n_params_matrix(self) -> int:
        """Parameters in the blocks' matrices plus the head: each costs 6 FLOPs a trained token."""
        attention = self.n_embd * self.head_dim * (2 * self.n_head + 2 * self.n_kv_head)
        return (
            self.n_layer * (attention + 3 * self.n_embd * self.n_inner)
            + self.vocab_size * self.n_embd
        )

    @property
    def n_params(self) -> int:
        """All parameters."""
        norms = self.n_layer * 2 * self.n_embd + self.n_embd
        norms += self.n_layer * 2 * self.head_dim if self.qk_norm else 0
        biases = self.n_layer * self.head_dim * (self.n_head + 2 * self.n_kv_head)
        untied = 0 if self.tie_embeddings else self.vocab_size * self.n_embd
        return self.n_params_matrix + norms + untied + (biases if self.qkv_bias else 0)

    def flops_per_token(self, n_context: int) -> float:
        """Training FLOPs a token at context T: 6 x matrices + 6 x L x H x D x T (attention)."""
        return (
            6.0 * self.n_params_matrix
            + 6.0 * self.n_layer * self.n_head * self.head_dim * n_context
        )

    def to_hf(self) -> dict[str, Any]:
        """Return the `config.json` that transformers, vLLM and converters read."""
        family = "qwen3" if self.qk_norm else "qwen2" if self.qkv_bias else "llama"
        name = {"qwen3": "Qwen3", "qwen2": "Qwen2", "llama": "Llama"}[family]
        table: dict[str, Any] = {
            "architectures": [f"{name}ForCausalLM"],
            "model_type": family,
            **{theirs: getattr(self, ours) for ours, theirs in _HF_NAMES.items()},
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "tie_word_embeddings": self.tie_embeddings,
            "torch_dtype": "bfloat16",
        }
        if family != "qwen2":  # Qwen2 has its bias built in and knows no such key
            table["attention_bias"] = False
        return table

    @classmethod
    def from_hf(cls, table: Mapping[str, Any]) -> ModelConfig:
        """Read a `config.json` of the three families; ConfigError names what it cannot express."""
        family = table.get("model_type")
        if family not in ("qwen3", "qwen2", "llama"):
            raise ConfigError(
                f"config.json: model_type must be qwen3, qwen2 or llama, got {family!r}"
            )
        if table.get("hidden_act", "silu") != "silu":
            raise ConfigError(f"config.json: hidden_act must be silu, got {table['hidden_act']!r}")
        if table.get("attention_bias") or table.get("mlp_bias"):
            raise ConfigError(
                "config.json: attention_bias and mlp_bias are not supported; use false"
            )
        kinds = table.get("layer_types") or []
        if table.get("use_sliding_window") or set(kinds) - {"full_attention"}:
            raise ConfigError("config.json: attention over a sliding window is not supported")
        n_head = _whole(table, "num_attention_heads")
        n_embd = _whole(table, "hidden_size")
        rope = table.get("rope_parameters") or {}
        scaling = table.get("rope_scaling") or (
            rope if rope.get("rope_type") != "default" else None
        )
        if scaling:
            raise ConfigError(
                f"config.json: scaled rotary positions are not supported: {scaling!r}"
            )
        given = {"n_kv_head": n_head, "head_dim": n_embd // max(n_head, 1)}
        return cls(
            **{ours: _whole(table, name, given.get(ours)) for ours, name in _HF_NAMES.items()},
            rope_theta=_number(table, "rope_theta", _number(rope, "rope_theta", 10_000.0)),
            norm_eps=_number(table, "rms_norm_eps", 1e-6),
            qk_norm=family == "qwen3",
            qkv_bias=family == "qwen2",
            tie_embeddings=bool(table.get("tie_word_embeddings", False)),
        )


def _whole(table: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = table.get(key, default)
    if type(value) is not int:
        raise ConfigError(f"config.json: {key} must be a whole number, got {value!r}")
    return value


def _number(table: Mapping[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    if type(value) not in (int, float):
        raise ConfigError(f"config.json: {key} must be a number, got {value!r}")
    return float(value)


def _preset(
    n_embd: int, n_layer: int, n_head: int, n_kv_head: int, n_inner: int, **rest: Any
) -> ModelConfig:
    shape: dict[str, Any] = {"vocab_size": 16_384, "block_size": 1_024} | rest
    return ModelConfig(
        n_embd=n_embd, n_layer=n_layer, n_head=n_head, n_kv_head=n_kv_head, n_inner=n_inner, **shape
    )


# `s` and smaller train on a CPU in hours, `60m` and larger on GPUs. The last three are shapes of
# published models.
PRESETS: dict[str, ModelConfig] = {
    "pico": _preset(128, 4, 2, 1, 352, vocab_size=2_048, block_size=256),
    "nano": _preset(192, 4, 3, 1, 512, vocab_size=8_192, block_size=512),
    "xs": _preset(256, 6, 4, 2, 704, vocab_size=8_192, block_size=512),
    "s": _preset(384, 8, 6, 2, 1_024),
    "60m": _preset(640, 12, 5, 1, 2_048, vocab_size=4_096, head_dim=128),
    "m": _preset(768, 12, 12, 4, 2_048, vocab_size=32_768, block_size=2_048),
    "l": _preset(1_024, 24, 16, 4, 2_816, vocab_size=32_768, block_size=2_048),
    "xl": _preset(1_792, 28, 14, 2, 4_864, vocab_size=49_152, block_size=4_096, head_dim=128),
    "qwen2.5-coder-0.5b": _preset(
        896, 24, 14, 2, 4_864, vocab_size=151_936, block_size=32_768,
        rope_theta=1e6, qk_norm=False, qkv_bias=True,
    ),
    "qwen2.5-coder-1.5b": _preset(
        1_536, 28, 12, 2, 8_960, vocab_size=151_936, block_size=32_768, head_dim=128,
        rope_theta=1e6, qk_norm=False, qkv_bias=True,
    ),
    "smollm2-135m": _preset(
        576, 30, 9, 3, 1_536, vocab_size=49_152, block_size=8_192, norm_eps=1e-5, qk_norm=False
    ),
}  # fmt: skip


_IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def from_table(cls: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Build dataclass `cls` from a TOML table, naming the full key in every error."""
    hints = get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(table.keys() - known):
        raise ConfigError(f"unknown setting {where}{unknown[0]}; known: {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, value in table.items():
        values[name] = _cast(hints[name], value, where + name)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        is_needed = field.default is field.default_factory is dataclasses.MISSING
        if is_needed and field.name not in values:
            raise ConfigError(f"{where}{field.name} is missing")
    return cls(**values)


def _cast(kind: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} must be a table")
        return from_table(kind, value, f"{key}.")
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ConfigError(f"{key} must be one of {', '.join(get_args(kind))}, got {value!r}")
    if kind is float and type(value) is int and abs(value) < 1 << 1023:  # larger ones overflow
        return float(value)
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{key} must be a list of strings, got {value!r}")
        return tuple(value)
    if get_args(kind)[1:] == (...,):  # a tuple of dataclasses: an array of tables
        if not isinstance(value, list):
            raise ConfigError(f"{key} must be an array of tables")
        return tuple(_cast(get_args(kind)[0], item, f"{key}.{i}") for i, item in enumerate(value))
    if isinstance(kind, type) and type(value) is not kind:
        wanted = _IN_WORDS.get(kind, kind.__name__)
        raise ConfigError(f"{key} must be {wanted}, got {value!r:.80}")
    return value
