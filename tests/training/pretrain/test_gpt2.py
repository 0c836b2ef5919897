"""What a loop of 2019 is made of: its network against torch's own layers, its optimizer."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model.config import ConfigError
from tests.training.pretrain.test_trainer import trainer, weights
from training.pretrain.command import RunFiles, export_network
from training.pretrain.gpt2 import GPT2
from training.recipe import FolderTable, NetworkTable, Recipe, TrainTable

TABLE = NetworkTable(preset="pico", n_layer=2, block_size=24, vocab_size=300, block="gpt2")


def layer_of_torch(network: GPT2, number: int) -> nn.TransformerEncoderLayer:
    """Return torch's layer with the weights of ours."""
    block, width = network.model.layers[number], network.config.n_embd
    layer = nn.TransformerEncoderLayer(
        width,
        network.config.n_head,
        4 * width,
        dropout=0.0,
        activation=lambda x: F.gelu(x, approximate="tanh"),
        batch_first=True,
        norm_first=True,
    )
    pairs = {
        "norm1": block.ln_1,
        "norm2": block.ln_2,
        "self_attn.out_proj": block.c_proj,
        "linear1": block.mlp_fc,
        "linear2": block.mlp_proj,
    }
    weights = {
        f"{name}.{part}": getattr(ours, part)
        for (name, ours), part in itertools.product(pairs.items(), ("weight", "bias"))
    }
    weights["self_attn.in_proj_weight"] = block.c_attn.weight
    weights["self_attn.in_proj_bias"] = block.c_attn.bias
    layer.load_state_dict(weights)
    return layer


def test_it_computes_what_layers_of_torch_do() -> None:
    torch.manual_seed(5)
    network = GPT2(TABLE.config())
    for parameter in network.parameters():  # biases and gains away from zero and one
        nn.init.normal_(parameter, mean=0.1, std=0.2)
    network.double()
    ids = torch.randint(300, (2, 24))
    x = network.model.embed_tokens(ids) + network.positions.weight
    causal = nn.Transformer.generate_square_subsequent_mask(24, dtype=torch.float64)
    for number in range(2):
        x = layer_of_torch(network, number).double()(x, src_mask=causal)
    width = network.config.n_embd
    x = F.layer_norm(x, (width,), network.model.norm.weight, network.model.norm.bias)
    assert torch.allclose(network(ids), x @ network.head_weight.T, atol=1e-9)


def test_its_config_counts_its_matrices() -> None:
    network = GPT2(TABLE.config())
    counted = sum(p.numel() for name, p in network.named_parameters() if ".layers." in name)
    matrices = network.config.n_params_matrix - 300 * 128
    assert abs(counted / matrices - 1) < 0.02  # biases and norms


def test_it_is_not_exported(tmp_path: Path) -> None:
    recipe = Recipe(network=TABLE, train=TrainTable(tokens=1), folder=FolderTable(name="old"))
    files = RunFiles(run=tmp_path, tokenizer=tmp_path / "tokenizer.json", corpus=tmp_path)
    with pytest.raises(ConfigError, match="cannot be exported"):
        export_network(recipe, files, out=tmp_path / "model")


def test_the_plain_optimiser_moves_every_weight_and_learns() -> None:
    run = trainer(optimiser="adamw", matrix_lr=0.05, warmdown_share=0.0)
    before = weights(run)
    losses = [run.step() for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]
    assert not run.muon.parameters
    after = weights(run)
    assert [name for name in before if torch.equal(before[name], after[name])] == []
