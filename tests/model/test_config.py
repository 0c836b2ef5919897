"""Shapes of networks: ranges, foreign names, and strict tables."""

import dataclasses

import pytest

from model.config import PRESETS, ConfigError, ModelConfig, from_table

SHAPE = {
    "vocab_size": 512,
    "n_layer": 2,
    "n_head": 4,
    "n_kv_head": 2,
    "n_embd": 64,
    "n_inner": 128,
    "block_size": 64,
}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_survive_their_foreign_names(name: str) -> None:
    assert ModelConfig.from_hf(PRESETS[name].to_hf()) == PRESETS[name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 0}, r"n_layer must be a whole number in 1\.\.128, got 0"),
        ({"vocab_size": "9"}, "vocab_size must be a whole number"),
        ({"n_kv_head": 3}, "n_head 4 must be a multiple of n_kv_head 3"),
        ({"head_dim": 7}, "head_dim must be even"),
        ({"rope_theta": 0.5}, "rope_theta must be in"),
        ({"norm_eps": 1.0}, "norm_eps must be in"),
        ({"qkv_bias": True}, "exclude each other"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**(SHAPE | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model_type must be"),
        ({"hidden_act": "gelu"}, "hidden_act must be silu"),
        ({"attention_bias": True}, "attention_bias"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "scaled rotary positions"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2}}, "scaled rotary positions"),
        ({"hidden_size": None}, "hidden_size must be a whole number"),
        ({"rope_theta": "big"}, "rope_theta must be a number"),
    ],
)
def test_foreign_configs_we_cannot_express_are_named(
    changes: dict[str, object], message: str
) -> None:
    table = PRESETS["nano"].to_hf() | changes
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_hf(table)


def test_newer_transformers_keep_theta_in_rope_parameters() -> None:
    table = PRESETS["nano"].to_hf()
    theta = table.pop("rope_theta")
    table["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    assert ModelConfig.from_hf(table) == PRESETS["nano"]


def test_parameter_count_of_a_known_shape() -> None:
    config = ModelConfig(**SHAPE, head_dim=16)  # type: ignore[arg-type]
    attention = 64 * 64 * 2 + 64 * 32 * 2
    assert config.n_params_matrix == 2 * (attention + 3 * 64 * 128) + 512 * 64
    assert config.n_params == config.n_params_matrix + 2 * 2 * 64 + 64 + 2 * 2 * 16


def test_flops_are_six_a_parameter_and_the_attention() -> None:
    config = PRESETS["nano"]
    assert config.flops_per_token(0) == 6 * config.n_params_matrix
    assert config.flops_per_token(512) - config.flops_per_token(0) == 6 * 4 * 3 * 64 * 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    share: float = 0.5
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = dataclasses.field(default_factory=Inner)


def test_table_becomes_nested_dataclasses() -> None:
    table = {"name": "a", "inner": {"share": 1, "names": ["x"]}}
    assert from_table(Outer, table) == Outer(name="a", inner=Inner(share=1.0, names=("x",)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "a", "inner": {"shar": 1}}, r"unknown setting inner\.shar; known: names, share"),
        ({"name": 1}, "name must be a text, got 1"),
        ({"name": "a", "inner": 3}, "inner must be a table"),
        ({"name": "a", "inner": {"names": "x"}}, r"inner\.names must be a list of strings"),
        ({}, "^name is missing$"),
    ],
)
def test_table_mistakes_name_the_key(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(Outer, table)
