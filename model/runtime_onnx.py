"""The network on onnxruntime: the default, on a CPU, without torch.

Key and value buffers are allocated once and bound as both the input and the output of every layer,
so a step writes in place and rewinding is an assignment. Knows ids and logits.

Shapes: T ids in this call, S tokens in the cache including them, K n_kv_head, D head_dim, V
vocab_size.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.config import ModelConfig
from model.lru import LRU
from model.runtime import Runtime, RuntimeLoadError

ONNXRUNTIME_VERSION = str(ort.__version__)
_MAX_KEPT_STEPS = 24
_MAX_KEPT_TOKENS = 32
_MAX_KEPT_LOGITS = 1 << 18
_FATAL = 4  # errors are raised as exceptions; the library's own messages would only repeat them


class _Step(NamedTuple):
    """Bound buffers for calls of one shape; filled in place."""

    binding: ort.IOBinding
    ids: NDArray[np.int64]  # (1, T)
    positions: NDArray[np.int64]  # (1, T)
    last: NDArray[np.int32]  # (1,): S - 1
    total: NDArray[np.int32]  # (): S
    logits: NDArray[np.float32]  # (1, keep, V)
    values: tuple[Any, ...]  # keeps the bound memory alive
    is_kept: bool  # for later calls, which overwrite `logits`

    def result(self) -> NDArray[np.float32]:
        """Return the logits (keep, V), safe from later calls."""
        logits: NDArray[np.float32] = self.logits[0]
        return logits.copy() if self.is_kept else logits


class OnnxRuntime(Runtime):
    """`model.runtime.Runtime` over a graph that `model.onnx_graph` wrote."""

    def __init__(self, graph: Path, config: ModelConfig, *, max_len: int, threads: int = 1) -> None:
        """Load `graph`, with its weights file beside it; reserve room for `max_len` tokens."""
        super().__init__(config.vocab_size, max_len)
        self._session = _session(graph, threads)
        shape = (1, config.n_kv_head, max_len, config.head_dim)
        names = [f"{part}_{i}" for i in range(config.n_layer) for part in ("k", "v")]
        self._buffers = [np.zeros(shape, np.float32) for _ in names]
        self._cache = dict(zip(names, map(_value, self._buffers), strict=True))
        half = config.head_dim // 2  # angles pos * theta^(-2i/D), (max_len, D/2)
        frequencies = config.rope_theta ** -(np.arange(half) / half)
        angles = np.outer(np.arange(max_len), frequencies)  # float64 until the end
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        self._rotary = {"cos": _value(cos), "sin": _value(sin)}
        self._no_bias = np.zeros(min(self.at_once_tokens, max_len) * max_len, np.float32)
        # All kept steps write here: one runs at a time, and what it finds is copied at once.
        self._logits = np.zeros(
            min(_MAX_KEPT_TOKENS * config.vocab_size, _MAX_KEPT_LOGITS), np.float32
        )
        self._steps: LRU[tuple[int, int], _Step] = LRU(_MAX_KEPT_STEPS)

    def _append(self, ids: NDArray[np.int64], n_wanted: int) -> NDArray[np.float32]:
        step = self._step(len(ids), n_wanted)
        step.positions[0] = np.arange(self.length, self.length + len(ids))
        self._run(step, ids, self._no_bias)
        return step.result()

    def save(self) -> NDArray[np.float32]:
        """See `Runtime.save`: (2 * n_layer, K, S, D)."""
        return np.concatenate([buffer[:, :, : self.length] for buffer in self._buffers])

    def restore(self, saved: NDArray[np.float32]) -> None:
        """See `Runtime.restore`."""
        self.length = 0
        self._put(saved)

    def states(self) -> list[NDArray[np.float32]]:
        """See `Runtime.states`: (2 * n_layer, K, D) each."""
        slots = np.stack([buffer[0, :, self._last] for buffer in self._buffers])
        return [slots[:, :, place].copy() for place in range(slots.shape[2])]

    def extend(self, states: Sequence[NDArray[np.float32]]) -> None:
        """See `Runtime.extend`."""
        if states:
            self._put(np.stack(states, axis=2))

    def _put(self, values: NDArray[np.float32]) -> None:
        """Put tokens (2 * n_layer, K, T, D) behind the cache."""
        end = self.length + values.shape[2]
        for buffer, both in zip(self._buffers, values, strict=True):
            buffer[0, :, self.length : end] = both
        self.length = end

    def _tree(self, ids: NDArray[np.int64], parents: Sequence[int]) -> NDArray[np.float32]:
        """See `Runtime.tree`; one pass, in which each node sees the cache and its own ancestors."""
        if not self.length:  # the attention operator then takes slots for positions
            return super()._tree(ids, parents)
        n_nodes, past = len(ids), self.length
        self._last = slice(past, past + n_nodes)
        sees = np.zeros((n_nodes, n_nodes), bool)  # sees[i, j]: j is i or an ancestor of i
        for i, parent in enumerate(parents):
            if parent >= 0:
                sees[i] = sees[parent]
            sees[i, i] = True
        bias = np.zeros((n_nodes, past + n_nodes), np.float32)  # (T, S)
        bias[:, past:][~sees] = -np.inf
        step = self._step(n_nodes, n_nodes)
        depths = sees.sum(1)  # the position follows from the depth, not from the slot in the cache
        step.positions[0] = past - 1 + depths
        self._run(step, ids, bias)
        return step.result()

    def _run(self, step: _Step, ids: NDArray[np.int64], bias: NDArray[np.float32]) -> None:
        """Run one call at the end of the cache; `bias` holds at least T * S numbers in a row."""
        n_ids, total = len(ids), self.length + len(ids)
        step.ids[0] = ids
        step.last[0] = total - 1
        step.total[()] = total
        shape = (1, 1, n_ids, total)
        step.binding.bind_input("bias", "cpu", 0, np.float32, shape, bias.ctypes.data)
        self._session.run_with_iobinding(step.binding)

    def _step(self, n_ids: int, n_keep: int) -> _Step:
        """Return buffers for `n_ids` ids of which the last `n_keep` get logits, kept if small."""
        step = self._steps.use((n_ids, n_keep))
        if step is None:
            step = self._new_step(n_ids, n_keep)
            if step.is_kept:
                self._steps.put((n_ids, n_keep), step)
        return step

    def _new_step(self, n_ids: int, n_keep: int) -> _Step:
        ids, positions = np.zeros((1, n_ids), np.int64), np.zeros((1, n_ids), np.int64)
        last, total = np.zeros(1, np.int32), np.zeros((), np.int32)
        shape = (1, n_keep, self.vocab_size)
        is_kept = n_ids <= _MAX_KEPT_TOKENS and math.prod(shape) <= len(self._logits)
        flat = self._logits[: math.prod(shape)] if is_kept else np.zeros(shape, np.float32)
        logits = flat.reshape(shape)
        keep = np.array([n_keep], np.int64)
        inputs = {"ids": _value(ids), "positions": _value(positions), "last": _value(last)}
        inputs |= {"total": _value(total), "keep": _value(keep)}
        output = _value(logits)
        binding = self._session.io_binding()
        for name, value in (inputs | self._rotary).items():
            binding.bind_ortvalue_input(name, value)
        for name, value in self._cache.items():
            binding.bind_ortvalue_input(f"past_{name}", value)
            binding.bind_ortvalue_output(f"next_{name}", value)
        binding.bind_ortvalue_output("logits", output)
        return _Step(
            binding=binding, ids=ids, positions=positions, last=last, total=total, logits=logits,
            values=(*inputs.values(), output), is_kept=is_kept,
        )  # fmt: skip


def _session(graph: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.enable_mem_pattern = False  # it keeps a plan for each pair of T and S: 1 kB, for ever
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without enable_fallback=0 the library prints to stdout when a graph does not load, and stdout
    # is the channel to the editor.
    try:
        return ort.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # the library's errors share no other base
        raise RuntimeLoadError(
            f"onnxruntime {ONNXRUNTIME_VERSION} cannot load {graph}: {error}; "
            "delete the folder that holds it, and it is built anew"
        ) from error


def _value(array: NDArray[Any]) -> ort.OrtValue:
    """Wrap an array without copying: writing to the array changes the value."""
    return ort.OrtValue.ortvalue_from_numpy(array)
