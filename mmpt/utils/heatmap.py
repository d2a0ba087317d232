"""Matrices as pictures, without a drawing library: numpy to coloured cells to PNG.

The colours are viridis (matplotlib's default, CC0), interpolated between nine of its entries: dark
blue is low, yellow is high, also in print and for the colour-blind.
"""

import struct
import zlib

import numpy as np

VIRIDIS = np.array(
    [
        (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129),
        (92, 200, 99), (170, 220, 50), (253, 231, 37),
    ],
    dtype=np.float64,
)  # fmt: skip
LINE = 255
"""White lines between blocks."""


def heatmap(
    matrix: np.ndarray, low: float, high: float, block: int | None = None, cell: int = 10
) -> np.ndarray:
    """A matrix as coloured squares.

    Args:
        matrix: [rows, columns]; NaN is drawn grey.
        low, high: the values of the two ends of the colour scale; what lies beyond is cut.
        block: a white line is drawn after so many rows and columns; None: no lines.
        cell: width of a square, in pixels.

    Returns:
        [height, width, 3] uint8.
    """
    scaled = np.clip((np.asarray(matrix, dtype=np.float64) - low) / (high - low), 0, 1)
    position = np.nan_to_num(scaled) * (len(VIRIDIS) - 1)
    stops = np.arange(len(VIRIDIS))
    channels = [np.interp(position, stops, VIRIDIS[:, channel]) for channel in range(3)]
    colours = np.stack(channels, axis=-1).round().astype(np.uint8)
    colours[np.isnan(scaled)] = 128
    picture = colours.repeat(cell, axis=0).repeat(cell, axis=1)
    if block is not None:
        for axis, length in enumerate(np.shape(matrix)):
            edges = np.arange(block, length, block) * cell
            picture = np.insert(picture, edges, LINE, axis=axis)
    return picture


def png(picture: np.ndarray) -> bytes:
    """A PNG file of a picture.

    Args:
        picture: [height, width, 3] uint8.
    """
    height, width, _ = picture.shape
    # each row of pixels is preceded by the number of its filter; 0 is none
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = picture.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
