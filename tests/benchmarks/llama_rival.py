"""The rival for `bench_runtime`: llama.cpp on the weights of a model folder, written as GGUF.

Runs in an interpreter that has `llama_cpp` (the package llama-cpp-python) and what we need.
"""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from llama_cpp import llama_cpp as llama
from numpy.typing import NDArray

from model.folder import load_folder
from model.gguf_export import export_gguf


def open_llama(
    folder: Path, kind: str, max_len: int
) -> Callable[[Sequence[int], int, bool], NDArray[np.float32]]:
    """Return append(ids, length to rewind to, all logits) on one thread."""
    path = folder.parent / f"{folder.name}-{kind}.gguf"
    if not path.exists():
        export_gguf(load_folder(folder), path, kind)
    context, n_vocab = _open_context(path, max_len)
    memory = llama.llama_get_memory(context)
    batch = llama.llama_batch_init(max_len, 0, 1)

    def append(ids: Sequence[int], length: int, all_logits: bool) -> NDArray[np.float32]:
        batch.n_tokens = len(ids)
        for i, id_ in enumerate(ids):
            batch.token[i], batch.pos[i] = id_, length + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = all_logits or i == len(ids) - 1
        llama.llama_memory_seq_rm(memory, 0, length, -1)
        if status := llama.llama_decode(context, batch):
            raise RuntimeError(f"llama_decode failed with status {status}")
        kept = range(len(ids)) if all_logits else [len(ids) - 1]
        rows = [llama.llama_get_logits_ith(context, i) for i in kept]
        return np.array([np.ctypeslib.as_array(row, shape=(n_vocab,)) for row in rows])

    return append


def _open_context(path: Path, max_len: int) -> tuple[ctypes.c_void_p, int]:
    silent = llama.llama_log_callback(lambda level, text, user: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    _open_context.keep_alive = silent  # type: ignore[attr-defined]
    _load_kernels()
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    settings = llama.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = max_len, 512, 512
    settings.n_threads, settings.n_threads_batch = 1, 1
    context = llama.llama_init_from_model(model, settings)
    if not model or not context:
        raise RuntimeError(f"llama.cpp cannot load {path}")
    return context, llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))


def _load_kernels() -> None:
    """Load the best kernels for this processor, where the build has a library for each kind."""
    library = llama._lib
    folder = str(Path(library._name).parent).encode()
    library.ggml_backend_load_all_from_path(ctypes.c_char_p(folder))
