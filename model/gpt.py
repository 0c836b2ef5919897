"""The network: a decoder-only transformer of the Qwen3 family, in torch.

Parameter names are Hugging Face's, so a state dict *is* a checkpoint. Knows ids and logits, no
text.

Shapes: B batch, T tokens in this call, S tokens in the cache including this call, C n_embd, H
n_head, K n_kv_head, D head_dim, V vocab_size, L n_layer.
"""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.folder import ModelFolder

# In bf16 on a CPU, queries are taken this many at a time, each block seeing only keys up to its
# end: about half the work of a full square, and faster than torch's own CPU kernel. In fp32 the
# kernel is as fast (docs/experiments.md has both measurements).
QUERY_BLOCK = 256
MAX_BLOCKED_QUERIES = 1_024


class KVCache:
    """Fixed key/value buffers of one sequence; setting `length` rewinds it.

    Knows positions, not tokens: what was cached is the caller's business.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        max_len: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.n_layer, 1, config.n_kv_head, max_len, config.head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)  # (L, 1, K, S_max, D)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    def store(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new keys and values (B, K, T, D) after the cached ones; return all S of them."""
        end = self.length + k.size(2)
        self.k[layer, :, :, self.length : end] = k
        self.v[layer, :, :, self.length : end] = v
        return self.k[layer, :, :, :end], self.v[layer, :, :, :end]


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in fp32 (Zhang & Sennrich 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.rms_norm(x, (x.size(-1),), self.weight.to(x.dtype), self.eps)


class Linear(nn.Linear):
    """A linear layer whose fp32 master weight is cast to the activations' dtype at use."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T (+ b)."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Positions(NamedTuple):
    """Where the tokens of a call stand, as angles."""

    cos: Tensor  # (T, D/2)
    sin: Tensor


def rotary_table(config: ModelConfig, positions: Tensor, dtype: torch.dtype) -> Positions:
    """Return cos and sin of pos * theta^(-2i/D) (Su et al. 2021)."""
    half = config.head_dim // 2
    # float64: at position 30,000 a float32 angle is off by about 1e-3
    exponent = torch.arange(half, device=positions.device, dtype=torch.float64) / half
    angle = positions.to(torch.float64)[:, None] * config.rope_theta**-exponent  # (T, D/2)
    return Positions(angle.cos().to(dtype), angle.sin().to(dtype))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x_i, x_{i+D/2}) of x (B, T, H, D) by each position's angle."""
    cos, sin = cos[:, None, :], sin[:, None, :]  # (T, 1, D/2)
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend each of the last T of S positions to itself and all before it.

    q is (B, H, T, D); k and v are (B, K, S, D) with S >= T and K dividing H. Returns (B, H, T, D).
    """
    if (q.device.type, q.dtype) == ("cpu", torch.bfloat16) and q.size(2) <= MAX_BLOCKED_QUERIES:
        return cast(Tensor, _BlockedAttention.apply(q, k, v))  # type: ignore[no-untyped-call]
    mask, (n_query, n_key) = None, (q.size(2), k.size(2))
    if n_query < n_key:
        mask = torch.ones(n_query, n_key, dtype=torch.bool, device=q.device)
        mask = mask.tril(diagonal=n_key - n_query)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )


class _BlockedAttention(torch.autograd.Function):
    """Causal attention by blocks of queries; all query heads of one key head share its products.

    Its own backward adds to the keys' gradients in place; autograd would pad each block's with
    zeros to the whole length.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (B, H, T, D), k and v (B, K, S, D) -> (B, H, T, D)."""
        B, H, T, D = q.size()
        K, past = k.size(1), k.size(2) - T
        q = (q * (1.0 / math.sqrt(D))).reshape(B * K, H // K, T, D)
        k, v = k.reshape(B * K, -1, D), v.reshape(B * K, -1, D)
        out = torch.empty_like(q)
        weights = []  # of each block (B K, H/K block, past + end)
        for part in _query_blocks(T):
            n, end = part.stop - part.start, past + part.stop
            scores = q[:, :, part].reshape(B * K, -1, D) @ k[:, :end].mT
            square = scores.view(B, K, H // K, n, end)[..., end - n :]  # on the diagonal
            square += q.new_full((n, n), -math.inf).triu_(1)
            weights.append(scores.softmax(-1))
            out[:, :, part] = (weights[-1] @ v[:, :end]).view(B * K, H // K, n, D)
        ctx.save_for_backward(q, k, v, *weights)
        return out.view(B, H, T, D)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of q, k and v."""
        q, k, v, *weights = ctx.saved_tensors
        (grad,) = grads
        (B, H, T, D), past = grad.size(), k.size(1) - q.size(2)
        grad = grad.reshape(q.size())
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for part, weight in zip(_query_blocks(T), weights, strict=True):
            end = past + part.stop
            ours = grad[:, :, part].reshape(q.size(0), -1, D)
            by_weight = ours @ v[:, :end].mT
            by_score = torch._softmax_backward_data(by_weight, weight, -1, weight.dtype)
            grad_v[:, :end].baddbmm_(weight.mT, ours)
            grad_k[:, :end].baddbmm_(by_score.mT, q[:, :, part].reshape(q.size(0), -1, D))
            grad_q[:, :, part] = (by_score @ k[:, :end]).view(*q.size()[:2], -1, D)
        grad_q *= 1.0 / math.sqrt(D)
        keys = (B, q.size(0) // B, -1, D)
        return grad_q.view(B, H, T, D), grad_k.view(keys), grad_v.view(keys)


def _query_blocks(n_query: int) -> list[slice]:
    return [
        slice(start, min(start + QUERY_BLOCK, n_query)) for start in range(0, n_query, QUERY_BLOCK)
    ]


class Attention(nn.Module):
    """Grouped-query attention with optional QK-norm and rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, D = config.n_embd, config.head_dim
        self.q_proj = Linear(width, config.n_head * D, bias=config.qkv_bias)
        self.k_proj = Linear(width, config.n_kv_head * D, bias=config.qkv_bias)
        self.v_proj = Linear(width, config.n_kv_head * D, bias=config.qkv_bias)
        self.o_proj = Linear(config.n_head * D, width, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(D, config.norm_eps)
            self.k_norm = RMSNorm(D, config.norm_eps)

    def forward(
        self, x: Tensor, places: Positions, cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        """Mix x (B, T, C) along T; with a cache, also with the positions before."""
        B, T, _ = x.size()
        config = self.config
        q = self.q_proj(x).view(B, T, -1, config.head_dim)  # (B, T, heads here, D)
        k = self.k_proj(x).view(B, T, -1, config.head_dim)  # (B, T, K, D)
        v = self.v_proj(x).view(B, T, -1, config.head_dim)
        if config.qk_norm:  # Qwen3 order: norm, then rotary
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, places.cos, places.sin), rotate(k, places.cos, places.sin)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H or K, T, D)
        if cache is not None:
            k, v = cache.store(layer, k, v)  # (B, K, S, D)
        y = causal_attention(q, k, v)  # (B, H, T, D)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(B, T, -1))
        return out


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.n_embd, config.n_inner, bias=False)
        self.up_proj = Linear(config.n_embd, config.n_inner, bias=False)
        self.down_proj = Linear(config.n_inner, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position of x (B, T, C) on its own."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """One layer: attention, then SwiGLU, each on a normalised copy and added back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.n_embd, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.n_embd, config.norm_eps)
        self.mlp = SwiGLU(config)

    def forward(
        self, x: Tensor, places: Positions, cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        """Return x (B, T, C) after this layer."""
        x = x + self.self_attn(self.input_layernorm(x), places, cache, layer)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Backbone(nn.Module):
    """Embedding, layers and final norm: everything but the head (Hugging Face calls it `model`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = RMSNorm(config.n_embd, config.norm_eps)


class GPT(nn.Module):
    """ids (B, T) -> logits (B, T, V)."""

    def __init__(self, config: ModelConfig, *, dtype: torch.dtype | None = None) -> None:
        """Build with random weights; `dtype` is the activations' (None: the weights' own)."""
        super().__init__()
        self.config = config
        self.dtype = dtype
        self.model = Backbone(config)
        self.lm_head = (
            None if config.tie_embeddings else Linear(config.n_embd, config.vocab_size, bias=False)
        )
        self._init_weights()

    def _init_weights(self) -> None:
        # Matrices uniform with std 1/sqrt(fan in); what writes into the residual stream starts at
        # zero, so that each layer begins as the identity (nanochat finds this best).
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue  # norm gains start at one, biases at torch's default
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)
            elif name.endswith("embed_tokens.weight") or name == "lm_head.weight":
                nn.init.normal_(parameter, std=0.02)
            else:
                bound = math.sqrt(3.0 / parameter.size(1))
                nn.init.uniform_(parameter, -bound, bound)

    @property
    def head_weight(self) -> Tensor:
        """The (V, C) matrix that turns a hidden state into logits."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def hidden(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return the final normalised hidden states (B, T, C) of ids (B, T)."""
        past = 0 if cache is None else cache.length
        x = self.model.embed_tokens(idx)  # (B, T, C)
        x = x if self.dtype is None else x.to(self.dtype)
        positions = torch.arange(past, past + idx.size(1), device=idx.device)
        places = rotary_table(self.config, positions, x.dtype)
        for layer, block in enumerate(self.model.layers):
            x = block(x, places, cache, layer)
        if cache is not None:
            cache.length += idx.size(1)
        out: Tensor = self.model.norm(x)
        return out

    def forward(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return logits (B, T, V) for ids (B, T); with a cache, T new tokens after those cached."""
        x = self.hidden(idx, cache)
        return F.linear(x, self.head_weight.to(x.dtype))


def load_network(folder: ModelFolder) -> GPT:
    """Return the network of a model folder, its weights in float32."""
    with torch.device("meta"):  # no memory, no random numbers: every weight is replaced
        network = GPT(folder.config)
    weights = {name: torch.tensor(array) for name, array in folder.tensors().items()}
    network.load_state_dict(weights, assign=True)
    return network
