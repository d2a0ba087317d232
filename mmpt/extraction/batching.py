"""Clips of several videos through a network, in batches that always have the same shape.

The last batch is filled up with zeros, so that the same kernels see every clip and its vector does
not depend on which others share its batch, nor on where a stopped run went on.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.errors import LaunchError

STEADY = 4
"""Batches are of a multiple of this many clips: vectorised loops and matrix products treat the
last rows of other sizes differently from the rest, by a bit or two."""


def steady_size(clips: int) -> int:
    """The size of batches that is used where `clips` are asked for."""
    return clips if clips == 1 else -(-clips // STEADY) * STEADY


class Running(NamedTuple):
    """A batch that is being computed: whose clips, their pixels, vectors, and when those are
    there."""

    owners: list[int]
    pixels: Tensor
    vectors: Tensor
    arrived: torch.cuda.Event | None


class Batches:
    """Collects clips into batches and gives their vectors.

    On a CUDA device two batches are in flight: one is filled while the other is computed.

    Args:
        network: uint8 [B, T, H, W, 3] -> [B, width].
        size: clips of a batch, B.
        clip: shape of a clip, (T, H, W, 3).
        device: `cpu`, `cuda` or `cuda:N`.
        dtype: in which the network computes.

    Attributes:
        clips: how many went through.
        waited: seconds spent in the network, or waiting for it.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int,
        clip: tuple[int, ...],
        device: str,
        dtype: torch.dtype,
    ):
        self.clips = 0
        self.waited = 0.0
        self._device = torch.device(device)
        self._exact = dtype == torch.float32
        self._network = network.to(self._device, dtype)
        self._cuda = self._device.type == "cuda"
        with small_enough(size):
            self._free = [
                torch.zeros((size, *clip), dtype=torch.uint8, pin_memory=self._cuda)
                for _ in range(2 if self._cuda else 1)
            ]
        self._filling = self._free.pop()
        self._owners: list[int] = []
        self._running: Running | None = None

    def add(self, owner: int, pixels: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Takes a clip; gives the (owner, float32 [width]) that are finished, in order."""
        self._filling[len(self._owners)] = torch.from_numpy(pixels)
        self._owners.append(owner)
        return self._start() if len(self._owners) == len(self._filling) else []

    def flush(self) -> list[tuple[int, np.ndarray]]:
        """Computes the last batch; gives all that is left."""
        finished = []
        if self._owners:
            self._filling[len(self._owners) :] = 0
            finished += self._start()
        return finished + self._collect()

    def _start(self) -> list[tuple[int, np.ndarray]]:
        begin = time.perf_counter()
        batch, owners = self._filling, self._owners
        self._owners = []
        with torch.inference_mode(), same_kernels(self._exact), small_enough(len(batch)):
            vectors = self._network(batch.to(self._device, non_blocking=True)).float()
        finished = self._collect()  # of the batch before, while this one is computed
        self._running = Running(owners, batch, *self._sent_back(vectors))
        if not self._cuda:
            finished += self._collect()
        self._filling = self._free.pop()
        self.waited += time.perf_counter() - begin
        return finished

    def _sent_back(self, vectors: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """The vectors on the CPU, and what tells that they have arrived there."""
        if not self._cuda:
            return vectors, None
        arriving = torch.empty(vectors.shape, pin_memory=True)
        arriving.copy_(vectors, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(self._device))
        return arriving, arrived

    def _collect(self) -> list[tuple[int, np.ndarray]]:
        """Waits for the batch that runs."""
        if self._running is None:
            return []
        owners, batch, vectors, arrived = self._running
        if arrived is not None:
            arrived.synchronize()
        self._running = None
        self._free.append(batch)
        self.clips += len(owners)
        return list(zip(owners, vectors.numpy(), strict=False))


@contextlib.contextmanager
def same_kernels(exact: bool) -> Iterator[None]:
    """Within, CUDA's convolutions and products are chosen by shape alone, not by trial, and do not
    round float32 (`exact`) to TF32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before and not exact
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=not exact
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextlib.contextmanager
def small_enough(clips: int) -> Iterator[None]:
    """
    Raises:
        LaunchError: the device's memory is too small for a batch.
    """
    try:
        yield
    except RuntimeError as error:
        # a CPU's allocator has no type of its own for it
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise LaunchError(
            f"the device has too little memory for a batch of {clips} clips; take a smaller "
            "--batch_size"
        ) from error
