"""GPT-2's network of 2019, to be measured beside `model.gpt`'s; it is trained, never exported.

Learned positions, LayerNorm, GELU, biases, a key head for each query head. Shapes as in
`model.gpt`; a layer has as many weights in matrices as its config counts.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.gpt import GPT, KVCache, Linear, causal_attention


class LayerNorm(nn.LayerNorm):
    """Layer norm whose fp32 gain and bias are cast to the activations' dtype at use."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        gain, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, gain, bias, self.eps)


class Block2019(nn.Module):
    """One layer: attention, then two matrices with GELU between."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.n_embd
        self.n_head = config.n_head
        self.ln_1, self.ln_2 = LayerNorm(width), LayerNorm(width)
        self.c_attn, self.c_proj = Linear(width, 3 * width), Linear(width, width)
        self.mlp_fc, self.mlp_proj = Linear(width, 4 * width), Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, T, C) after this layer."""
        B, T, C = x.size()
        heads = self.c_attn(self.ln_1(x)).view(B, T, 3 * self.n_head, C // self.n_head)
        q, k, v = heads.transpose(1, 2).chunk(3, dim=1)  # (B, H, T, D) each
        mixed = causal_attention(q, k, v).transpose(1, 2).reshape(B, T, C)
        x = x + self.c_proj(mixed)
        inner = F.gelu(self.mlp_fc(self.ln_2(x)), approximate="tanh")
        out: Tensor = x + self.mlp_proj(inner)
        return out


class GPT2(GPT):
    """ids (B, T) -> logits (B, T, V)."""

    def __init__(self, config: ModelConfig) -> None:
        """Build with random weights, as GPT-2 began."""
        super().__init__(config)
        width = config.n_embd
        self.positions = nn.Embedding(config.block_size, width)
        self.model.layers = nn.ModuleList(Block2019(config) for _ in range(config.n_layer))
        self.model.norm = LayerNorm(width)  # type: ignore[assignment]
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # what writes into the residual stream begins smaller
                writes = name.endswith("proj.weight")
                std = 0.02 / math.sqrt(2 * config.n_layer) if writes else 0.02
                nn.init.normal_(parameter, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def hidden(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return the final normalised hidden states (B, T, C) of ids (B, T); takes no cache."""
        assert cache is None, "this network is not served"
        places = torch.arange(idx.size(1), device=idx.device)
        x = self.model.embed_tokens(idx) + self.positions(places)
        x = x if self.dtype is None else x.to(self.dtype)
        for block in self.model.layers:
            x = block(x)
        out: Tensor = self.model.norm(x)
        return out
