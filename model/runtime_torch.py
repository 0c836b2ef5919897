"""The network on torch: CUDA, Apple GPUs, and the plain reference for the other runtime.

Same protocol as `model.runtime_onnx`. Knows ids and logits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.device import choose_device
from model.folder import ModelFolder
from model.gpt import KVCache, load_network
from model.runtime import branch_by_branch, check_ids, check_parents


class TorchRuntime:
    """`model.runtime.Runtime` over `model.gpt.GPT`."""

    def __init__(
        self,
        folder: ModelFolder,
        *,
        max_len: int,
        threads: int = 1,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        """Load the weights onto `device`; `dtype` is that of matmuls (see `model.device`).

        `threads` is torch's setting for the whole process, so it is only ever lowered here.
        """
        config = folder.config
        self.vocab_size = config.vocab_size
        self.max_len = max_len
        chosen = choose_device(device, dtype)
        if chosen.device.type == "cpu" and threads < torch.get_num_threads():
            torch.set_num_threads(threads)
        self._model = load_network(folder).to(device=chosen.device, dtype=chosen.dtype).eval()
        self._device = chosen.device
        self._cache = KVCache(config, max_len=max_len, dtype=chosen.dtype, device=chosen.device)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return self._cache.length

    @torch.inference_mode()
    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        """See `Runtime.append`."""
        array = check_ids(ids, self)
        idx = torch.from_numpy(array)[None].to(self._device)  # (1, T)
        states = self._model.hidden(idx, self._cache)  # (1, T, C)
        states = states[0] if all_logits else states[0, -1:]
        logits = (states @ self._model.head_weight.T).float().cpu().numpy()  # (T or 1, V)
        return logits if all_logits else logits[0]

    def rewind(self, length: int) -> None:
        """See `Runtime.rewind`."""
        self._cache.rewind(length)

    def save(self) -> NDArray[np.float32]:
        """See `Runtime.save`: (2, L, 1, K, S, D); float32 holds the narrower types exactly."""
        both = torch.stack([self._cache.k, self._cache.v])[..., : self._cache.length, :]
        saved: NDArray[np.float32] = both.float().cpu().numpy()
        return saved

    def restore(self, saved: NDArray[np.float32]) -> None:
        """See `Runtime.restore`."""
        k, v = torch.from_numpy(saved).to(self._cache.k)
        self._cache.length = k.size(-2)
        self._cache.k[..., : self._cache.length, :] = k
        self._cache.v[..., : self._cache.length, :] = v

    def states(self) -> list[NDArray[np.float32]]:
        """See `Runtime.states`: it cannot tell."""
        return []

    def extend(self, states: Sequence[NDArray[np.float32]]) -> None:
        """See `Runtime.extend`; there are none."""

    def tree(self, ids: Sequence[int], parents: Sequence[int]) -> NDArray[np.float32]:
        """See `Runtime.tree`."""
        array = check_ids(ids, self)
        check_parents(parents, len(array))
        return branch_by_branch(self, array, parents)
