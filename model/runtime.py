"""What runs a network: ids in, logits out, with a cache that grows at its end and can be cut back.

Everything above (sampling, healing, drafting) is written against `Runtime` alone. A runtime belongs
to one thread at a time. Knows neither text nor files.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.folder import ModelFolder
from model.foreign import GgufModel

Logits = NDArray[np.float32]  # (V,)


class RuntimeLoadError(RuntimeError):
    """A network's file cannot be run; the message says which and what to do."""


class Runtime(ABC):
    """A network with a key/value cache of one sequence; V is vocab_size, T the ids of a call.

    What it is given is checked here; how the network runs is for each kind to say.
    """

    # A long prompt runs in pieces: longer ones are no faster but take more memory (on onnxruntime
    # with preset `s` 44 MB for 512 ids, 14 MB for 128).
    at_once_tokens = 128

    def __init__(self, vocab_size: int, max_len: int) -> None:
        self.vocab_size = vocab_size
        self.max_len = max_len  # tokens that the cache can hold
        self.length = 0  # and those that it holds
        self._last = slice(0, 0)  # slots that the last call filled

    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        """Run ids after the cached ones; return logits (V,) after the last, or (T, V) after each.

        ValueError when ids is empty, holds an unknown id or does not fit; the cache is then
        unchanged.
        """
        array = self._check(ids)
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(array), self.at_once_tokens):
            piece = array[start : start + self.at_once_tokens]
            found = self._append(piece, len(piece) if all_logits else 1)
            rows = [*rows, found] if all_logits else [found]
            self.length += len(piece)
        self._last = slice(self.length - len(array), self.length)
        return np.concatenate(rows) if all_logits else rows[0][0]

    @abstractmethod
    def _append(self, ids: NDArray[np.int64], n_wanted: int) -> NDArray[np.float32]:
        """Put ids behind the cached ones; return logits (n_wanted, V) after the last of them."""

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens; ValueError unless 0 <= length <= self.length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind to {length}: the cache holds {self.length} tokens")
        self.length = length

    @abstractmethod
    def save(self) -> NDArray[Any]:
        """Return a copy of the cache, for `restore`; only its size says anything to others."""

    @abstractmethod
    def restore(self, saved: NDArray[Any]) -> None:
        """Make the cache, its length too, what it was when this runtime's `save` returned."""

    def states(self) -> Sequence[NDArray[Any]]:
        """Return what each id of the last `append` or `tree` left in the cache, for `extend`.

        None at all from a runtime that cannot tell.
        """
        return []

    def extend(self, states: Sequence[NDArray[Any]]) -> None:
        """Put tokens into the cache that were run before, at these places and behind the same ids.

        That they fit is the caller's business.
        """
        assert not states, "this runtime never gave any"

    def tree(self, ids: Sequence[int], parents: Sequence[int]) -> NDArray[np.float32]:
        """Return logits (T, V) after each node of a tree of continuations; the cache is unchanged.

        `parents[i]` is the index of the token before node i, less than i, or -1 for the end of the
        cache. ValueError as in `append`.
        """
        array = self._check(ids)
        check_parents(parents, len(array))
        return self._tree(array, parents)

    def _tree(self, ids: NDArray[np.int64], parents: Sequence[int]) -> NDArray[np.float32]:
        """Return what `tree` promises by an append for each node; most kinds know a faster way."""
        past = self.length
        logits = np.zeros((len(ids), self.vocab_size), np.float32)  # (T, V)
        children: defaultdict[int, list[int]] = defaultdict(list)
        for node, parent in enumerate(parents):
            children[parent].append(node)
        waiting = [(node, past) for node in children[-1]]
        try:
            while waiting:
                node, length = waiting.pop()
                self.rewind(length)
                logits[node] = self.append([int(ids[node])])
                waiting += ((child, length + 1) for child in children[node])
        finally:
            self.rewind(past)
            self._last = slice(0, 0)
        return logits

    def _check(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Return ids as an array; ValueError unless known, not empty, and fitting."""
        array = np.asarray(ids, dtype=np.int64)
        if array.ndim != 1 or not array.size:
            raise ValueError("ids must not be empty")
        low, high = (array.min(), array.max()) if array.size > 1 else (array[0], array[0])
        if low < 0 or high >= self.vocab_size:
            raise ValueError(f"ids must be in 0..{self.vocab_size - 1}")
        if self.length + array.size > self.max_len:
            raise ValueError(
                f"{self.length} + {array.size} tokens do not fit into a cache of {self.max_len}"
            )
        return array


def open_runtime(  # noqa: PLR0913  (each is a choice of its own)
    folder: ModelFolder | GgufModel,
    *,
    max_len: int = 2048,
    threads: int = 1,
    bits: int = 8,
    gpu_layers: int = 0,
    flash_attention: bool = False,
    kv_cache: str = "f16",
) -> Runtime:
    """Load a model's network. `bits` (8 or 32) is for onnx; torch takes its device's precision.

    A GGUF file is run by llama.cpp, `gpu_layers` of it on a GPU, whatever `bits` are;
    `flash_attention` and `kv_cache` ("f16" or "q8_0") are for it alone.
    With `gpu_layers` a folder of others is torch's, all of it; a folder is onnx's otherwise.
    One thread by default: two spinning threads beside a busy neighbour can be fifty times slower
    than one.
    """
    if not 1 <= max_len <= 131_072:
        raise ValueError(f"max_len must be in 1..131072, got {max_len}")
    if isinstance(folder, GgufModel):
        from model.runtime_gguf import GgufRuntime

        if kv_cache == "q8_0":
            folder.check_blocks()
        return GgufRuntime(
            folder.network(gpu_layers),
            max_len=max_len,
            threads=threads,
            flash_attention=flash_attention,
            kv_cache=kv_cache,
        )
    if gpu_layers and not folder.info.languages:
        try:
            from model.runtime_torch import TorchRuntime
        except ImportError as error:
            raise RuntimeLoadError(f"to run a folder on a GPU, install torch ({error})") from error
        return TorchRuntime(folder, max_len=max_len, threads=threads)
    from model.onnx_cache import open_graph
    from model.runtime_onnx import OnnxRuntime

    graph = open_graph(folder, bits) / "graph.onnx"
    return OnnxRuntime(graph, folder.config, max_len=max_len, threads=threads)


def check_parents(parents: Sequence[int], n_ids: int) -> None:
    """Raise ValueError unless each node's parent comes before it."""
    if len(parents) != n_ids:
        raise ValueError(f"{n_ids} ids need as many parents, got {len(parents)}")
    for i, parent in enumerate(parents):
        if not -1 <= parent < i:
            raise ValueError(f"parents[{i}] must be in -1..{i - 1}, got {parent}")
