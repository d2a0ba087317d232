"""Token ids on the disk, by shard, until all videos of a shard are there.

The captions come in the order of their file, the shards want theirs in the order of a list.  Every
shard has a file of what came for it; where in it a video stands is in memory, 12 bytes a video.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmpt.sharding.locks import lock_file
from mmpt.sharding.tokens import READ_TOKENS, VideoTokens

BUFFERED_BYTES = 1 << 25
"""Of all shards together, before they go to the disk."""
LEAST_BUFFER = 1 << 14
TIME_BYTES = 2 * np.dtype(np.float32).itemsize
ROW_BYTES = TIME_BYTES + READ_TOKENS * np.dtype(np.int32).itemsize
"""Of one caption."""


class Spool:
    """A folder with one file a shard, removed at the end.

    What a killed run left in it is removed at the beginning.

    Args:
        folder: where it is to be.
        sizes: videos of every shard.

    Raises:
        LaunchError: another process uses the folder.
    """

    def __init__(self, folder: Path, sizes: Sequence[int]):
        self.folder = folder
        in_use = f"{folder} is in use: another process makes the same shards"
        self._lock = lock_file(folder / "lock", in_use)
        for left in folder.glob("*.rows"):
            left.unlink()
        self._limit = max(LEAST_BUFFER, BUFFERED_BYTES // max(1, len(sizes)))
        self._buffers = [bytearray() for _ in sizes]
        self._ends = [0] * len(sizes)
        self._offsets = [np.full(size, -1, dtype=np.int64) for size in sizes]
        self._counts = [np.zeros(size, dtype=np.int32) for size in sizes]

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def add(self, shard: int, position: int, tokens: VideoTokens) -> None:
        """Keeps a video's captions; those that came for it before no longer count."""
        self._offsets[shard][position] = self._ends[shard]
        self._counts[shard][position] = tokens.captions
        buffer = self._buffers[shard]
        buffer += tokens.startends
        buffer += tokens.caps_ids
        self._ends[shard] += tokens.captions * ROW_BYTES
        if len(buffer) >= self._limit:
            self._to_disk(shard)

    def rows(self, shard: int) -> int:
        """How many captions a shard has."""
        return int(self._counts[shard].sum())

    def missing(self, shard: int) -> np.ndarray:
        """The positions of the videos that nothing came for."""
        return np.flatnonzero(self._offsets[shard] < 0)

    def read(self, shard: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(float32 [captions, 2], int32 [captions, 32]) of every video of a shard in order; no
        captions for those that nothing came for."""
        self._to_disk(shard)
        with open(self._file(shard), "rb") as file:
            for offset, count in zip(self._offsets[shard], self._counts[shard], strict=True):
                file.seek(max(0, int(offset)))
                content = file.read(int(count) * ROW_BYTES)
                times = np.frombuffer(content, np.float32, 2 * count)
                ids = np.frombuffer(content, np.int32, READ_TOKENS * count, TIME_BYTES * count)
                yield times.reshape(count, 2), ids.reshape(count, READ_TOKENS)

    def remove(self, shard: int) -> None:
        """Frees the disk of what a shard needed."""
        self._file(shard).unlink(missing_ok=True)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard}.rows"

    def _to_disk(self, shard: int) -> None:
        # opened for each block: there may be more shards than a process may have files
        with open(self._file(shard), "ab") as file:
            file.write(self._buffers[shard])
        self._buffers[shard].clear()
