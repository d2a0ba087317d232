"""How a clip and its caption are drawn from a long video: pure functions over one random source.

This is the file to change for another way of sampling.  Every function takes the random source
last; Python's `random`, which the data set seeds for every item, is the default.  The draws come in
the order of the published code, so that the same seed gives the same clips: centre caption, number
of tokens, growth of the text, centre second, number of seconds, growth of the clip.
"""

import math
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

MAX_TEXT_SECONDS = 256.0
"""Text stops growing when its captions span this many seconds."""


def randint(low: int, high: int) -> int:
    """What `random.randint` draws, from the same generator, in a third of its time.

    Args:
        low, high: both included, low <= high; not checked.
    """
    width = high - low + 1
    bits = width.bit_length()
    drawn = random.getrandbits(bits)
    while drawn >= width:
        drawn = random.getrandbits(bits)
    return low + drawn


PYTHON_RANDOM = SimpleNamespace(random=random.random, randint=randint)
"""Python's own generator, as `random.seed` sets it."""


class TextSpan(NamedTuple):
    """Neighbouring captions of a video.

    Attributes:
        captions: indices of the captions taken, ascending; with `keep_prob` 1 there is no gap.
        start, end: the first second of the first and the last second of the last one.
    """

    captions: tuple[int, ...]
    start: float
    end: float


class ClipSpan(NamedTuple):
    """One training pair: captions [text_start, text_end) and seconds [video_start, video_end)."""

    text_start: int
    video_start: int
    text_end: int
    video_end: int
    captions: Sequence[int]

    def order(self) -> tuple[int, int, int, int]:
        """The key that puts the clips of a video in temporal order."""
        return self[:4]


def grow_text_span(
    lengths: Sequence[int],
    starts: Sequence[float],
    ends: Sequence[float],
    centre: int,
    budget: int,
    keep_prob: float = 1.0,
    max_seconds: float = MAX_TEXT_SECONDS,
    rng: Any = PYTHON_RANDOM,
) -> TextSpan:
    """Grows a text from one caption by whole neighbouring captions.

    The next or the previous caption is taken with probability 1/2 each, the only possible one at
    an end of the video, until the text has `budget` tokens (the last caption may exceed it), spans
    `max_seconds`, or is all there is.

    Args:
        lengths: number of tokens of each caption.
        starts, ends: of each caption, in seconds.
        centre: index of the caption to begin with.
        budget: number of tokens to stop at.
        keep_prob: probability of taking the neighbour rather than skipping over it to the one
            behind it (a draw is made in any case).
        max_seconds: seconds to stop at.
        rng: has `random()`.
    """
    count = len(lengths)
    first, stop = centre, centre + 1
    skipped = set()
    tokens = lengths[centre]
    seconds = ends[centre] - starts[centre]
    draw = rng.random
    while (first > 0 or stop < count) and tokens < budget and seconds < max_seconds:
        forward = draw() > 0.5
        skip = draw() > keep_prob
        if (forward and stop < count) or first == 0:
            if skip and stop + 1 < count:
                skipped.add(stop)
                stop += 1
            tokens += lengths[stop]
            stop += 1
        else:
            first -= 1
            if skip and first > 0:
                skipped.add(first)
                first -= 1
            tokens += lengths[first]
        # captions out of order give a negative span, which stops nothing
        seconds = ends[stop - 1] - starts[first]
    captions = tuple(range(first, stop))
    if skipped:
        captions = tuple(caption for caption in captions if caption not in skipped)
    return TextSpan(captions, starts[first], ends[stop - 1])


def draw_centre_second(start: float, end: float, video_len: int, rng: Any = PYTHON_RANDOM) -> int:
    """A second between floor(start) and ceil(end), both included, moved into the video.

    Args:
        start, end: of the text, in seconds.
        video_len: seconds of the video, at least 1.
        rng: has `randint(a, b)`; not asked where only one second is possible.
    """
    low, high = math.floor(start), math.ceil(end)
    centre = rng.randint(low, high) if low < high else (low + high) // 2
    return min(max(centre, 0), video_len - 1)


def grow_video_span(
    centre: int, budget: int, video_len: int, rng: Any = PYTHON_RANDOM
) -> tuple[int, int]:
    """Grows an empty clip at a second, one second at a time, to either side.

    Args:
        centre: second to begin at; the clip may end there without holding it.
        budget: seconds to stop at; the whole video if it is shorter.
        video_len: seconds of the video.
        rng: has `random()`; not asked where only one side is possible.

    Returns:
        Start and end second, end excluded.
    """
    start = stop = centre
    draw = rng.random
    for _ in range(min(budget, video_len)):
        # an end of the video leaves one side only, and draws nothing
        if start == 0 or (stop < video_len and draw() > 0.5):
            stop += 1
        else:
            start -= 1
    return start, stop


def text_seconds(start: float, end: float, video_len: int) -> tuple[int, int]:
    """The whole seconds that a text covers, cut to the video; end excluded."""
    stop = min(math.ceil(end), video_len)
    return max(0, min(math.floor(start), stop)), stop
