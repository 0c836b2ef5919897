"""Write a model folder as an ONNX graph for the CPU: `python -m model.onnx_graph FOLDER OUT BITS`.

Run in a child process by `model.onnx_cache`, because `onnx` and protobuf would stay in the server's
memory. Writes `graph.onnx` and `weights.bin`, which the runtime maps. BITS is 8, 4 or 32 (not
quantised).

Inputs: `ids` (1, T); `positions` (1, T); `last` (1,) = S - 1; `total` = S; `keep` (1,) = how many
of the last positions want logits; `bias` (1, 1, T, S), added to the attention scores; `cos` and
`sin` (S_max, D/2); and for layer i `past_k_i` and `past_v_i` (1, K, S_max, D), whose buffers also
take the outputs `next_k_i` and `next_v_i`. Output: `logits` (1, keep, V). T, S, K, D, V as in
`model.gpt`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.config import ModelConfig
from model.folder import load_folder
from model.quantize import quantize

TensorSource = Callable[[str], NDArray[np.float32]]

_MICROSOFT = "com.microsoft"
_FUSED = frozenset(
    {"MatMulNBits", "GroupQueryAttention", "SkipSimplifiedLayerNormalization", "QuickGelu"}
)
_PAGE_BYTES = 4096  # a mapped tensor must start at a page border
_INLINE_BYTES = 4096  # smaller tensors go into the graph itself
_OPSET, _IR = 18, 9  # old enough for every runtime since 2023


class GraphWriter:
    """Collects nodes and constants; large constants go straight to the weights file."""

    def __init__(self, weights: BinaryIO, weights_name: str, bits: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._weights = weights
        self._weights_name = weights_name
        self._bits = bits

    def node(
        self, kind: str, inputs: Sequence[str], outputs: str | Sequence[str] = "", **attributes: Any
    ) -> str:
        """Add an operator and return the name of its first output."""
        outputs = outputs or f"{kind}_{len(self.nodes)}"
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        domain = _MICROSOFT if kind in _FUSED else ""
        self.nodes.append(
            helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes)
        )
        return outputs[0]

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Store an array and return its name."""
        array = np.ascontiguousarray(array)
        if array.nbytes <= _INLINE_BYTES:
            self.constants.append(numpy_helper.from_array(array, name))
            return name
        self._weights.write(b"\0" * (-self._weights.tell() % _PAGE_BYTES))
        proto = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
        proto.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        place = {
            "location": self._weights_name,
            "offset": self._weights.tell(),
            "length": array.nbytes,
        }
        for key, value in place.items():
            proto.external_data.add(key=key, value=str(value))
        self._weights.write(array.tobytes())
        self.constants.append(proto)
        return name

    def linear(self, x: str, name: str, weight: NDArray[np.float32]) -> str:
        """Multiply x (1, T, K) by the transpose of `weight` (N, K), rounded to our bits."""
        if self._bits == 32:
            return self.node("MatMul", [x, self.constant(name, weight.T)])
        q = quantize(weight, self._bits)
        data = self.constant(f"{name}.data", q.data)
        scales = self.constant(f"{name}.scales", q.scales.reshape(-1))
        # Level 4 rounds the activations to 8 bits too, block by block within a row, so a token's
        # result does not depend on its neighbours. Lower levels unpack the weights at each call: 20
        # times slower.
        return self.node(
            "MatMulNBits", [x, data, scales],
            K=q.n_columns, N=len(weight), bits=q.bits, block_size=q.block_size, accuracy_level=4,
        )  # fmt: skip

    def gather(self, name: str, table: NDArray[np.float32], ids: str) -> str:
        """Look up rows of an embedding table: half precision is exact enough and half the size."""
        if self._bits == 32:
            return self.node("Gather", [self.constant(name, table), ids])
        rows = self.node("Gather", [self.constant(name, table.astype(np.float16)), ids])
        return self.node("Cast", [rows], to=TensorProto.FLOAT)

    def last_positions(self, x: str) -> str:
        """Cut x (1, T, C) to the last `keep` positions."""
        return self.node("Slice", [x, "start", "end", "axis"])


class ModelGraph:
    """Adds the parts of one network to a `GraphWriter`."""

    def __init__(self, writer: GraphWriter, config: ModelConfig, tensor: TensorSource) -> None:
        self._writer = writer
        self._config = config
        self._tensor = tensor

    def add(self) -> None:
        """Add everything from `ids` to `logits`."""
        writer, config = self._writer, self._config
        writer.constant("axis", np.array([1]))
        writer.constant("end", np.array([np.iinfo(np.int64).max]))
        writer.node("Neg", ["keep"], "start")
        heads = np.array([config.n_head, config.n_kv_head, config.n_kv_head])
        writer.constant("heads", heads)
        writer.constant("split", np.array([0, 0, heads.sum(), config.head_dim]))
        writer.constant("joined", np.array([0, 0, -1]))
        table = self._tensor("model.embed_tokens.weight")
        x = writer.gather("embed_tokens", table, "ids")
        first = self._gain("model.layers.0.input_layernorm.weight")
        h = writer.node(
            "SimplifiedLayerNormalization", [x, first], axis=-1, epsilon=config.norm_eps
        )
        for i in range(config.n_layer):
            x, h = self._layer(i, x, h)
        head = table if config.tie_embeddings else self._tensor("lm_head.weight")
        writer.node("Identity", [writer.linear(h, "head", head)], "logits")

    def _layer(self, i: int, x: str, h: str) -> tuple[str, str]:
        """Add layer i; x is the residual stream, h its normalised copy. Returns the next ones."""
        writer, n_layer, layer = self._writer, self._config.n_layer, f"model.layers.{i}"
        y = self._attention(i, h)
        if i == n_layer - 1:  # nothing attends to later states: only the wanted positions go on
            x, y = writer.last_positions(x), writer.last_positions(y)
        y = writer.linear(y, f"o_{i}", self._tensor(f"{layer}.self_attn.o_proj.weight"))
        x, h = self._add_and_norm(x, y, f"{layer}.post_attention_layernorm.weight")
        y = self._swiglu(i, h)
        after = "model.norm" if i == n_layer - 1 else f"model.layers.{i + 1}.input_layernorm"
        return self._add_and_norm(x, y, f"{after}.weight")

    def _attention(self, i: int, h: str) -> str:
        """Add projections and attention of layer i up to, not including, the output projection."""
        writer, config = self._writer, self._config
        parts = [f"model.layers.{i}.self_attn.{part}" for part in ("q", "k", "v")]
        qkv = writer.linear(h, f"qkv_{i}", self._joined(f"{part}_proj.weight" for part in parts))
        if config.qkv_bias:
            bias = writer.constant(
                f"qkv_bias_{i}", self._joined(f"{part}_proj.bias" for part in parts)
            )
            qkv = writer.node("Add", [qkv, bias])
        q, k, v = self._normed_heads(i, qkv) if config.qk_norm else (qkv, "", "")
        cache = [f"past_k_{i}", f"past_v_{i}"]
        rest = ["last", "total", "cos", "sin", "positions", "bias"]
        return writer.node(
            "GroupQueryAttention",
            [q, k, v, *cache, *rest],
            [f"attended_{i}", f"next_k_{i}", f"next_v_{i}"],
            num_heads=config.n_head, kv_num_heads=config.n_kv_head, do_rotary=1,
        )  # fmt: skip

    def _normed_heads(self, i: int, qkv: str) -> tuple[str, str, str]:
        """Split (1, T, (H+2K)*D) into q, k and v, with q and k normalised head by head."""
        writer, eps = self._writer, self._config.norm_eps
        by_head = writer.node("Reshape", [qkv, "split"])  # (1, T, H+2K, D)
        q, k, v = f"q_{i}", f"k_{i}", f"v_{i}"
        writer.node("Split", [by_head, "heads"], [q, k, v], axis=2)
        gains = [
            self._gain(f"model.layers.{i}.self_attn.{part}_norm.weight") for part in ("q", "k")
        ]
        # The attention operator has inputs for these gains, but not on a CPU.
        q, k = (
            writer.node("SimplifiedLayerNormalization", [part, gain], axis=-1, epsilon=eps)
            for part, gain in zip((q, k), gains, strict=True)
        )
        q, k, v = (writer.node("Reshape", [part, "joined"]) for part in (q, k, v))
        return q, k, v

    def _swiglu(self, i: int, h: str) -> str:
        writer, mlp = self._writer, f"model.layers.{i}.mlp"
        both = self._joined((f"{mlp}.gate_proj.weight", f"{mlp}.up_proj.weight"))
        gate, up = f"gate_{i}", f"up_{i}"
        writer.node(
            "Split", [writer.linear(h, f"gate_up_{i}", both)], [gate, up], axis=-1, num_outputs=2
        )
        silu = writer.node("QuickGelu", [gate], alpha=1.0)  # x * sigmoid(alpha x) in one operator
        inner = writer.node("Mul", [silu, up])
        return writer.linear(inner, f"down_{i}", self._tensor(f"{mlp}.down_proj.weight"))

    def _add_and_norm(self, x: str, y: str, gain: str) -> tuple[str, str]:
        """Return (x + y, its normalised copy)."""
        h, total = f"h_{len(self._writer.nodes)}", f"x_{len(self._writer.nodes)}"
        inputs, outputs = [x, y, self._gain(gain)], [h, "", "", total]
        eps = self._config.norm_eps
        self._writer.node("SkipSimplifiedLayerNormalization", inputs, outputs, epsilon=eps)
        return total, h

    def _joined(self, names: Any) -> NDArray[np.float32]:
        return np.concatenate([self._tensor(name) for name in names])

    def _gain(self, name: str) -> str:
        return self._writer.constant(name, self._tensor(name))


def write_graph(config: ModelConfig, tensor: TensorSource, folder: Path, bits: int) -> None:
    """Write `graph.onnx` and `weights.bin` into a folder; `tensor` returns float32 by name."""
    if config.head_dim % 16:
        raise ValueError(
            f"head_dim is {config.head_dim}, but the CPU graph needs a multiple of 16; use torch"
        )
    with (folder / "weights.bin").open("xb") as weights:
        writer = GraphWriter(weights, "weights.bin", bits)
        ModelGraph(writer, config, tensor).add()
    inputs, outputs = _signature(config)
    graph = helper.make_graph(writer.nodes, "foretype", inputs, outputs, writer.constants)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="foretype")
    (folder / "graph.onnx").write_bytes(model.SerializeToString())


def _signature(config: ModelConfig) -> tuple[list[Any], list[Any]]:
    """Return the graph's inputs and outputs with their types and shapes."""
    info = helper.make_tensor_value_info
    long, int32, real = TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT
    cache: list[str | int | None] = [1, config.n_kv_head, "S_max", config.head_dim]
    rotary: list[str | int | None] = ["S_max", config.head_dim // 2]
    inputs = [
        info("ids", long, [1, "T"]), info("positions", long, [1, "T"]), info("last", int32, [1]),
        info("total", int32, []), info("keep", long, [1]), info("bias", real, [1, 1, "T", "S"]),
        info("cos", real, rotary), info("sin", real, rotary),
    ]  # fmt: skip
    outputs = [info("logits", real, [1, "n", config.vocab_size])]
    for i in range(config.n_layer):
        inputs += [info(f"past_{part}_{i}", real, cache) for part in ("k", "v")]
        outputs += [info(f"next_{part}_{i}", real, cache) for part in ("k", "v")]
    return inputs, outputs


def main(argv: Sequence[str]) -> int:
    """Write the graph of the model folder argv[0] into the folder argv[1] with argv[2] bits."""
    folder = load_folder(Path(argv[0]))
    write_graph(folder.config, folder.tensor, Path(argv[1]), int(argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
