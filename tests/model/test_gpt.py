"""The torch network: its cache, its heads, its names and its sizes."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from model.config import PRESETS, ModelConfig  # noqa: E402  (only where torch is)
from model.gpt import GPT, QUERY_BLOCK, KVCache, causal_attention  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=256,
    n_layer=2,
    n_head=4,
    n_kv_head=2,
    n_embd=16,
    n_inner=24,
    head_dim=8,
    block_size=32,
)
TOLERANCE = 1e-10  # float64


def network(config: ModelConfig = CONFIG) -> GPT:
    """Return a network whose every weight matters: none is left at zero or one."""
    torch.manual_seed(0)
    made = GPT(config).double().requires_grad_(requires_grad=False)
    for parameter in made.parameters():
        parameter += 0.3 * torch.randn_like(parameter)
    return made


def some_ids(n_rows: int, n_tokens: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n_rows + 100 * n_tokens)
    return torch.randint(0, CONFIG.vocab_size, (n_rows, n_tokens), generator=generator)


def new_cache() -> KVCache:
    return KVCache(CONFIG, max_len=32, dtype=torch.float64)


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_cached_steps_equal_the_full_forward() -> None:
    model, idx, cache = network(), some_ids(1, 9), new_cache()
    parts = [model(idx[:, start:end], cache) for start, end in ((0, 4), (4, 5), (5, 9))]
    assert cache.length == 9
    assert_close(torch.cat(parts, dim=1), model(idx))


def test_rewind_forgets_later_tokens() -> None:
    model, idx, cache = network(), some_ids(1, 8), new_cache()
    model(idx[:, :5], cache)
    model(some_ids(1, 6), cache)
    cache.length = 5
    assert_close(model(idx[:, 5:], cache), model(idx)[:, 5:])


def test_later_tokens_do_not_change_earlier_logits() -> None:
    model, idx = network(), some_ids(1, 8)
    changed = idx.clone()
    changed[0, 5] = (changed[0, 5] + 1) % CONFIG.vocab_size
    before, after = model(idx), model(changed)
    assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().amax(-1).min() > 1e-6


def test_rows_of_a_batch_are_independent() -> None:
    model, idx = network(), some_ids(3, 7)
    alone = torch.cat([model(row[None]) for row in idx])
    assert_close(model(idx), alone)


def test_kv_head_serves_its_neighbouring_query_heads() -> None:
    grouped = network()
    full = GPT(dataclasses.replace(CONFIG, n_kv_head=CONFIG.n_head)).double()
    group, tensors = CONFIG.n_head // CONFIG.n_kv_head, grouped.state_dict()
    for name, tensor in tensors.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            heads = tensor.view(CONFIG.n_kv_head, CONFIG.head_dim, -1)
            tensors[name] = torch.cat([heads[h // group] for h in range(CONFIG.n_head)])
    full.load_state_dict(tensors)
    assert_close(full(some_ids(2, 6)), grouped(some_ids(2, 6)))


@pytest.mark.parametrize("n_query", [1, QUERY_BLOCK, QUERY_BLOCK + 3, 520])
@pytest.mark.parametrize("n_past", [0, 5])
def test_attention_in_blocks_equals_attention_at_once(n_query: int, n_past: int) -> None:
    torch.manual_seed(n_query)
    q = torch.randn(1, 2, n_query, 8, dtype=torch.float64)
    k, v = torch.randn(2, 1, 2, n_past + n_query, 8, dtype=torch.float64)
    scores = q @ k.transpose(-1, -2) / 8**0.5
    hidden = torch.ones(n_query, n_past + n_query, dtype=torch.bool).triu(n_past + 1)
    expected = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
    assert_close(causal_attention(q, k, v), expected)


def expected_names(config: ModelConfig) -> set[str]:
    parts = ["input_layernorm.weight", "post_attention_layernorm.weight"]
    parts += [f"self_attn.{name}_proj.weight" for name in "qkvo"]
    parts += [f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")]
    parts += [f"self_attn.{name}_norm.weight" for name in "qk" if config.qk_norm]
    parts += [f"self_attn.{name}_proj.bias" for name in "qkv" if config.qkv_bias]
    names = {f"model.layers.{i}.{part}" for i in range(config.n_layer) for part in parts}
    names |= {"model.embed_tokens.weight", "model.norm.weight"}
    return names if config.tie_embeddings else names | {"lm_head.weight"}


VARIANTS = {
    "qwen3": CONFIG,
    "untied": dataclasses.replace(CONFIG, tie_embeddings=False),
    "qwen2": dataclasses.replace(CONFIG, qk_norm=False, qkv_bias=True),
    "llama": dataclasses.replace(CONFIG, qk_norm=False),
}


@pytest.mark.parametrize("family", VARIANTS)
def test_state_dict_has_the_checkpoint_names(family: str) -> None:
    config = VARIANTS[family]
    model = GPT(config)
    assert set(model.state_dict()) == expected_names(config)
    assert sum(tensor.numel() for tensor in model.parameters()) == config.n_params


@pytest.mark.parametrize("family", VARIANTS)
def test_cache_agrees_in_every_family(family: str) -> None:
    model, idx, cache = network(VARIANTS[family]), some_ids(1, 7), new_cache()
    steps = [model(idx[:, i : i + 1], cache) for i in range(7)]
    assert_close(torch.cat(steps, dim=1), model(idx))


def test_linear_weights_are_out_by_in() -> None:
    tensors = GPT(CONFIG).state_dict()
    shapes = {name.removeprefix("model.layers.0."): tuple(t.shape) for name, t in tensors.items()}
    assert shapes["self_attn.q_proj.weight"] == (32, 16)
    assert shapes["self_attn.k_proj.weight"] == (16, 16)
    assert shapes["self_attn.o_proj.weight"] == (16, 32)
    assert shapes["mlp.down_proj.weight"] == (16, 24)
    assert shapes["self_attn.q_norm.weight"] == (8,)
    assert shapes["model.embed_tokens.weight"] == (256, 16)


def test_activations_take_the_dtype_asked_for() -> None:
    model = GPT(CONFIG, dtype=torch.bfloat16)
    assert model(some_ids(2, 3)).dtype is torch.bfloat16
    assert model(some_ids(2, 3)).shape == (2, 3, 256)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("preset", "low", "high"),
    [
        ("xs", 5.5e6, 8e6),
        ("s", 16e6, 19e6),
        ("m", 95e6, 125e6),
        ("l", 300e6, 400e6),
        ("xl", 0.9e9, 1.25e9),
    ],
)
def test_preset_has_its_promised_size(preset: str, low: float, high: float) -> None:
    config = PRESETS[preset]
    with torch.device("meta"):
        n_params = sum(parameter.numel() for parameter in GPT(config).parameters())
    assert n_params == config.n_params
    assert low <= n_params <= high


@pytest.mark.parametrize("n_past", [0, 5])
def test_blocked_attention_has_the_gradients_of_the_plain_one(n_past: int) -> None:
    n_query = QUERY_BLOCK + 9
    shapes = [(2, 4, n_query, 8), (2, 2, n_query + n_past, 8), (2, 2, n_query + n_past, 8)]
    rounded = [torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for shape in shapes]
    exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
    weight = torch.randn(2, 4, n_query, 8)
    for tensors in (rounded, exact):  # fp64 takes the plain path
        (causal_attention(*tensors) * weight.to(tensors[0].dtype)).sum().backward()
    for ours, theirs in zip(rounded, exact, strict=True):
        assert (ours.grad - theirs.grad).norm() < 0.02 * theirs.grad.norm()
