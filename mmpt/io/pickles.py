"""Pickles from the network, read as data.

A pickle is a programme: the standard reader runs whatever it says.  The reader here knows plain
containers, text, numbers and numpy arrays, and refuses every other name before it is imported.
"""

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from mmpt.errors import DataError
from mmpt.io.atomic import atomic_write

# numpy moved its internals from numpy.core to numpy._core in 2.0: files of both kinds are met
_NUMPY_INTERNALS = {
    ("multiarray", "_reconstruct"),
    ("multiarray", "scalar"),
    ("numeric", "_frombuffer"),
}

ALLOWED = frozenset(
    {("builtins", name) for name in ("set", "frozenset", "complex", "bytearray")}
    | {("__builtin__", name) for name in ("set", "frozenset", "complex", "bytearray")}
    | {("collections", "OrderedDict")}
    # how protocols 0 to 2 spell bytes
    | {("_codecs", "encode")}
    | {("numpy", "ndarray"), ("numpy", "dtype")}
    | {(f"{core}.{module}", name) for core in ("numpy.core", "numpy._core")
       for module, name in _NUMPY_INTERNALS}
)  # fmt: skip
"""(module, name) pairs a pickle may refer to; lists, dicts, strings and numbers need no name."""


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that finds only the names of `ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise DataError(
                f"refused to load {module}.{name}; allowed are plain containers, text, numbers "
                "and numpy arrays"
            )
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise DataError("refused to load a reference to an object outside the file")


def load_pickle(path: str | os.PathLike) -> Any:
    """The content of a pickle of plain data.

    Args:
        path: the file; any pickle protocol.

    Raises:
        DataError: the file is missing, truncated, no pickle, or names something not allowed.
    """
    try:
        with open(path, "rb") as file:
            return RestrictedUnpickler(file).load()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:
        # a damaged stream can end in nearly any exception of the pickle machine
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: truncated or not a pickle ({reason})") from error


def save_pickle(path: str | os.PathLike, obj: Any) -> None:
    """Writes a pickle of plain data atomically, in protocol 4 (readable from Python 3.4 on).

    Raises:
        DataError: `obj` holds something that `load_pickle` would refuse; nothing is written.
    """
    payload = pickle.dumps(obj, protocol=4)
    try:
        _check_plain(payload)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    with atomic_write(path) as file:
        file.write(payload)


def _check_plain(payload: bytes) -> None:
    """Reads a payload back with the restricted reader."""
    RestrictedUnpickler(io.BytesIO(payload)).load()


# ---- a dict that is never in memory as a whole ------------------------------------------------

_STREAM_PROTOCOL = 5
_ITEM_PROTOCOL = 3
"""The newest one without frames: what it writes may stand in the middle of another pickle."""
_FRAME_BYTES = 64 * 1024
_LEAST_FRAME = 4
_BATCH = 1000
"""Frames and batches are cut where Python's own pickler cuts them."""


class _PlainPickler(pickle.Pickler):
    """Knows the types that pickles have opcodes for, and refuses all others."""

    def reducer_override(self, obj: Any) -> Any:
        raise DataError(
            f"cannot write an object of type {type(obj).__name__}; allowed are lists, tuples, "
            "dicts, text, bytes and numbers"
        )


def encode_plain(value: Any) -> bytes:
    """One value in pickle's opcodes, for `DictWriter.add_encoded`.

    Args:
        value: lists, tuples, dicts, text, bytes, numbers and None, nested as one likes; what is
            referred to twice is written twice.

    Raises:
        DataError: something else is in it.
    """
    buffer = io.BytesIO()
    pickler = _PlainPickler(buffer, _ITEM_PROTOCOL)
    # without memory of what was written: positions in it would be those of another pickle
    pickler.fast = True
    pickler.dump(value)
    return buffer.getvalue()[2:-1]  # without the protocol's mark and the final stop


class DictWriter:
    """A pickled dict, written item by item; made by `write_dict`.

    A dict of text by text becomes the bytes that `pickle.dump(..., protocol=5)` writes for two
    items and more.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.items = 0
        self._frame = bytearray(pickle.EMPTY_DICT + pickle.MEMOIZE)
        file.write(pickle.PROTO + bytes([_STREAM_PROTOCOL]))

    def add(self, key: str, value: Any) -> None:
        """Adds an item; a key that was added before gets the new value when it is loaded.

        Raises:
            DataError: as `encode_plain`.
        """
        if not isinstance(value, str):
            self.add_encoded(key, encode_plain(value))
            return
        self._begin_item()
        self._add_text(key)
        self._add_text(value)

    def add_encoded(self, key: str, opcodes: bytes) -> None:
        """Adds an item whose value `encode_plain` has encoded, in another process perhaps."""
        self._begin_item()
        self._add_text(key)
        self._frame += opcodes

    def finish(self) -> None:
        """Writes the end; nothing can be added afterwards."""
        if self.items:
            self._frame += pickle.SETITEMS
            if self.items % _BATCH == 0:  # Python's begins the next batch before it looks
                self._frame += pickle.MARK + pickle.SETITEMS
        self._frame += pickle.STOP
        self._end_frame()

    def _begin_item(self) -> None:
        if self.items % _BATCH == 0:
            self._frame += pickle.SETITEMS + pickle.MARK if self.items else pickle.MARK
        self.items += 1

    def _add_text(self, text: str) -> None:
        if len(self._frame) >= _FRAME_BYTES:
            self._end_frame()
        content = text.encode("utf-8", "surrogatepass")
        if len(content) < 1 << 8:
            head = pickle.SHORT_BINUNICODE + len(content).to_bytes(1, "little")
        elif len(content) < 1 << 32:
            head = pickle.BINUNICODE + len(content).to_bytes(4, "little")
        else:
            head = pickle.BINUNICODE8 + len(content).to_bytes(8, "little")
        if len(content) < _FRAME_BYTES:
            self._frame += head + content
        else:  # stands between two frames
            self._end_frame()
            self.file.write(head)
            self.file.write(content)
        self._frame += pickle.MEMOIZE

    def _end_frame(self) -> None:
        if len(self._frame) >= _LEAST_FRAME:
            self.file.write(pickle.FRAME + len(self._frame).to_bytes(8, "little"))
        self.file.write(self._frame)
        self._frame.clear()


@contextmanager
def write_dict(path: str | os.PathLike) -> Iterator[DictWriter]:
    """A pickled dict written item by item, atomically; `load_pickle` reads it.

    Needs memory for one item.

    Raises:
        OSError: as `atomic_write`.
    """
    with atomic_write(path) as file:
        writer = DictWriter(file)
        yield writer
        writer.finish()
