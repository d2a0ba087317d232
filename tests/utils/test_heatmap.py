"""Matrices as PNG files, decoded here by the letter of the format."""

import struct
import zlib

import numpy as np

from mmpt.utils.heatmap import VIRIDIS, heatmap, png


def pixels(file):
    """Decodes a PNG of the form that `png` writes: [height, width, 3]."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    position, data = 8, b""
    while position < len(file):
        (length,) = struct.unpack(">I", file[position : position + 4])
        kind, body = file[position + 4 : position + 8], file[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack(">I", file[position + 8 + length : position + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
            assert tuple(body[8:]) == (8, 2, 0, 0, 0)
        data += body if kind == b"IDAT" else b""
        position += 12 + length
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_colours_and_lines():
    assert tuple(heatmap(np.array([[0.0]]), 0, 1, cell=1)[0, 0]) == tuple(VIRIDIS[0])
    picture = pixels(png(heatmap(np.array([[0.0, 1.0, 9.0, np.nan]] * 3), 0, 1, 2, cell=3)))
    assert picture.shape == (10, 13, 3)
    assert (picture[6] == 255).all() and (picture[:, 6] == 255).all()
    assert picture[0, [0, 3, 7, 10]].tolist() == [
        VIRIDIS[0].tolist(), VIRIDIS[-1].tolist(), VIRIDIS[-1].tolist(), [128, 128, 128]
    ]  # fmt: skip
