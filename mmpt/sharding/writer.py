"""A shard written array by array: what `ShardedTensor.from_list(arrays).save` writes, byte for
byte, in the memory of a few blocks.

While one block is filled, others are hashed and written by threads of their own.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import IO

import numpy as np

from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt.utils.shardedtensor import sidecar_text
from mmpt.utils.shardids import IDS_KEY, ids_hash

BLOCK_BYTES = 1 << 20
"""Of a block; a larger array has a block of its own size."""
BLOCKS = 4
"""One is filled, one hashed, one written; one more, so that nobody waits for long."""
SYNC_BYTES = 1 << 25
"""After so many bytes the disk is asked to begin: all of it at the end would take as long again."""


class _Pipeline:
    """Blocks on their way through the hash into the file and onto the disk, a thread for each step.

    Attributes:
        free: blocks that may be filled.
        sha256: of all that has been put.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.sha256 = hashlib.sha256()
        self.free: SimpleQueue[bytearray] = SimpleQueue()
        for _ in range(BLOCKS):
            self.free.put(bytearray(BLOCK_BYTES))
        self._to_hash: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        self._to_write: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        self._to_sync: SimpleQueue[bool | None] = SimpleQueue()
        self._error: BaseException | None = None
        steps = (self._hash, self._write, self._sync)
        self._threads = [Thread(target=step, daemon=True) for step in steps]
        for thread in self._threads:
            thread.start()

    def put(self, block: bytearray, filled: int) -> None:
        """Sends the first bytes of a block on; it comes back to `free`.

        Raises:
            OSError: an earlier block could not be written.
        """
        if self._error is not None:
            raise self._error
        self._to_hash.put((block, filled))

    def close(self) -> None:
        """Waits until all is written; the threads are gone then."""
        if self._threads:
            self._to_hash.put(None)
            for thread in self._threads:
                thread.join()
            self._threads = []

    def finish(self) -> None:
        """As `close`, and tells of an error.

        Raises:
            OSError: a block could not be written.
        """
        self.close()
        if self._error is not None:
            raise self._error

    def _hash(self) -> None:
        while (item := self._to_hash.get()) is not None:
            block, filled = item
            self.sha256.update(memoryview(block)[:filled])
            self._to_write.put(item)
        self._to_write.put(None)

    def _write(self) -> None:
        since_sync = 0
        while (item := self._to_write.get()) is not None:
            block, filled = item
            try:
                if self._error is None:
                    self.file.write(memoryview(block)[:filled])
            except BaseException as error:  # raised where the next block is put
                self._error = error
            self.free.put(block)
            since_sync += filled
            if since_sync >= SYNC_BYTES:
                self._to_sync.put(True)
                since_sync = 0
        self._to_sync.put(None)

    def _sync(self) -> None:
        while self._to_sync.get() is not None:
            try:
                os.fdatasync(self.file.fileno())
            except BaseException as error:
                self._error = error


class ShardWriter:
    """Takes the arrays of a shard one after the other; made by `write_shard`.

    Attributes:
        row_bytes: bytes of one row.
        lengths: rows of every array so far.
        ids: the videos of the arrays, where the sidecar is to tell which they are.
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype, width: int, expected_rows: int):
        self.file = file
        self.dtype = np.dtype(dtype)
        self.width = width
        self.row_bytes = self.dtype.itemsize * width
        self.lengths: list[int] = []
        self.ids: Sequence[str] | None = None
        self._expected = expected_rows
        self._pipeline = _Pipeline(file)
        header = _header(self.dtype, (expected_rows, width))
        self._block = self._pipeline.free.get()
        self._block[: len(header)] = header
        self._filled = len(header)

    @property
    def rows(self) -> int:
        return sum(self.lengths)

    def room(self, rows: int) -> memoryview:
        """Where the next array of so many rows is to be put; `take` makes it part of the shard.

        Returns:
            writable bytes, good until the next call of `room`.
        """
        size = rows * self.row_bytes
        if self._filled + size > len(self._block):
            self._flush()
            if size > len(self._block):
                self._block = bytearray(size)
        return memoryview(self._block)[self._filled : self._filled + size]

    def take(self, rows: int) -> None:
        """Adds the array that stands in `room(rows)`."""
        self.lengths.append(rows)
        self._filled += rows * self.row_bytes

    def append(self, array: np.ndarray) -> None:
        """Adds an array [rows, width] of the shard's dtype."""
        room = np.frombuffer(self.room(len(array)), dtype=self.dtype)
        room.reshape(len(array), self.width)[:] = array
        self.take(len(array))

    def finish(self) -> str:
        """Writes what is left and the true number of rows; returns the SHA-256 of the file."""
        self._flush()
        self._pipeline.finish()
        self.file.flush()
        if self.rows == self._expected:
            return self._pipeline.sha256.hexdigest()
        # fewer rows than expected: another header, of the same length, and another hash
        self.file.seek(0)
        self.file.write(_header(self.dtype, (self.rows, self.width)))
        self.file.flush()
        with open(self.file.name, "rb") as written:
            return hashlib.file_digest(written, "sha256").hexdigest()

    def close(self) -> None:
        """Ends the threads."""
        self._pipeline.close()

    def _flush(self) -> None:
        if self._filled:
            self._pipeline.put(self._block, self._filled)
            self._block, self._filled = self._pipeline.free.get(), 0


@contextmanager
def write_shard(
    prefix: str | os.PathLike, dtype: np.dtype, width: int, expected_rows: int = 0
) -> Iterator[ShardWriter]:
    """Writes a shard's two files and its sidecar; an error on the way leaves the old ones.

    Args:
        prefix: path without `_data.npy`.
        dtype: of all arrays.
        width: all arrays are [rows, width].
        expected_rows: of the whole shard; another number costs reading the file once more.

    Raises:
        DataError: no array was added.
        OSError: the disk is full or the folder cannot be written.
    """
    prefix = os.fspath(prefix)
    # named last to first, as in ShardedTensor.save: the sidecar is put in place last
    with (
        atomic_write(f"{prefix}.json", "w") as sidecar,
        atomic_write(f"{prefix}_starts.npy") as starts_file,
        atomic_write(f"{prefix}_data.npy") as data_file,
    ):
        writer = ShardWriter(data_file, dtype, width, expected_rows)
        try:
            yield writer
            if not writer.lengths:
                raise DataError(f"shard {prefix}: an empty list of arrays makes no shard")
            hashes = {"data": writer.finish()}
        finally:
            writer.close()
        starts = np.zeros(len(writer.lengths) + 1, dtype=np.int64)
        np.cumsum(writer.lengths, out=starts[1:])
        content = _header(starts.dtype, starts.shape) + starts.tobytes()
        hashes["starts"] = hashlib.sha256(content).hexdigest()
        starts_file.write(content)
        facts = {"videos": len(writer.lengths), "rows": int(starts[-1])}
        facts |= {"dtype": str(writer.dtype), "width": width}
        if writer.ids is not None:
            facts[IDS_KEY] = ids_hash(writer.ids)
        sidecar.write(sidecar_text(facts, hashes))
        for file in (sidecar, starts_file, data_file):
            file.flush()


def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """The beginning of a `.npy` file; numpy leaves room in it for any number of rows."""
    buffer = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()
