"""A caption file, one video after the other: a `.json` of any size in the memory of one video.

ijson reads JSON as its standard has it.  Python's own writer goes beyond that: a caption that is no
text may stand in a file as NaN, which is read as null here.  So are numbers beyond what a float
holds; integers beyond 64 bits become floats.  An id that comes twice is yielded twice, and counts
as `json.load` has it: the last one.
"""

import logging
import math
import os
import re
from collections.abc import Iterator
from typing import IO, Any

from tqdm import tqdm

from mmpt.errors import DataError, LaunchError
from mmpt.io.files import no_file
from mmpt.io.pickles import load_pickle

logger = logging.getLogger(__name__)

_BYTES_AT_ONCE = 1 << 20
_STRING_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*(?:"|$)|-?Infinity|NaN|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.DOTALL
)
_LONG_DIGITS = 19
"""Integers of as many may be beyond 64 bits."""
_DIGITS_ALIKE = bytes.maketrans(b"0123456789E:,[-\n\r\t", b"0000000000e" + b" " * 7)
"""Large exponents and long integers become one text each, which is looked for at once."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def stream_captions(path: str | os.PathLike) -> Iterator[tuple[str, Any]]:
    """The entries of a caption file by video id, in the order of the file.

    A `.json` is read piece by piece.  A `.pkl` can be read as a whole only.

    Raises:
        DataError: the file is missing, damaged, of another kind, or no dict by video id.
        LaunchError: a `.json`, and ijson is not installed.
    """
    path = os.fspath(path)
    other = no_file(path)
    if other is not None or not os.path.exists(path):
        raise DataError(f"{path}: {other or 'no such file'}; a caption file is needed")
    if path.endswith(".json"):
        return stream_json(path)
    if path.endswith(".pkl"):
        return _whole_pickle(path)
    raise DataError(f"{path}: a caption file ends in .json or .pkl")


def stream_json(path: str | os.PathLike) -> Iterator[tuple[str, Any]]:
    """The items of the one dict that a JSON file holds, with a bar on the screen.

    Raises:
        DataError: the file is damaged, or holds something else than a dict.
        LaunchError: ijson is not installed.
    """
    try:
        import ijson
    except ImportError as error:
        raise LaunchError(
            f"{path}: ijson, which reads large JSON files, is not installed ({error}): "
            "pip install -e '.[shards]'"
        ) from error
    with open(path, "rb") as file, _bar(path) as bar:
        source = _Standard(file, bar)
        begin = source.peek()
        if begin != b"{":
            found = f"begins with {begin.decode('utf-8', 'replace')!r}" if begin else "is empty"
            raise DataError(f"{path}: {found}; a JSON object by video id is needed")
        place = "before the end of its first video"
        try:
            for item in ijson.kvitems(source, "", use_float=True, buf_size=_BYTES_AT_ONCE):
                place = f"after video {item[0]}"
                yield item
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a JSON file ({_reason(error)}), {place}") from None


def _reason(error: Exception) -> str:
    """ijson's word for what is wrong, without the picture that it draws of the place."""
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.strip().partition("\n")[0].rstrip(". ") or type(error).__name__


def _whole_pickle(path: str) -> Iterator[tuple[str, Any]]:
    size = os.path.getsize(path)
    logger.info("%s: read as a whole, %.1f GB; the .json needs no memory", path, size / 1e9)
    content = load_pickle(path)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise DataError(f"{path}: expected a dict of captions by video id")
    yield from tqdm(content.items(), desc=os.path.basename(path), unit="video", disable=None)


def _bar(path: str | os.PathLike) -> tqdm:
    return tqdm(
        total=os.path.getsize(path),
        desc=os.path.basename(path),
        unit="B",
        unit_scale=True,
        disable=None,
    )


class _Standard:
    """A JSON file with null where NaN, Infinity or a number too large stands outside of text."""

    def __init__(self, file: IO[bytes], bar: tqdm):
        self.file = file
        self.bar = bar
        self.carried = b""
        self.in_text = False
        self.ready = b""

    def peek(self) -> bytes:
        """The first byte that is no white space; nothing is lost of it."""
        self.ready = self.read(_BYTES_AT_ONCE).removeprefix(_BYTE_ORDER_MARK)
        return self.ready.lstrip()[:1]

    def read(self, size: int) -> bytes:
        """About so many bytes; none at the end of the file."""
        if size == 0:
            return b""
        if self.ready:
            ready, self.ready = self.ready, b""
            return ready
        # behind a comma there is neither the middle of a word nor that of an escape
        piece, cut, ended = self.carried, 0, False
        while not cut and not ended:
            block = self.file.read(size)
            self.bar.update(len(block))
            ended = not block
            piece += block
            cut = len(piece) if ended else piece.rfind(b",") + 1
        piece, self.carried = piece[:cut], piece[cut:]
        return self._mended(piece)

    def _mended(self, piece: bytes) -> bytes:
        began_in_text = self.in_text
        quotes = piece.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
        self.in_text ^= quotes % 2 == 1
        if not _may_need_mending(piece):
            return piece
        opened = b'"' + piece if began_in_text else piece
        mended = _STRING_OR_NUMBER.sub(lambda found: _mended_token(found[0]), opened)
        return mended[1:] if began_in_text else mended


def _may_need_mending(piece: bytes) -> bool:
    if b"NaN" in piece or b"Infinity" in piece:
        return True
    alike = piece.translate(_DIGITS_ALIKE, b"+")
    return b"e000" in alike or b" " + b"0" * _LONG_DIGITS in alike


def _mended_token(token: bytes) -> bytes:
    """A text or a number as it may be handed on."""
    if token.startswith(b'"'):
        return token
    if token in (b"NaN", b"Infinity", b"-Infinity") or math.isinf(float(token)):
        return b"null"
    digits = token.removeprefix(b"-")
    if len(digits) < _LONG_DIGITS or not digits.isdigit() or digits.startswith(b"0"):
        return token
    return token if abs(int(token)) < 1 << 63 else repr(float(token)).encode()
