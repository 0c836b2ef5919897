"""The network on torch: CUDA, Apple GPUs, and the plain reference for the other runtime.

Same protocol as `model.runtime_onnx`. Knows ids and logits.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import KVCache, load_network
from model.runtime import Runtime


class TorchRuntime(Runtime):
    """`model.runtime.Runtime` over `model.gpt.GPT`."""

    def __init__(
        self,
        folder: ModelFolder,
        *,
        max_len: int,
        threads: int = 1,
        dtype: str = "auto",
    ) -> None:
        """Load the weights; `dtype` is that of matmuls (see `model.device`).

        `threads` is torch's setting for the whole process, so it is only ever lowered here.
        """
        config = folder.config
        super().__init__(config.vocab_size, max_len)
        self.at_once_tokens = max_len
        chosen = choose_device(dtype=dtype)
        if chosen.device.type == "cpu" and threads < torch.get_num_threads():
            torch.set_num_threads(threads)
        self._model = load_network(folder).to(device=chosen.device, dtype=chosen.dtype).eval()
        self._device = chosen.device
        self._cache = KVCache(config, max_len=max_len, dtype=chosen.dtype, device=chosen.device)

    @torch.inference_mode()
    def _append(self, ids: NDArray[np.int64], n_wanted: int) -> NDArray[np.float32]:
        self._cache.length = self.length
        states = self._model.hidden(torch.from_numpy(ids)[None].to(self._device), self._cache)
        logits = states[0, -n_wanted:] @ self._model.head_weight.T  # of states (1, T, C)
        wanted: NDArray[np.float32] = logits.float().cpu().numpy()
        return wanted

    def save(self) -> NDArray[np.float32]:
        """See `Runtime.save`: (2, L, 1, K, S, D); float32 holds the narrower types exactly."""
        both = torch.stack([self._cache.k, self._cache.v])[..., : self.length, :]
        saved: NDArray[np.float32] = both.float().cpu().numpy()
        return saved

    def restore(self, saved: NDArray[np.float32]) -> None:
        """See `Runtime.restore`."""
        k, v = torch.from_numpy(saved).to(self._cache.k)
        self.length = k.size(-2)
        self._cache.k[..., : self.length, :] = k
        self._cache.v[..., : self.length, :] = v
