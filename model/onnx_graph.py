"""Writes a network as an ONNX graph for the CPU: `graph.onnx`, and `weights.bin` to be mapped.

Field numbers of messages are those of onnx.proto. They are encoded here, as much of protobuf as a
graph needs: the `onnx` package does the same with 33 MB and a second of imports.

Inputs: `ids` (1, T); `positions` (1, T); `last` (1,) = S - 1; `total` = S; `keep` (1,) = how many
of the last positions want logits; `bias` (1, 1, T, S), added to the attention scores; `cos` and
`sin` (S_max, D/2); and for layer i `past_k_i` and `past_v_i` (1, K, S_max, D), whose buffers also
take the outputs `next_k_i` and `next_v_i`. Output: `logits` (1, keep, V). T, S, K, D, V as in
`model.gpt`.

Weights in 8 bits have one scale for each block of a row, the layout that MatMulNBits reads: N rows
(out), K columns (in), G blocks in a row. The zero point is 128, so that zero stays exactly zero.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig

WEIGHTS = "weights.bin"
Value = int | float | str | bytes
# Largest first: a large block reads fewer scales. The runtime's kernels accept these sizes only.
BLOCK_SIZES = (128, 64, 32, 16)
_PIECE_NUMBERS = 1 << 22  # quantised at a time: each has some copies in between
TensorSource = Callable[[str], NDArray[np.float32]]

_MICROSOFT = "com.microsoft"
_FUSED = frozenset(
    {"MatMulNBits", "GroupQueryAttention", "SkipSimplifiedLayerNormalization", "QuickGelu"}
)
_PAGE_BYTES = 4096  # a mapped tensor must start at a page border
_INLINE_BYTES = 4096  # smaller tensors go into the graph itself
_OPSET, _IR = 18, 9  # old enough for every runtime since 2023
_EXTERNAL = 1  # TensorProto.DataLocation
_FLOAT, _INT32, _INT64 = 1, 6, 7  # TensorProto.DataType
_DATA_TYPES = {"float32": _FLOAT, "uint8": 2, "int32": _INT32, "int64": _INT64, "float16": 10}


def message(*fields: tuple[int, Value | Iterable[Value]]) -> bytes:
    """Encode fields of (number, value); an iterable is a repeated field, bytes a message in it.

    Integers become varints (int32, int64, enums), floats four bytes.
    """
    parts: list[bytes] = []
    for number, value in fields:
        repeated = [value] if isinstance(value, Value) else value
        parts += (_field(number, item) for item in repeated)
    return b"".join(parts)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes, as the format wants
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def quantize(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a matrix (N, K) as levels (N, G, block size) and scales (N, G).

    The block is the largest that divides a row, or the smallest; the row is then padded.
    """
    n_rows, n_columns = weight.shape
    size = next((size for size in BLOCK_SIZES if n_columns % size == 0), BLOCK_SIZES[-1])
    step = max(1, _PIECE_NUMBERS // n_columns)
    pieces = [_quantize_rows(weight[i : i + step], size) for i in range(0, n_rows, step)]
    levels, scales = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return levels, scales


def _quantize_rows(
    rows: NDArray[np.float32], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % size)))
    blocks = padded.reshape(len(rows), -1, size)  # (N, G, size)
    scales = np.abs(blocks).max(-1) / np.float32(127)
    steps = np.rint(blocks / np.where(scales == 0, np.float32(1), scales)[..., None])
    return np.clip(steps + 128, 0, 255).astype(np.uint8), scales


class ModelGraph:
    """The parts of one network; large constants go straight to the weights file."""

    def __init__(
        self, config: ModelConfig, tensor: TensorSource, weights: BinaryIO, bits: int
    ) -> None:
        self.nodes: list[bytes] = []  # NodeProto
        self.constants: list[bytes] = []  # TensorProto
        self._config = config
        self._tensor = tensor
        self._weights = weights
        self._bits = bits

    def _node(
        self, kind: str, inputs: Sequence[str], outputs: str | Sequence[str] = "", **attributes: Any
    ) -> str:
        """Add an operator and return the name of its first output."""
        outputs = outputs or f"{kind}_{len(self.nodes)}"
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        domain = _MICROSOFT if kind in _FUSED else ""
        named = [_attribute(name, value) for name, value in attributes.items()]
        self.nodes.append(message((1, inputs), (2, outputs), (4, kind), (5, named), (7, domain)))
        return outputs[0]

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        """Store an array and return its name."""
        described = message((1, array.shape), (2, _DATA_TYPES[array.dtype.name]), (8, name))
        if array.nbytes <= _INLINE_BYTES:
            self.constants.append(described + message((9, array.tobytes())))
            return name
        self._weights.write(b"\0" * (-self._weights.tell() % _PAGE_BYTES))
        location = {
            "location": WEIGHTS,
            "offset": str(self._weights.tell()),
            "length": str(array.nbytes),
        }
        entries = [message((1, key), (2, value)) for key, value in location.items()]
        self.constants.append(described + message((13, entries), (14, _EXTERNAL)))
        self._weights.write(np.ascontiguousarray(array).data)  # no copy of it
        return name

    def _linear(self, x: str, name: str, weight: NDArray[np.float32]) -> str:
        """Multiply x (1, T, K) by the transpose of `weight` (N, K), rounded to 8 bits or not."""
        if self._bits == 32:
            return self._node("MatMul", [x, self._constant(name, weight.T)])
        levels, scales = quantize(weight)
        data = self._constant(f"{name}.data", levels)
        flat = self._constant(f"{name}.scales", scales.reshape(-1))
        # Level 4 rounds the activations to 8 bits too, block by block within a row, so a token's
        # result does not depend on its neighbours. Lower levels unpack the weights at each call: 20
        # times slower.
        return self._node(
            "MatMulNBits", [x, data, flat], K=weight.shape[1], N=len(weight), bits=8,
            block_size=levels.shape[-1], accuracy_level=4,
        )  # fmt: skip

    def _gather(self, name: str, table: NDArray[np.float32], ids: str) -> str:
        """Look up rows of an embedding table: half precision is exact enough and half the size."""
        if self._bits == 32:
            return self._node("Gather", [self._constant(name, table), ids])
        rows = self._node("Gather", [self._constant(name, table.astype(np.float16)), ids])
        return self._node("Cast", [rows], to=_FLOAT)

    def add(self) -> None:
        """Add everything from `ids` to `logits`."""
        config = self._config
        self._constant("axis", np.array([1]))
        self._constant("end", np.array([np.iinfo(np.int64).max]))
        self._node("Neg", ["keep"], "start")
        heads = np.array([config.n_head, config.n_kv_head, config.n_kv_head])
        self._constant("heads", heads)
        self._constant("split", np.array([0, 0, heads.sum(), config.head_dim]))
        self._constant("joined", np.array([0, 0, -1]))
        table = self._tensor("model.embed_tokens.weight")
        x = self._gather("embed_tokens", table, "ids")
        first = self._gain("model.layers.0.input_layernorm.weight")
        h = self._node("SimplifiedLayerNormalization", [x, first], axis=-1, epsilon=config.norm_eps)
        for i in range(config.n_layer):
            x, h = self._layer(i, x, h)
        head = table if config.tie_embeddings else self._tensor("lm_head.weight")
        self._node("Identity", [self._linear(h, "head", head)], "logits")

    def _layer(self, i: int, x: str, h: str) -> tuple[str, str]:
        """Add layer i; x is the residual stream, h its normalised copy. Returns the next ones."""
        n_layer, layer = self._config.n_layer, f"model.layers.{i}"
        y = self._attention(i, h)
        if i == n_layer - 1:  # nothing attends to later states: only the wanted positions go on
            x, y = (self._node("Slice", [each, "start", "end", "axis"]) for each in (x, y))
        y = self._linear(y, f"o_{i}", self._tensor(f"{layer}.self_attn.o_proj.weight"))
        x, h = self._add_and_norm(x, y, f"{layer}.post_attention_layernorm.weight")
        y = self._swiglu(i, h)
        after = "model.norm" if i == n_layer - 1 else f"model.layers.{i + 1}.input_layernorm"
        return self._add_and_norm(x, y, f"{after}.weight")

    def _attention(self, i: int, h: str) -> str:
        """Add projections and attention of layer i up to, not including, the output projection."""
        config = self._config
        parts = [f"model.layers.{i}.self_attn.{part}" for part in ("q", "k", "v")]
        qkv = self._linear(
            h, f"qkv_{i}", self._concatenate(f"{part}_proj.weight" for part in parts)
        )
        if config.qkv_bias:
            bias = self._constant(
                f"qkv_bias_{i}", self._concatenate(f"{part}_proj.bias" for part in parts)
            )
            qkv = self._node("Add", [qkv, bias])
        q, k, v = self._normalise_heads(i, qkv) if config.qk_norm else (qkv, "", "")
        cache = [f"past_k_{i}", f"past_v_{i}"]
        rest = ["last", "total", "cos", "sin", "positions", "bias"]
        return self._node(
            "GroupQueryAttention",
            [q, k, v, *cache, *rest],
            [f"attended_{i}", f"next_k_{i}", f"next_v_{i}"],
            num_heads=config.n_head, kv_num_heads=config.n_kv_head, do_rotary=1,
        )  # fmt: skip

    def _normalise_heads(self, i: int, qkv: str) -> tuple[str, str, str]:
        """Split (1, T, (H+2K)*D) into q, k and v, with q and k normalised head by head."""
        eps = self._config.norm_eps
        by_head = self._node("Reshape", [qkv, "split"])  # (1, T, H+2K, D)
        q, k, v = f"q_{i}", f"k_{i}", f"v_{i}"
        self._node("Split", [by_head, "heads"], [q, k, v], axis=2)
        gains = [
            self._gain(f"model.layers.{i}.self_attn.{part}_norm.weight") for part in ("q", "k")
        ]
        # The attention operator has inputs for these gains, but not on a CPU.
        q, k = (
            self._node("SimplifiedLayerNormalization", [part, gain], axis=-1, epsilon=eps)
            for part, gain in zip((q, k), gains, strict=True)
        )
        q, k, v = (self._node("Reshape", [part, "joined"]) for part in (q, k, v))
        return q, k, v

    def _swiglu(self, i: int, h: str) -> str:
        mlp = f"model.layers.{i}.mlp"
        both = self._concatenate((f"{mlp}.gate_proj.weight", f"{mlp}.up_proj.weight"))
        gate, up = f"gate_{i}", f"up_{i}"
        self._node(
            "Split", [self._linear(h, f"gate_up_{i}", both)], [gate, up], axis=-1, num_outputs=2
        )
        silu = self._node("QuickGelu", [gate], alpha=1.0)  # x * sigmoid(alpha x) in one operator
        inner = self._node("Mul", [silu, up])
        return self._linear(inner, f"down_{i}", self._tensor(f"{mlp}.down_proj.weight"))

    def _add_and_norm(self, x: str, y: str, gain: str) -> tuple[str, str]:
        """Return (x + y, its normalised copy)."""
        h, total = f"h_{len(self.nodes)}", f"x_{len(self.nodes)}"
        inputs, outputs = [x, y, self._gain(gain)], [h, "", "", total]
        eps = self._config.norm_eps
        self._node("SkipSimplifiedLayerNormalization", inputs, outputs, epsilon=eps)
        return total, h

    def _concatenate(self, names: Any) -> NDArray[np.float32]:
        return np.concatenate([self._tensor(name) for name in names])

    def _gain(self, name: str) -> str:
        return self._constant(name, self._tensor(name))


def write_graph(config: ModelConfig, tensor: TensorSource, folder: Path, bits: int) -> None:
    """Write `graph.onnx` and `weights.bin` into a folder; `tensor` returns float32 by name."""
    if bits not in (8, 32):
        raise ValueError(f"bits must be 8 or 32, got {bits}")
    if config.head_dim % 16:
        raise ValueError(
            f"head_dim is {config.head_dim}, but the CPU graph needs a multiple of 16; use torch"
        )
    with (folder / WEIGHTS).open("xb") as weights:
        network = ModelGraph(config, tensor, weights, bits)
        network.add()
    inputs, outputs = _signature(config)
    graph = message(
        (1, network.nodes), (2, "foretype"), (5, network.constants), (11, inputs), (12, outputs)
    )
    opsets = [message((1, domain), (2, n)) for domain, n in (("", _OPSET), (_MICROSOFT, 1))]
    model = message((1, _IR), (2, "foretype"), (7, graph), (8, opsets))
    (folder / "graph.onnx").write_bytes(model)


def _signature(config: ModelConfig) -> tuple[list[bytes], list[bytes]]:
    """Return the graph's inputs and outputs with their types and shapes."""
    cache: list[int | str] = [1, config.n_kv_head, "S_max", config.head_dim]
    rotary: list[int | str] = ["S_max", config.head_dim // 2]
    inputs = [
        _tensor("ids", _INT64, [1, "T"]), _tensor("positions", _INT64, [1, "T"]),
        _tensor("last", _INT32, [1]), _tensor("total", _INT32, []), _tensor("keep", _INT64, [1]),
        _tensor("bias", _FLOAT, [1, 1, "T", "S"]),
        _tensor("cos", _FLOAT, rotary), _tensor("sin", _FLOAT, rotary),
    ]  # fmt: skip
    outputs = [_tensor("logits", _FLOAT, [1, "n", config.vocab_size])]
    for i in range(config.n_layer):
        inputs += [_tensor(f"past_{part}_{i}", _FLOAT, cache) for part in ("k", "v")]
        outputs += [_tensor(f"next_{part}_{i}", _FLOAT, cache) for part in ("k", "v")]
    return inputs, outputs


def _tensor(name: str, data_type: int, shape: Sequence[int | str]) -> bytes:
    """Return a ValueInfoProto; a named dimension may have any size."""
    sizes = [message((1 if isinstance(size, int) else 2, size)) for size in shape]
    tensor_type = message((1, data_type), (2, message((1, sizes))))
    return message((1, name), (2, message((1, tensor_type))))


def _attribute(name: str, value: float) -> bytes:
    """Return an AttributeProto of a float or an integer."""
    field, kind = (2, 1) if isinstance(value, float) else (3, 2)
    return message((1, name), (field, value), (20, kind))
