"""Memory for large batches that is used again when a batch is gone.

A pretraining batch has 33 MB of features.  Memory of that size goes back to the system as soon as
it is free, and comes back zeroed, page by page, which takes about as long as to fill it.
"""

from collections import deque
from typing import Any

import numpy as np


class ReusedMemory:
    """Gives arrays over memory of its own; memory is free again when nothing refers to its array.

    A view of the array, or a tensor over it, refers to it.  Threads may share one object; copies
    (loader workers that are not forked) begin with nothing.

    Args:
        keep: how many free pieces of memory are kept.
    """

    def __init__(self, keep: int = 2):
        self.keep = keep
        self._free: deque[np.ndarray] = deque(maxlen=keep)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """As `np.empty`: what the array holds is undefined."""
        try:
            memory = self._free.popleft()
        except IndexError:
            memory = None
        if memory is None or memory.shape != tuple(shape) or memory.dtype != dtype:
            memory = np.empty(shape, dtype)
        return np.asarray(_Lease(memory, self._free))

    def __reduce__(self) -> tuple:
        return ReusedMemory, (self.keep,)


class _Lease:
    """What an array over lent memory stands on: numpy keeps it until the last view is gone."""

    def __init__(self, memory: np.ndarray, free: deque):
        self.memory, self.free = memory, free
        self.__array_interface__ = memory.__array_interface__

    def __del__(self):
        self.free.append(self.memory)
