"""One video's features, read from its `.npy` straight to where they shall stand.

`np.load` reads into memory of its own, and parses every header anew, which costs more than reading
a short video.
"""

import errno
import functools
import io
import os
import warnings
from contextlib import AbstractContextManager
from typing import IO, NamedTuple

import numpy as np

from mmpt.errors import DataError
from mmpt.io.files import no_file

USUAL_HEADER = 128
"""Bytes before the numbers in the files that numpy writes for a plain matrix."""
LONGEST_HEADER = 10_000
"""numpy reads no longer one either."""

NO_FILE = os.strerror(errno.ENOENT).lower()
"""The reason where a video has no feature file."""

_EXPONENTS = {2: (np.uint16, 0x7FFF, 0x7C00), 4: (np.uint32, 0x7FFFFFFF, 0x7F800000)}
"""Item size -> integers of this size, all bits but the sign, the least of NaN and inf."""
_CHUNK = 1 << 16
"""Numbers that are looked at together: they stay in the cache."""


class Header(NamedTuple):
    """What a `.npy` file says of itself."""

    offset: int
    """Bytes before the numbers."""
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype


class FeatureFile(AbstractContextManager):
    """An opened `VIDEO_ID.npy`, [seconds, width].

    Attributes:
        rows: seconds.
        width: numbers a second.
        dtype: as stored.

    Raises:
        DataError: it cannot be used; the message is the reason alone.
    """

    def __init__(self, path: str | os.PathLike, width: int | None = None):
        other = no_file(path)
        if other is not None:
            raise DataError(f"{other}, no file")
        try:
            self._file: IO[bytes] = open(path, "rb", buffering=0)  # noqa: SIM115 __exit__ closes it
        except OSError as error:
            raise DataError(error.strerror.lower()) from None
        except ValueError as error:  # a NUL in the name
            raise DataError(f"no name of a file ({error})") from None
        try:
            self._header = _read_header(self._file)
            self.rows, self.width = self._check(width)
        except BaseException:
            self._file.close()
            raise
        self.dtype = self._header.dtype

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, room: memoryview, dtype: np.dtype) -> None:
        """Puts the numbers into `room`, [rows, width] of `dtype`, row by row.

        Raises:
            DataError: NaN, inf, numbers too large for `dtype`, or the file has become shorter.
        """
        stored = self._header.dtype
        straight = stored == dtype and not self._header.fortran_order
        raw = room if straight else memoryview(bytearray(self._bytes))
        if self._header.offset != USUAL_HEADER:  # which reading the header has gone past
            self._file.seek(self._header.offset)
        _fill(self._file, raw)
        if straight:
            if not all_finite(np.frombuffer(room, dtype=dtype)):
                raise DataError("NaN or inf")
            return
        order = "F" if self._header.fortran_order else "C"
        values = np.frombuffer(raw, dtype=stored).reshape(self.rows, self.width, order=order)
        if not np.isfinite(values).all():
            raise DataError("NaN or inf")
        with np.errstate(over="ignore"):
            np.frombuffer(room, dtype=dtype).reshape(values.shape)[:] = values
        if not all_finite(np.frombuffer(room, dtype=dtype)):
            raise DataError(f"values too large for {np.dtype(dtype)}")

    @property
    def _bytes(self) -> int:
        return self.rows * self.width * self._header.dtype.itemsize

    def _check(self, width: int | None) -> tuple[int, int]:
        shape, dtype = self._header.shape, self._header.dtype
        if len(shape) != 2:
            raise DataError(f"rank {len(shape)} (shape {shape}); [seconds, width] is needed")
        if dtype.kind != "f" or dtype.itemsize > 8:
            raise DataError(f"dtype {dtype}; float16, float32 or float64 is needed")
        if width is not None and shape[1] != width:
            raise DataError(f"width {shape[1]}; {width} is needed")
        if min(shape) <= 0:
            raise DataError(f"no numbers (shape {shape})")
        needed = self._header.offset + shape[0] * shape[1] * dtype.itemsize
        size = os.fstat(self._file.fileno()).st_size
        if size < needed:
            raise DataError(f"truncated: {size} of {needed} bytes")
        return shape


def all_finite(values: np.ndarray) -> bool:
    """Whether there is neither NaN nor inf among numbers of half or single precision, [n].

    Ten times as fast as asking numpy for every number: all bits of the exponent are set in NaN and
    inf, and in these alone.
    """
    integers, magnitude, least = _EXPONENTS[values.itemsize]
    bits = values.view(integers)
    scratch = np.empty(min(_CHUNK, len(bits)), dtype=integers)
    for first in range(0, len(bits), _CHUNK):
        chunk = bits[first : first + _CHUNK]
        if np.bitwise_and(chunk, integers(magnitude), out=scratch[: len(chunk)]).max() >= least:
            return False
    return True


def _fill(file: IO[bytes], room: memoryview) -> None:
    done = 0
    while done < len(room):
        count = file.readinto(room[done:])
        if not count:
            raise DataError(f"truncated while it was read, {len(room) - done} bytes before its end")
        done += count


def _read_header(file: IO[bytes]) -> Header:
    begin = file.read(USUAL_HEADER)
    if begin[:6] != np.lib.format.MAGIC_PREFIX:
        raise DataError("no .npy file" if begin else "an empty file")
    counter = 2 if begin[6:7] == b"\1" else 4
    length = 8 + counter + int.from_bytes(begin[8 : 8 + counter], "little")
    if len(begin) < length:
        begin += file.read(min(length, LONGEST_HEADER) - len(begin))
    return _parse_header(begin[:length])


@functools.lru_cache(maxsize=1 << 14)
def _parse_header(header: bytes) -> Header:
    buffer = io.BytesIO(header)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(buffer)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            return Header(len(header), *read(buffer))
    except Exception as error:
        # numpy reads it as Python's source, and what is damaged ends in nearly any exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"no .npy file of a plain matrix ({reason})") from None
