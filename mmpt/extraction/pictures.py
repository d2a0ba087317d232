"""One frame of a video as the network sees it: scaled, the middle cut out, upright, RGB."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

NARROWEST = 64
"""Longer over shorter side up to which a picture is scaled: one of 1 x 8000 pixels would take a
gigabyte."""


class Unscalable(ValueError):
    """A picture that cannot be brought into form; the text is the reason."""


class PictureCutter:
    """Turns decoded frames into square RGB pictures.

    The shorter side is scaled to `size` (bicubic, FFmpeg's swscale), the longer one in proportion,
    its fraction cut off; then the middle is cut out and turned as the file says it is to be shown.
    Frames of one cutter may differ in size and pixel format.  It belongs to one thread.

    Args:
        size: edge in pixels.
    """

    def __init__(self, size: int):
        from av.video.reformatter import Interpolation, VideoReformatter

        self.size = size
        self._scaler = VideoReformatter()
        self._bicubic = Interpolation.BICUBIC

    def __call__(self, frame: "av.VideoFrame") -> np.ndarray:
        """uint8 [size, size, 3].

        Raises:
            Unscalable: the picture is too narrow, or of a pixel format that cannot be converted.
        """
        import av

        width, height = scaled_size(frame.width, frame.height, self.size)
        try:
            scaled = self._scaler.reformat(
                frame, width, height, "rgb24", interpolation=self._bicubic, threads=1
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise Unscalable(f"pixel format {frame.format.name}: {error}") from error
        # rows in memory are padded: cut while they are bytes, so that little is copied
        plane = scaled.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        turns = round(frame.rotation / 90) % 4
        left, top = middle(width, height, self.size, turns)
        rows = rows[top : top + self.size, 3 * left : 3 * (left + self.size)]
        return np.rot90(rows.reshape(self.size, self.size, 3), turns)


def scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height after scaling: the shorter side `size`, the other rounded down.

    Raises:
        Unscalable: the longer side is over `NARROWEST` times the shorter one.
    """
    if max(width, height) > NARROWEST * min(width, height):
        raise Unscalable(
            f"a picture of {width} x {height} pixels; one side may be {NARROWEST} times the other"
        )
    if width < height:
        return size, size * height // width
    return size * width // height, size


def middle(width: int, height: int, size: int, turns: int) -> tuple[int, int]:
    """Left and upper edge of the square in the middle, in a picture that is turned afterwards.

    Where the rest is odd, the larger part is right of and below the square as it is shown.

    Args:
        width, height: of the picture.
        size: edge of the square.
        turns: quarter turns to the left by which it is shown.
    """
    right, below = width - size, height - size
    left = right // 2 if turns in (0, 3) else right - right // 2
    top = below // 2 if turns in (0, 1) else below - below // 2
    return left, top
