"""The written graph is valid and keeps its weights where the runtime can map them."""

from pathlib import Path
from typing import Any

import onnx
import pytest

from model.onnx_graph import write_graph
from tests.doubles import random_tensors, tiny_config


@pytest.mark.parametrize("bits", [8, 32])
def test_large_tensors_lie_at_page_borders_outside_the_graph(tmp_path: Path, bits: int) -> None:
    config = tiny_config()
    write_graph(config, random_tensors(config).__getitem__, tmp_path, bits)
    model = onnx.load(tmp_path / "graph.onnx", load_external_data=False)
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.external_data
    ]
    assert len(places) > 5
    assert {place["location"] for place in places} == {"weights.bin"}
    assert all(int(place["offset"]) % 4096 == 0 for place in places)
    ends = [int(place["offset"]) + int(place["length"]) for place in places]
    assert max(ends) == (tmp_path / "weights.bin").stat().st_size
    assert (tmp_path / "graph.onnx").stat().st_size < 100_000


def test_fewer_bits_make_smaller_files(tmp_path: Path) -> None:
    config = tiny_config()
    sizes = []
    for bits in (8, 32):
        folder = tmp_path / str(bits)
        folder.mkdir()
        write_graph(config, random_tensors(config).__getitem__, folder, bits)
        sizes.append((folder / "weights.bin").stat().st_size)
    assert sizes[0] < sizes[1]


def test_existing_weights_are_never_overwritten(tmp_path: Path) -> None:
    config = tiny_config()
    (tmp_path / "weights.bin").write_bytes(b"mapped by a running server")
    with pytest.raises(FileExistsError):
        write_graph(config, random_tensors(config).__getitem__, tmp_path, 8)


def test_head_width_that_the_operator_cannot_take_is_refused(tmp_path: Path) -> None:
    config = tiny_config(head_dim=8)
    with pytest.raises(ValueError, match="head_dim is 8, but the CPU graph needs"):
        write_graph(config, random_tensors(config).__getitem__, tmp_path, 8)


@pytest.mark.parametrize(
    "changes", [{}, {"tie_embeddings": False}, {"qkv_bias": True, "qk_norm": False}]
)
def test_onnx_itself_reads_what_is_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = tiny_config(**changes)
    write_graph(config, random_tensors(config).__getitem__, tmp_path, 8)
    graph = onnx.load(tmp_path / "graph.onnx").graph
    attention = attributes(graph, "GroupQueryAttention")
    heads = {"num_heads": config.n_head, "kv_num_heads": config.n_kv_head}
    assert attention == {**heads, "do_rotary": 1}
    norm = attributes(graph, "SimplifiedLayerNormalization")
    assert norm == {"axis": -1, "epsilon": pytest.approx(config.norm_eps)}
    shape = graph.output[0].type.tensor_type.shape
    sizes = [size.dim_param or size.dim_value for size in shape.dim]
    assert sizes == [1, "n", config.vocab_size]


def attributes(graph: onnx.GraphProto, kind: str) -> dict[str, Any]:
    """Attributes of the first operator of a kind."""
    node = next(node for node in graph.node if node.op_type == kind)
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
