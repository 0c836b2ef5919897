"""`model.safetensors`: names and shapes are checked against the config before allocation.

Or several such files (shards) and the index that says which tensor is in which. Reads and writes
the safetensors layout itself: eight bytes of header length, a JSON header, the tensors. numpy has
no bfloat16, but a bfloat16 is the upper half of a float32, so two lines convert it. Knows files and
arrays, not networks.
"""

import json
import math
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.files import open_regular, parse_json, read_regular

MAX_WEIGHTS_BYTES = 64 << 30
_MAX_HEADER_BYTES = 4 << 20  # 128 layers need about 200 kB; of an index, too
_SHARD = re.compile(r"[A-Za-z0-9][\w.-]{0,120}\.safetensors", re.ASCII)  # a file beside the index
_ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}


_Entry = tuple[Path, str, tuple[int, ...], int, int]  # file, type, shape, first byte, end


class WeightsError(ValueError):
    """The weights file does not fit its config or is damaged; the message says where."""


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that a folder of this config holds."""
    C, D, F = config.n_embd, config.head_dim, config.n_inner
    q_width, kv_width = config.n_head * D, config.n_kv_head * D
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (q_width, C),
        "self_attn.k_proj.weight": (kv_width, C),
        "self_attn.v_proj.weight": (kv_width, C),
        "self_attn.o_proj.weight": (C, q_width),
        "input_layernorm.weight": (C,),
        "post_attention_layernorm.weight": (C,),
        "mlp.gate_proj.weight": (F, C),
        "mlp.up_proj.weight": (F, C),
        "mlp.down_proj.weight": (C, F),
    }
    if config.qk_norm:
        layer |= {"self_attn.q_norm.weight": (D,), "self_attn.k_norm.weight": (D,)}
    if config.qkv_bias:
        for part, width in (("q", q_width), ("k", kv_width), ("v", kv_width)):
            layer[f"self_attn.{part}_proj.bias"] = (width,)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, C)}
    for i in range(config.n_layer):
        shapes |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
    shapes["model.norm.weight"] = (C,)
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, C)
    return shapes


def shards_of(index: Path) -> dict[str, set[str]]:
    """Return the tensors' names by file, as `model.safetensors.index.json` says; WeightsError."""
    try:
        places = dict(parse_json(read_regular(index, _MAX_HEADER_BYTES))["weight_map"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"the index maps no tensors to files: {error!r:.200}") from error
    found: dict[str, set[str]] = {}
    for name, file in places.items():
        if not isinstance(file, str) or not _SHARD.fullmatch(file):
            raise WeightsError(f"{name:.80} is in {file!r:.80}: no weights file beside the index")
        found.setdefault(file, set()).add(name)
    return found


class WeightsFile:
    """A checked `model.safetensors`, or index and shards; tensors are read when asked for."""

    def __init__(self, path: Path, config: ModelConfig, *, allow_links: bool = True) -> None:
        """Check the headers against `config`; raises WeightsError or UnreadableFileError."""
        self._allow_links = allow_links
        shapes = tensor_shapes(config)
        shards = {path.name: {*shapes}} if path.suffix == ".safetensors" else shards_of(path)
        _check_names(set().union(*shards.values()), shapes)
        self._entries: dict[str, _Entry] = {}
        for file, names in shards.items():
            self._entries |= self._check_file(path.with_name(file), {n: shapes[n] for n in names})

    def _check_file(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, _Entry]:
        """Check the header of a file that holds these tensors and nothing else."""
        handle = open_regular(path, MAX_WEIGHTS_BYTES, allow_links=self._allow_links)
        with os.fdopen(handle, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            n_header = int.from_bytes(start, "little")
            if len(start) < 8 or not 2 <= n_header <= min(_MAX_HEADER_BYTES, size - 8):
                raise WeightsError("its header is cut off or of absurd length")
            header = _parse_header(file.read(n_header))
        return _check_entries(path, header, shapes, 8 + n_header, size)

    def names(self) -> list[str]:
        """Return the tensors' names."""
        return list(self._entries)

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Return one tensor as float32."""
        path, kind, shape, begin, end = self._entries[name]
        handle = open_regular(path, MAX_WEIGHTS_BYTES, allow_links=self._allow_links)
        with os.fdopen(handle, "rb") as file:
            file.seek(begin)
            data = file.read(end - begin)
        if len(data) != end - begin:
            raise WeightsError(f"{name} is cut off")
        if kind != "BF16":
            floats = np.frombuffer(data, "<f4" if kind == "F32" else "<f2")
            return floats.astype(np.float32, copy=False).reshape(shape)
        return from_bf16(np.frombuffer(data, "<u2")).reshape(shape)


def from_bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Widen bfloat16, given as bit patterns, to float32; exact."""
    wide = bits.astype(np.uint32)
    wide <<= 16  # in place: a large matrix is there once
    return wide.view(np.float32)


def to_bf16(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round float32 to the bit patterns of bfloat16: nearest, ties to even, NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    quiet_nan = ((bits >> 16) | 0x40).astype(np.uint16)
    return np.where(np.isnan(array), quiet_nan, rounded)


def write_weights(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write tensors in bfloat16, one at a time; `path` must not exist."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers insists on the key
    offset = 0
    for name, array in tensors.items():
        end = offset + 2 * array.size
        header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start aligned
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(to_bf16(array).astype("<u2").tobytes())


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise WeightsError("its header is not a JSON object")
    header.pop("__metadata__", None)
    return header


def _check_names(names: Collection[str], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if missing := sorted(shapes.keys() - names):
        raise WeightsError(f"tensor {missing[0]} is missing")
    if extra := sorted(set(names) - shapes.keys()):
        raise WeightsError(
            f"tensor {extra[0]} does not belong to the model that config.json describes"
        )


def _check_entries(
    path: Path,
    header: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    data_start: int,
    size: int,
) -> dict[str, _Entry]:
    """Return where in the file each tensor is, as the config wants them and filling the file."""
    _check_names(header.keys(), shapes)
    entries = {name: _check_entry(name, header[name], shape) for name, shape in shapes.items()}
    position = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2]):
        if begin != position:
            raise WeightsError(f"tensor {name} starts at byte {begin}, not at {position}")
        position = end
    if position != size - data_start:
        raise WeightsError(f"it holds {size - data_start} bytes of tensors, not {position}")
    return {
        name: (path, kind, shape, data_start + begin, data_start + end)
        for name, (kind, shape, begin, end) in entries.items()
    }


def _check_entry(
    name: str, entry: Any, shape: tuple[int, ...]
) -> tuple[str, tuple[int, ...], int, int]:
    try:
        kind, found, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"the header's entry of {name} is incomplete") from error
    if kind not in _ITEM_BYTES:
        raise WeightsError(f"tensor {name} is of type {kind!r}; BF16, F16 and F32 are supported")
    if found != list(shape):
        raise WeightsError(
            f"tensor {name} has shape {found!r}, but config.json asks for {list(shape)}"
        )
    if (
        type(begin) is not int
        or type(end) is not int
        or end - begin != math.prod(shape) * _ITEM_BYTES[kind]
    ):
        raise WeightsError(f"tensor {name} lies at {begin!r}..{end!r}: not the size of its shape")
    return kind, shape, begin, end
