"""Any network that llama.cpp runs, in this process, from a GGUF file.

Same protocol as `model.runtime_onnx`, and the file's own vocabulary beside it. A tree is scored in
one pass: each branch is a sequence of llama.cpp's cache, and all share what is before them. Knows
ids and logits; that the file is what it says is `model.gguf_file`'s business.

The binding brings the library, and the layout of the few structures that pass by value; what only
takes numbers and pointers is declared here.
"""

import collections
import ctypes
import functools
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.extras import how_to_add
from model.fim import find_format
from model.gguf_file import GgufError, GgufHeader
from model.runtime import Runtime, RuntimeLoadError
from model.tokenizer import Tokenizer

# Of 32 at once and more the binding's products of Q4_1 are wrong (seen with AVX-512; SmolLM2's bits
# per token went from 5.78 to 7.22). Q5_1 is packed alike; Q4_K_M and f16 are as they should be.
OFFSET_KINDS, OFFSET_TOKENS = frozenset({3, 7}), 31
CACHE_KINDS = {"f16": 1, "q8_0": 8}  # ggml's numbers
MAX_BRANCHES = 31  # of a tree that is scored in one pass
PATTERN = "qwen2"  # cuts text as most vocabularies do; only healing asks
_UNKNOWN, _UNUSED, _CONTROL = 1, 2, 8  # attributes of tokens
_ERROR = 4  # of the levels of llama.cpp's log

_pointer, _int = ctypes.c_void_p, ctypes.c_int32
_size, _bool = ctypes.c_size_t, ctypes.c_bool
_FUNCTIONS: dict[str, tuple[list[Any], Any]] = {
    "llama_kv_cache_seq_rm": ([_pointer, _int, _int, _int], _bool),
    "llama_kv_cache_seq_cp": ([_pointer, _int, _int, _int, _int], None),
    "llama_state_seq_get_size": ([_pointer, _int, ctypes.c_uint32], _size),
    "llama_state_seq_get_data": ([_pointer, _pointer, _size, _int, ctypes.c_uint32], _size),
    "llama_state_seq_set_data": ([_pointer, _pointer, _size, _int, ctypes.c_uint32], _size),
    "llama_model_has_recurrent": ([_pointer], _bool),
    "llama_model_has_encoder": ([_pointer], _bool),
    "llama_token_get_attr": ([_pointer, _int], ctypes.c_int),
    "llama_token_is_eog": ([_pointer, _int], _bool),
    "llama_token_bos": ([_pointer], _int),
    "llama_token_eos": ([_pointer], _int),
    "llama_add_bos_token": ([_pointer], _int),
}


class _Binding:
    """llama.cpp, loaded once; it says nothing on our streams, and its last errors are kept."""

    def __init__(self) -> None:
        try:
            from ik_llama_cpp import _ctypes_api
        except (ImportError, OSError) as error:
            raise RuntimeLoadError(
                f"to run GGUF files, install the extra `gguf` ({error}): {how_to_add('gguf')}"
            ) from error
        self.api: Any = _ctypes_api
        self.errors: collections.deque[str] = collections.deque(maxlen=4)
        library = _ctypes_api._lib
        for name, (arguments, result) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
            setattr(self, name.removeprefix("llama_"), function)
        log_callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self._log = log_callback(self._hear)  # kept: the library calls it for ever
        library.llama_log_set(self._log, None)
        self.api.llama_backend_init()

    def __getattr__(self, name: str) -> Any:  # what `setattr` has put there, for mypy
        raise AttributeError(name)

    def _hear(self, level: int, text: bytes, _: object) -> None:
        if level == _ERROR:
            self.errors.append(text.decode("utf-8", "replace").strip())


@functools.cache
def _binding() -> _Binding:
    return _Binding()


class GgufNetwork:
    """A loaded file: weights (unless `vocabulary_only`) and vocabulary."""

    def __init__(self, path: Path, *, gpu_layers: int = 0, vocabulary_only: bool = False) -> None:
        binding = _binding()
        api = binding.api
        binding.errors.clear()
        options = api.llama_model_default_params()
        options.n_gpu_layers = gpu_layers
        options.vocab_only = vocabulary_only
        no_space = _no_leading_space(api)
        options.kv_overrides = no_space
        handle = api.llama_model_load_from_file(str(path).encode(), options)
        if not handle:
            why = next(iter(binding.errors), "it says not why")
            raise GgufError(f"llama.cpp cannot load {path}: {why}")
        self.handle = handle
        self.at_once_tokens = Runtime.at_once_tokens  # computed at once
        weakref.finalize(self, api.llama_free_model, handle)
        self.n_tokens = int(api.llama_vocab_n_tokens(api.llama_model_get_vocab(handle)))
        if binding.model_has_recurrent(handle) or binding.model_has_encoder(handle):
            raise GgufError(f"{path} is no plain decoder: its cache cannot be cut back")


def _no_leading_space(api: Any) -> Any:
    """Return overrides with which text is encoded as it is: no space is put before it."""
    overrides = (api.llama_model_kv_override * 2)()
    overrides[0].tag = 2  # a truth value
    overrides[0].key = b"tokenizer.ggml.add_space_prefix"
    overrides[0].value.val_bool = False
    return overrides


class GgufTokenizer(Tokenizer):
    """The vocabulary in a GGUF file, encoded by llama.cpp; markers go by this program's names."""

    def __init__(self, network: GgufNetwork, header: GgufHeader) -> None:
        binding = _binding()
        self._api, self._network = binding.api, network
        self.pattern_name = PATTERN
        self.vocab_size = network.n_tokens
        handle, n_tokens = network.handle, network.n_tokens
        attributes = [binding.token_get_attr(handle, id_) for id_ in range(n_tokens)]
        names = {name: id_ for id_, name in enumerate(header.tokens)}
        self._specials = _name_markers(binding, handle, find_format(names.keys()).names, names)
        self.start_ids = ()
        if binding.add_bos_token(handle) == 1:
            self.start_ids = (binding.token_bos(handle),)
        self._special_ids = frozenset(self._specials.values()).union(
            id_
            for id_, attribute in enumerate(attributes)
            if attribute & (_UNKNOWN | _UNUSED | _CONTROL) or binding.token_is_eog(handle, id_)
        )
        self._bytes = [
            b"" if id_ in self._special_ids else self._piece(id_) for id_ in range(n_tokens)
        ]
        single = {data: id_ for id_, data in enumerate(self._bytes) if len(data) == 1}
        self._missing = {byte for byte in range(256) if bytes([byte]) not in single}
        if b"?" not in single:
            raise GgufError("the vocabulary cannot spell a text byte by byte")
        self._ranks = {bytes([byte]): single[b"?"] for byte in self._missing} | single
        self._markers = [name for id_ in self._special_ids if (name := header.tokens[id_])]

    def encode(self, text: str) -> list[int]:
        """Return ids of ordinary text; special tokens' names in it are plain characters."""
        if not text:
            return []
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError:
            return self.encode_bytes(text.encode("utf-8", "surrogatepass"))
        text = self._spelled(text, data)
        data = text.encode()
        ids = (ctypes.c_int32 * len(data))()
        n_ids = self._api.llama_tokenize(
            self._network.handle, data, len(data), ids, len(ids), False, False
        )
        if n_ids < 0:
            raise GgufError("llama.cpp cannot encode a text with this vocabulary")
        found = ids[:n_ids]
        if self._special_ids.isdisjoint(found):
            return found
        # Some vocabularies list markers as text: each is then encoded in two pieces.
        places = [place for name in self._markers if (place := text.find(name)) >= 0]
        if len(text) == 1 or not places:  # a token for what is unknown
            return [id_ for id_ in found if id_ not in self._special_ids]
        at = min(places) + 1 if min(places) + 1 < len(text) else 1
        return self.encode(text[:at]) + self.encode(text[at:])

    def _piece(self, id_: int) -> bytes:
        room = ctypes.create_string_buffer(256)
        n_bytes = self._api.llama_token_to_piece(self._network.handle, id_, room, 256, 0, False)
        if n_bytes < 0:
            room = ctypes.create_string_buffer(-n_bytes)
            n_bytes = self._api.llama_token_to_piece(
                self._network.handle, id_, room, -n_bytes, 0, False
            )
        return room.raw[:n_bytes]


def _name_markers(
    binding: _Binding, handle: int, wanted: Mapping[str, str], names: Mapping[str, int]
) -> dict[str, int]:
    markers = {ours: names[theirs] for ours, theirs in wanted.items() if theirs in names}
    end = binding.token_eos(handle)
    if "<|end|>" not in markers:
        if end < 0:
            raise GgufError("the vocabulary has no token that ends a text")
        markers["<|end|>"] = end
    return markers


class GgufRuntime(Runtime):
    """`model.runtime.Runtime` over a loaded GGUF file."""

    def __init__(
        self,
        network: GgufNetwork,
        *,
        max_len: int,
        threads: int = 1,
        flash_attention: bool = False,
        kv_cache: str = "f16",
    ) -> None:
        """Reserve room for `max_len` tokens; see `model.runtime.open_runtime`."""
        super().__init__(network.n_tokens, max_len)
        self._binding = binding = _binding()
        api = binding.api
        self._network = network
        options = api.llama_context_default_params()
        options.n_ctx = max_len
        options.n_batch, options.n_ubatch = self.at_once_tokens, network.at_once_tokens
        options.n_seq_max = MAX_BRANCHES + 1
        options.n_threads = options.n_threads_batch = threads
        options.flash_attn = flash_attention
        options.type_k = CACHE_KINDS[kv_cache]
        # Without flash attention it takes no values in 8 bits.
        options.type_v = CACHE_KINDS[kv_cache if flash_attention else "f16"]
        handle = api.llama_init_from_model(network.handle, options)
        if not handle:
            why = next(iter(binding.errors), "it says not why")
            raise RuntimeLoadError(f"llama.cpp has no room for {max_len} tokens: {why}")
        self._handle = handle
        self._batch = api.llama_batch_init(self.at_once_tokens, 0, MAX_BRANCHES)
        weakref.finalize(self, _free, api, handle, self._batch, network)

    def _append(self, ids: NDArray[np.int64], n_wanted: int) -> NDArray[np.float32]:
        positions = range(self.length, self.length + len(ids))
        return self._run(ids, positions, None, range(len(ids) - n_wanted, len(ids)))

    def rewind(self, length: int) -> None:
        """See `Runtime.rewind`."""
        super().rewind(length)
        self._binding.kv_cache_seq_rm(self._handle, 0, length, -1)

    def save(self) -> NDArray[Any]:
        """See `Runtime.save`: its length, and what llama.cpp makes of it."""
        size = self._binding.state_seq_get_size(self._handle, 0, 0)
        saved = np.empty(8 + size, np.uint8)
        saved[:8].view(np.int64)[0] = self.length
        place = saved.ctypes.data + 8
        if self._binding.state_seq_get_data(self._handle, place, size, 0, 0) != size:
            raise RuntimeError("llama.cpp did not give its cache")
        return saved

    def restore(self, saved: NDArray[Any]) -> None:
        """See `Runtime.restore`."""
        self.rewind(0)
        place, size = saved.ctypes.data + 8, saved.size - 8
        if not self._binding.state_seq_set_data(self._handle, place, size, 0, 0):
            raise RuntimeError("llama.cpp did not take its cache back")
        self.length = int(saved[:8].view(np.int64)[0])

    def _tree(self, ids: NDArray[np.int64], parents: Sequence[int]) -> NDArray[np.float32]:
        """See `Runtime.tree`; one pass, in which each branch is a sequence of its own."""
        leaves = sorted(set(range(len(ids))) - set(parents))
        if len(leaves) > MAX_BRANCHES or len(ids) > self.at_once_tokens:
            return super()._tree(ids, parents)
        branches: list[list[int]] = [[] for _ in ids]
        depths = [0] * len(ids)
        for node, parent in enumerate(parents):
            depths[node] = depths[parent] + 1 if parent >= 0 else 0
        for branch, leaf in enumerate(leaves, start=1):
            node = leaf
            while node >= 0:
                branches[node].append(branch)
                node = parents[node]
        try:
            for branch in range(1, len(leaves) + 1):
                self._binding.kv_cache_seq_cp(self._handle, 0, branch, -1, -1)
            positions = [self.length + depth for depth in depths]
            return self._run(ids, positions, branches, range(len(ids)))
        finally:
            for branch in range(1, len(leaves) + 1):
                self._binding.kv_cache_seq_rm(self._handle, branch, -1, -1)

    def _run(
        self,
        ids: NDArray[np.int64],
        positions: Sequence[int],
        branches: Sequence[Sequence[int]] | None,
        wanted: Sequence[int],
    ) -> NDArray[np.float32]:
        """Run as many ids as one batch holds; return the logits (n, V) after those at `wanted`."""
        batch, api = self._batch, self._binding.api
        batch.n_tokens = len(ids)
        for i, id_ in enumerate(ids.tolist()):
            batch.token[i], batch.pos[i], batch.logits[i] = id_, positions[i], 0
            own = branches[i] if branches is not None else (0,)
            batch.n_seq_id[i] = len(own)
            for place, branch in enumerate(own):
                batch.seq_id[i][place] = branch
        for i in wanted:
            batch.logits[i] = 1
        status = api.llama_decode(self._handle, batch)
        if status:
            self._binding.kv_cache_seq_rm(self._handle, 0, self.length, -1)
            raise RuntimeError(f"llama.cpp could not run the network: status {status}")
        shape = (self.vocab_size,)
        floats = ctypes.POINTER(ctypes.c_float)
        found = [ctypes.cast(api.llama_get_logits_ith(self._handle, i), floats) for i in wanted]
        return np.stack([np.ctypeslib.as_array(row, shape) for row in found])


def _free(api: Any, handle: int, batch: Any, network: GgufNetwork) -> None:
    """Free a runtime; it keeps its network until then."""
    api.llama_free(handle)
    api.llama_batch_free(batch)
    del network
