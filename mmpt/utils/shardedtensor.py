"""Many arrays of different lengths in one memory-mapped file.

Two files make a shard: `PREFIX_data.npy`, all arrays one after the other along axis 0, and
`PREFIX_starts.npy`, int64 [n + 1], where array i is data[starts[i]:starts[i + 1]].  This is the
form of VideoCLIP's toolkit; its files load here and ours load there.  We write a third file beside
them, `PREFIX.json`, with counts and hashes; files without it are fine.
"""

import contextlib
import hashlib
import json
import mmap
import os
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

import mmpt
from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write
from mmpt.io.files import no_file, sha256_of


class ShardedTensor:
    """A list of arrays that differ only in their length.

    Args:
        data: [rows, ...], the arrays concatenated.
        starts: int64 [n + 1], from 0 to rows, never decreasing.

    Raises:
        DataError: `starts` does not describe `data`.
    """

    def __init__(self, data: np.ndarray, starts: np.ndarray):
        starts = np.asarray(starts)
        _check_starts(starts, len(data), "shard")
        self.data = data
        self.starts = starts

    @classmethod
    def from_list(cls, arrays: Sequence[np.ndarray]) -> "ShardedTensor":
        """Concatenates arrays of equal dtype and equal shape but for their length.

        Raises:
            DataError: there is no array, or one differs from the first in dtype or width.
        """
        arrays = [np.asarray(array) for array in arrays]
        if not arrays:
            raise DataError("shard: an empty list of arrays has no dtype and no width")
        first = arrays[0]
        for index, array in enumerate(arrays):
            if array.ndim == 0 or array.shape[1:] != first.shape[1:] or array.dtype != first.dtype:
                raise DataError(
                    f"shard: entry {index} has shape {array.shape} and dtype {array.dtype}; "
                    f"entry 0 has {first.shape} and {first.dtype}, and only lengths may differ"
                )
        starts = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(array) for array in arrays], out=starts[1:])
        return cls(np.concatenate(arrays, axis=0), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Array `index` as a view of the data, [length, ...]."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"shard: index {index} of {len(self)} arrays")
        index %= len(self)
        return self.data[self.starts[index] : self.starts[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def will_need(self, indices: Iterable[int]) -> int:
        """Asks the kernel to read these arrays ahead; it does so while we go on.

        A hint and no more: nothing happens for a shard in memory, or where the system knows no
        such hint.

        Args:
            indices: of the arrays, any order.

        Returns:
            The number of ranges that were asked for: neighbours are one range.
        """
        mapped = _mapped(self.data)
        if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
            return 0
        file_map, offset = mapped
        row = self.data.strides[0]
        ranges: list[list[int]] = []
        for index in sorted(indices):
            start, stop = self.starts[index : index + 2].tolist()
            # a range must begin where a page begins
            first = (offset + start * row) // mmap.PAGESIZE * mmap.PAGESIZE
            if ranges and first <= ranges[-1][1]:
                ranges[-1][1] = offset + stop * row
            elif start < stop:
                ranges.append([first, offset + stop * row])
        for start, stop in ranges:
            with contextlib.suppress(OSError):
                file_map.madvise(mmap.MADV_WILLNEED, start, stop - start)
        return len(ranges)

    def lengths(self) -> np.ndarray:
        """The length of every array, int64 [n]."""
        return np.diff(self.starts)

    def save(self, prefix: str | os.PathLike) -> None:
        """Writes the two files and the sidecar; an error on the way leaves the old ones.

        All three are written before the first is renamed into place, the sidecar last.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        prefix = os.fspath(prefix)
        # named last to first: the files of one `with` are put in place in reverse order
        with (
            atomic_write(f"{prefix}.json", "w") as sidecar,
            atomic_write(f"{prefix}_starts.npy") as starts_file,
            atomic_write(f"{prefix}_data.npy") as data_file,
        ):
            hashes = {
                "data": _save_hashed(data_file, self.data),
                "starts": _save_hashed(starts_file, self.starts),
            }
            sidecar.write(sidecar_text(_facts(self), hashes))
            # the renames begin when the block ends: no buffered byte may be left by then
            for file in (sidecar, starts_file, data_file):
                file.flush()

    @classmethod
    def load(cls, prefix: str | os.PathLike, mmap_mode: str | None = None) -> "ShardedTensor":
        """Opens a shard.

        Args:
            prefix: path without `_data.npy`.
            mmap_mode: None reads the data into memory, `r` maps the file.

        Raises:
            DataError: a file is missing, truncated or no array; `starts` does not fit the data;
                the sidecar tells of another shard.
        """
        prefix = os.fspath(prefix)
        starts = _load_array(prefix, "starts", None)
        data = _load_array(prefix, "data", mmap_mode)
        _check_starts(starts, len(data), f"shard {prefix}")
        shard = cls(data, starts)
        _check_sidecar(prefix, shard)
        return shard


def sidecar_text(facts: Mapping[str, int | str], hashes: Mapping[str, str]) -> str:
    """The content of a shard's sidecar.

    Args:
        facts: `videos`, `rows`, `dtype` and `width`, in this order.
        hashes: SHA-256 in hex digits of the two files, `data` and `starts`.
    """
    written_by = f"mmpt {mmpt.__version__}"
    return json.dumps({**facts, "sha256": dict(hashes), "written_by": written_by}, indent=1)


def verify_shard(prefix: str | os.PathLike) -> bool:
    """Reads both files of a shard and compares them with the hashes in its sidecar.

    Returns:
        True when they agree, False when there is no sidecar to compare with.

    Raises:
        DataError: as `ShardedTensor.load`, or a file is not the one that was written.
    """
    prefix = os.fspath(prefix)
    ShardedTensor.load(prefix, mmap_mode="r")
    recorded = _read_sidecar(prefix)
    if recorded is None:
        return False
    for part, expected in recorded["sha256"].items():
        found = sha256_of(f"{prefix}_{part}.npy")
        if found != expected:
            raise DataError(
                f"shard {prefix}: {prefix}_{part}.npy has changed since it was written "
                f"(sha256 {found[:12]}…, {prefix}.json says {expected[:12]}…); write it again"
            )
    return True


# ---- one open map per shard and process -------------------------------------------------------

# each map keeps a file descriptor: stay well below what the process may have
_MAX_OPEN = min(max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2), 4096)
_open_shards: OrderedDict[str, "_Open"] = OrderedDict()
_lock = threading.Lock()


class _Open(NamedTuple):
    shard: ShardedTensor
    stamp: tuple
    """Time, size and inode of both files."""
    looked: float
    """When the stamp was taken, in seconds of the monotonic clock."""


def _after_fork() -> None:
    # another thread of the parent may have held the lock; the maps themselves are shared safely
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def open_shard(prefix: str | os.PathLike, recheck_seconds: float = 0.0) -> ShardedTensor:
    """The memory-mapped shard, opened once per process and shared by all who ask.

    The data is a plain read-only array (slicing numpy's memmap class costs several times more).
    A shard whose files have changed is opened anew; the least recently used one is closed when
    too many are open.

    Args:
        prefix: path without `_data.npy`.
        recheck_seconds: how long a shard may be used without a look at its files.  A look is two
            system calls, on a network file system perhaps two questions to a server.

    Raises:
        DataError: as `ShardedTensor.load`.
    """
    path = os.fspath(prefix)
    if not os.path.isabs(path):
        path = os.path.abspath(path)
    now = time.monotonic()
    held = _recently_used(path)
    if held is not None and now - held.looked < recheck_seconds:
        return held.shard
    stamp = tuple(_file_stamp(f"{path}_{part}.npy") for part in ("data", "starts"))
    if held is not None and held.stamp == stamp:
        shard = held.shard
    else:
        shard = ShardedTensor.load(prefix, mmap_mode="r")
        shard.data = np.asarray(shard.data)
    with _lock:
        _open_shards[path] = _Open(shard, stamp, now)
        _open_shards.move_to_end(path)
        while len(_open_shards) > _MAX_OPEN:
            _open_shards.popitem(last=False)
    return shard


def _recently_used(path: str) -> _Open | None:
    with _lock:
        held = _open_shards.get(path)
        if held is not None:
            _open_shards.move_to_end(path)
        return held


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None  # loading says which file is missing
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _mapped(array: np.ndarray) -> tuple[mmap.mmap, int] | None:
    """The file map below an array and the array's first byte in it; None for arrays in memory."""
    below = array
    while isinstance(below, np.ndarray):
        if isinstance(below.base, mmap.mmap):
            begin = np.frombuffer(below.base, dtype=np.uint8)
            return below.base, _address(array) - _address(begin)
        below = below.base
    return None


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# ---- reading, writing, checking ---------------------------------------------------------------


class _HashingFile:
    """What is written goes to a file and into a SHA-256."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.sha256 = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.sha256.update(block)
        return self.file.write(block)


def _save_hashed(file: IO[bytes], array: np.ndarray) -> str:
    hashing = _HashingFile(file)
    np.save(hashing, np.asarray(array), allow_pickle=False)
    return hashing.sha256.hexdigest()


def _load_array(prefix: str, part: str, mmap_mode: str | None) -> np.ndarray:
    path = f"{prefix}_{part}.npy"
    other = no_file(path)
    if other is not None:
        raise DataError(f"shard {prefix}: {path} is {other}, no .npy file")
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"shard {prefix}: file {path} is missing") from None
    except (ValueError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"shard {prefix}: {path} is truncated or no .npy file ({reason})"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise DataError(f"shard {prefix}: {path} holds no array with an axis to cut")
    return array


def _check_starts(starts: np.ndarray, rows: int, name: str) -> None:
    if starts.ndim != 1 or len(starts) == 0 or not np.issubdtype(starts.dtype, np.integer):
        raise DataError(
            f"{name}: starts must be integers [n + 1], got {starts.dtype} {starts.shape}"
        )
    if starts[0] != 0:
        raise DataError(f"{name}: starts must begin at 0, got {starts[0]}")
    falls = np.flatnonzero(starts[1:] < starts[:-1])
    if len(falls):
        raise DataError(f"{name}: starts must never decrease, but do after entry {falls[0]}")
    if starts[-1] != rows:
        raise DataError(f"{name}: starts must end at the {rows} rows of the data, got {starts[-1]}")


def _facts(shard: ShardedTensor) -> dict:
    """What the sidecar says of a shard, apart from hashes."""
    return {
        "videos": len(shard),
        "rows": len(shard.data),
        "dtype": str(shard.data.dtype),
        "width": int(np.prod(shard.data.shape[1:], dtype=np.int64)),
    }


def _read_sidecar(prefix: str) -> dict | None:
    path = Path(f"{prefix}.json")
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"shard {prefix}: {path} is damaged ({error})") from None
    if not isinstance(recorded, dict) or not isinstance(recorded.get("sha256"), dict):
        raise DataError(f"shard {prefix}: {path} is not a shard's sidecar")
    return recorded


def _check_sidecar(prefix: str, shard: ShardedTensor) -> None:
    recorded = _read_sidecar(prefix)
    if recorded is None:
        return
    for name, found in _facts(shard).items():
        if recorded.get(name) != found:
            raise DataError(
                f"shard {prefix}: {prefix}.json says {name} {recorded.get(name)}, the files have "
                f"{found}; they are of different shards"
            )
