"""Pickles from the network, read as data.

A pickle is a programme: the standard reader runs whatever it says.  The reader here knows plain
containers, text, numbers and numpy arrays, and refuses every other name before it is imported.
"""

import io
import os
import pickle
from typing import Any

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
